//! Sinks that misbehave: none has a shipper spin, wait for ever, connect without a pause, or write out of order.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use support::*;
use taut::server::{ServerConfig, Service};
use taut::ship::{Ack, ShipConfig, ShipCounts, ShipEvent, Shipper, Wire};

/// No witness, small lines.
fn to(target: &str) -> ShipConfig {
    ShipConfig {
        witness: false,
        wire: Wire::Lf { escapes: false },
        line_bytes_max: Some(1_000),
        ..ShipConfig::to(target)
    }
}

fn relp_to(target: &str) -> ShipConfig {
    ShipConfig {
        ack: Ack::Relp,
        wire: Wire::Relp,
        ..to(target)
    }
}

/// Turns for so long.
fn turn_for(shipper: &mut Shipper, time: Duration) -> Vec<ShipEvent> {
    let end = Instant::now() + time;
    let mut told = Vec::new();
    while Instant::now() < end {
        shipper.turn(Some(ms(10))).unwrap();
        told.extend(std::iter::from_fn(|| shipper.next_event()));
    }
    told
}

/// Turns until it is so.
#[track_caller]
fn turn_until(
    shipper: &mut Shipper,
    what: &str,
    mut is_so: impl FnMut(&Shipper, &[ShipEvent]) -> bool,
) {
    let mut told = Vec::new();
    let end = Instant::now() + PATIENCE;
    while !is_so(shipper, &told) {
        assert!(
            Instant::now() < end,
            "{what}: {told:?} {:?}",
            shipper.counts()
        );
        shipper.turn(Some(ms(10))).unwrap();
        told.extend(std::iter::from_fn(|| shipper.next_event()));
    }
}

fn offer_many(shipper: &mut Shipper, lines: usize, bytes: usize) {
    let line = vec![b'x'; bytes];
    for _ in 0..lines {
        shipper.offer(&line).unwrap();
    }
}

/// A sink that serves one connection after the other for as long as the test lasts.
fn sink(mut speak: impl FnMut(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        listener
            .incoming()
            .for_each(|stream| speak(stream.unwrap()))
    });
    target
}

/// Takes RELP frames, of short lines, and gives each to `answer`, which says what is sent.
fn speak_relp(mut stream: TcpStream, mut answer: impl FnMut(u32, &str) -> String) {
    let mut heard = Vec::new();
    let mut buffer = [0; 4 << 10];
    loop {
        while let Some(end) = heard.iter().position(|&byte| byte == b'\n') {
            let text = String::from_utf8(heard[..end].to_vec()).unwrap();
            let parts: Vec<&str> = text.splitn(4, ' ').collect();
            let (txnr, command, len) = (
                parts[0].parse().unwrap(),
                parts[1],
                parts[2].parse::<usize>().unwrap(),
            );
            let data =
                parts[0].len() + parts[1].len() + parts[2].len() + 2 + usize::from(len > 0) + len;
            if heard.len() <= data {
                break;
            }
            let said = answer(txnr, command);
            heard.drain(..=data);
            if stream.write_all(said.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => heard.extend(&buffer[..n]),
        }
    }
}

const OFFERS: &str = "200 OK\nrelp_version=0\ncommands=syslog";

fn opened(txnr: u32) -> String {
    format!("{txnr} rsp {} {OFFERS}\n", OFFERS.len())
}

#[test]
fn with_ordered_nothing_is_written_elsewhere_while_an_epoch_waits_for_room() {
    let peer = Peer::narrow();
    let mut config = to(&peer.target());
    config.ordered = true;
    config.commit_after = ms(50);
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 30_000, 1_000);
    turn_until(&mut shipper, "a connection", |it, _| {
        it.counts().connections > 0
    });
    let _first = peer.accept();
    turn_for(&mut shipper, ms(500));
    if shipper.counts().connections > 1 {
        let mut second = peer.accept();
        second.set_nonblocking(true).unwrap();
        let outcome = second.read(&mut [0; 100]);
        let is_empty = matches!(&outcome, Err(error) if error.kind() == ErrorKind::WouldBlock);
        assert!(is_empty, "{outcome:?}");
    }
}

#[test]
fn a_sink_that_never_confirms_has_two_epochs_and_no_more() {
    let peer = Peer::new();
    let mut config = to(&peer.target());
    config.commit_bytes = 1_000;
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 2_000, 100);
    turn_for(&mut shipper, ms(500));
    let counts = shipper.counts();
    assert!(counts.connections <= 3, "{counts:?}");
}

#[test]
fn a_relp_server_that_closes_every_session_at_once_is_given_pauses() {
    let target = sink(|stream| {
        speak_relp(stream, |txnr, command| match command {
            "open" => opened(txnr) + "0 serverclose 0\n",
            _ => String::new(),
        });
    });
    let mut shipper = Shipper::new(relp_to(&target)).unwrap();
    offer_many(&mut shipper, 3, 10);
    turn_for(&mut shipper, ms(1_000));
    let counts = shipper.counts();
    assert!(counts.connections < 50, "{counts:?}");
}

/// A sink with one place: while it is taken, the SYN of every other is dropped.
#[test]
fn a_witness_that_takes_the_only_place_holds_nothing_up_for_ever() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let target = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut first, _) = listener.accept().unwrap();
        // What waits to be accepted is full with it.
        let filler = TcpStream::connect(target).unwrap();
        _ = first.read_to_end(&mut Vec::new());
        drop((first, filler));
        while let Ok((mut stream, _)) = listener.accept() {
            _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut config = to(&target.to_string());
    config.witness = true;
    config.client.timeouts.connect = ms(1_200);
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 1, 10);
    turn_until(&mut shipper, "a line is written", |it, _| {
        it.counts().written > 0
    });
}

/// The bundled sink lets one more in than it serves, and closes that at once.
#[test]
fn a_sink_that_serves_one_connection_and_closes_others_gets_lines_all_the_same() {
    let sink = Running::start(ServerConfig {
        service: Service::Sink,
        connections_max: 1,
        ..ServerConfig::default()
    });
    let mut config = to(&sink.address.to_string());
    config.witness = true;
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 1, 10);
    turn_until(&mut shipper, "a line is written", |it, _| {
        it.counts().kernel_acked > 0
    });
}

#[test]
fn a_line_that_was_answered_counts_as_written_and_acknowledged() {
    let target = sink(|stream| {
        speak_relp(stream, |txnr, command| match command {
            "open" => opened(txnr),
            "close" => format!("{txnr} rsp 0\n"),
            _ => format!("{txnr} rsp 6 200 OK\n"),
        });
    });
    let mut shipper = Shipper::new(relp_to(&target)).unwrap();
    offer_many(&mut shipper, 1_000, 10);
    shipper.finish(far());
    turn_until(&mut shipper, "the end", |_, told| {
        told.last() == Some(&ShipEvent::Finished)
    });
    let ShipCounts {
        confirmed,
        written,
        kernel_acked,
        ..
    } = shipper.counts();
    assert_eq!((confirmed, written, kernel_acked), (1_000, 1_000, 1_000));
}

#[test]
fn room_is_told_when_the_line_that_had_none_has_it() {
    let mut config = to("127.0.0.1:1");
    config.line_bytes_max = Some(10_000);
    config.journal_bytes_max = 10_000;
    let mut shipper = Shipper::new(config).unwrap();
    shipper.offer(&[b'x'; 5_000]).unwrap();
    for _ in 0..3 {
        assert!(shipper.offer(&[b'y'; 6_000]).unwrap_err().is_full());
        let told = turn_for(&mut shipper, ms(30));
        assert!(!told.contains(&ShipEvent::Room), "{told:?}");
    }
}

#[test]
fn a_shipper_whose_sink_takes_nothing_sleeps() {
    let peer = Peer::narrow();
    let mut config = to(&peer.target());
    config.line_bytes_max = None;
    config.client.socket.send_buffer_bytes = Some(32 << 10);
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 10, 1 << 20);
    turn_until(&mut shipper, "a connection", |it, _| {
        it.counts().connections > 0
    });
    let mut stream = peer.accept();
    stream.set_nonblocking(true).unwrap();
    let (mut bytes, mut read) = (vec![0; 16 << 10], 0);
    // However much of the queue is left.
    for _ in 0..24 {
        let before = read;
        turn_until(&mut shipper, "bytes", |_, _| {
            read += stream.read(&mut bytes).unwrap_or(0);
            read >= before + (64 << 10)
        });
        let (begun, mut turns) = (Instant::now(), 0);
        while begun.elapsed() < ms(20) {
            shipper.turn(Some(ms(5))).unwrap();
            while shipper.next_event().is_some() {}
            turns += 1;
        }
        assert!(turns < 50, "{turns} {:?}", shipper.counts());
    }
}

#[test]
fn a_sink_that_is_given_up_still_gets_what_the_kernel_took_where_nobody_asks_again() {
    for ack in [Ack::None, Ack::Peek] {
        let peer = Peer::narrow();
        let mut config = to(&peer.target());
        config.ack = ack;
        config.client.timeouts.write_stall = ms(200);
        let mut shipper = Shipper::new(config).unwrap();
        offer_many(&mut shipper, 30_000, 1_000);
        turn_until(&mut shipper, "a loss", |_, told| {
            told.iter().any(|it| matches!(it, ShipEvent::Lost { .. }))
        });
        let mut heard = Vec::new();
        let outcome = peer.accept().read_to_end(&mut heard);
        assert!(outcome.is_ok(), "{ack:?} {outcome:?} {}", heard.len());
    }
}

#[test]
fn a_sink_that_is_slow_and_goes_on_reading_has_its_time_to_confirm() {
    let peer = Peer::narrow();
    let mut config = to(&peer.target());
    config.commit_timeout = ms(500);
    config.client.socket.send_buffer_bytes = Some(32 << 10);
    let mut shipper = Shipper::new(config).unwrap();
    offer_many(&mut shipper, 600, 1_000);
    shipper.finish(far());
    turn_until(&mut shipper, "a connection", |it, _| {
        it.counts().connections > 0
    });
    let mut stream = Some(peer.accept());
    stream
        .iter()
        .for_each(|it| it.set_nonblocking(true).unwrap());
    turn_until(&mut shipper, "the end", |_, told| {
        // Longer than the deadline for all of it.
        let outcome = stream.as_mut().map(|it| it.read(&mut [0; 4 << 10]));
        if let Some(Ok(0)) = outcome {
            stream = None;
        }
        told.last() == Some(&ShipEvent::Finished)
    });
    let counts = shipper.counts();
    assert_eq!((counts.confirmed, counts.uncertain), (600, 0), "{counts:?}");
}

#[test]
fn a_sink_that_resets_behind_every_end_is_not_sent_the_same_for_ever() {
    for witness in [false, true] {
        let target = sink(|mut stream| {
            std::thread::spawn(move || {
                let mut buffer = [0; 4 << 10];
                while let Ok(1..) = stream.read(&mut buffer) {}
                let nothing = Some(Duration::ZERO);
                SockRef::from(&stream).set_linger(nothing).unwrap();
            });
        });
        let mut config = to(&target);
        config.witness = witness;
        config.client.reconnect.pause_max = config.client.reconnect.first_pause_max;
        let mut shipper = Shipper::new(config).unwrap();
        offer_many(&mut shipper, 1, 10);
        shipper.finish(far());
        turn_until(&mut shipper, "the end", |_, told| {
            told.last() == Some(&ShipEvent::Finished)
        });
        let counts = shipper.counts();
        assert_eq!((counts.uncertain, counts.resent), (1, 3), "{counts:?}");
    }
}
