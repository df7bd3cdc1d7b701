//! Lines to the bundled sink, rung by rung: each one's fate is told once, and what was delivered was read.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use support::*;
use taut::Deadline;
use taut::server::{ServerConfig, Service};
use taut::ship::{Ack, Refusal, ShipConfig, ShipCounts, ShipEvent, Shipper, Wire};

fn sink() -> Running {
    Running::start(ServerConfig {
        service: Service::Sink,
        line_bytes_max: 2 << 20,
        ..ServerConfig::default()
    })
}

fn to(sink: &Running, ack: Ack) -> ShipConfig {
    ShipConfig {
        ack,
        wire: Wire::Lf { escapes: false },
        ..ShipConfig::to(sink.address.to_string())
    }
}

/// Offers all lines, and turns until the last event; what was told of lines.
fn ship(shipper: &mut Shipper, lines: &[&[u8]]) -> (Vec<ShipEvent>, ShipCounts) {
    let mut told = Vec::new();
    let mut left = lines;
    loop {
        while let Some((first, rest)) = left.split_first() {
            match shipper.offer(first) {
                Ok(_) => left = rest,
                Err(error) if error.is_full() => break,
                Err(error) => panic!("{error}"),
            }
        }
        if left.is_empty() {
            shipper.finish(Deadline::after(PATIENCE));
        }
        shipper.turn(Some(PATIENCE)).unwrap();
        while let Some(event) = shipper.next_event() {
            match event {
                ShipEvent::Finished => return (told, shipper.counts()),
                event => told.push(event),
            }
        }
    }
}

fn adds_up(counts: &ShipCounts) -> bool {
    counts.read == counts.confirmed + counts.uncertain + counts.undelivered + counts.refused
}

#[test]
fn every_line_is_delivered_on_every_rung_to_a_sink_that_reads() {
    for ack in [Ack::None, Ack::Peek, Ack::Kernel, Ack::Commit] {
        let sink = sink();
        let mut shipper = Shipper::new(to(&sink, ack)).unwrap();
        let lines: Vec<Vec<u8>> = (0..50_000).map(|n| format!("line {n}").into()).collect();
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let (_, counts) = ship(&mut shipper, &lines);
        assert_eq!(
            (counts.read, counts.confirmed),
            (50_000, 50_000),
            "{ack:?} {counts:?}"
        );
        assert!(adds_up(&counts));
        assert_eq!(sink.stop().lines, 50_000);
    }
}

#[test]
fn epochs_follow_each_other_without_losing_a_line() {
    let sink = sink();
    let mut config = to(&sink, Ack::Commit);
    config.commit_bytes = 64 << 10;
    for ordered in [false, true] {
        config.ordered = ordered;
        let mut shipper = Shipper::new(config.clone()).unwrap();
        let line = [b'x'; 150];
        let lines = vec![&line[..]; 20_000];
        let (_, counts) = ship(&mut shipper, &lines);
        assert_eq!(counts.confirmed, 20_000, "{counts:?}");
        assert!(counts.connections > 10, "{counts:?}");
        assert_eq!(counts.resent, 0);
    }
    assert_eq!(sink.stop().lines, 40_000);
}

#[test]
fn an_old_epoch_is_committed_without_more_lines() {
    let sink = sink();
    let mut config = to(&sink, Ack::Commit);
    config.commit_after = Duration::from_millis(20);
    let mut shipper = Shipper::new(config).unwrap();
    shipper.offer(b"alone").unwrap();
    loop {
        shipper.turn(Some(PATIENCE)).unwrap();
        match shipper.next_event() {
            Some(ShipEvent::Delivered { upto: 1 }) => break,
            Some(ShipEvent::Connected { .. }) | None => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_line_that_cannot_be_carried_is_refused_in_its_place() {
    let sink = sink();
    let mut config = to(&sink, Ack::Commit);
    config.line_bytes_max = Some(5);
    let mut shipper = Shipper::new(config).unwrap();
    let (told, counts) = ship(
        &mut shipper,
        &[b"one", b"far too long", b"a\nb", b"", b"four"],
    );
    let told: Vec<_> = told
        .into_iter()
        .filter(|it| !matches!(it, ShipEvent::Connected { .. }))
        .collect();
    let refused = |line, reason| ShipEvent::Refused { line, reason };
    assert_eq!(
        told,
        [
            ShipEvent::Delivered { upto: 1 },
            refused(
                2,
                Refusal::Oversize {
                    bytes: 12,
                    limit: 5
                }
            ),
            refused(3, Refusal::EmbeddedLf),
            ShipEvent::Delivered { upto: 5 },
        ]
    );
    assert!(adds_up(&counts) && counts.refused == 2);
}

#[test]
fn lines_for_nobody_are_undelivered_at_the_deadline_and_not_before() {
    let mut config = ShipConfig::to("127.0.0.1:1");
    config.drain = Duration::from_millis(200);
    let mut shipper = Shipper::new(config).unwrap();
    for _ in 0..3 {
        shipper.offer(b"nobody").unwrap();
    }
    shipper.finish(Deadline::Standard);
    let mut told = Vec::new();
    while told.last() != Some(&ShipEvent::Finished) {
        shipper.turn(Some(PATIENCE)).unwrap();
        told.extend(std::iter::from_fn(|| shipper.next_event()));
    }
    assert!(
        matches!(told[0], ShipEvent::Lost { sink: 0, .. }),
        "{told:?}"
    );
    assert!(told.contains(&ShipEvent::Undelivered { from: 1, to: 3 }));
    assert!(adds_up(&shipper.counts()));
}

/// Without a line, too: a program wants to know before it reads one.
#[test]
fn each_sink_is_tried_once_or_until_one_has_stood() {
    let nobody = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let told_first = |sinks: Vec<String>| {
        let mut config = ShipConfig::to(&sinks[0]);
        config.sinks = sinks;
        let mut shipper = Shipper::new(config.clone()).unwrap();
        let (mut told, deadline) = (Vec::new(), Instant::now() + PATIENCE);
        while told.len() < config.sinks.len() {
            assert!(Instant::now() < deadline, "{told:?}");
            shipper.turn(Some(PATIENCE)).unwrap();
            told.extend(std::iter::from_fn(|| shipper.next_event()));
        }
        for _ in 0..20 {
            shipper.turn(Some(Duration::from_millis(10))).unwrap();
            assert_eq!(shipper.next_event(), None, "it is tried again");
        }
        told
    };
    let told = told_first(vec![nobody(), nobody(), nobody()]);
    for (at, event) in told.iter().enumerate() {
        assert!(
            matches!(event, ShipEvent::Lost { sink, .. } if *sink == at),
            "{told:?}"
        );
    }
    let sink = sink();
    let told = told_first(vec![nobody(), sink.address.to_string()]);
    assert!(
        matches!(
            told[..],
            [
                ShipEvent::Lost { sink: 0, .. },
                ShipEvent::Connected { sink: 1, .. }
            ]
        ),
        "{told:?}"
    );
}
