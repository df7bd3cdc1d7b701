//! Signals in the midst of waits, one and thousands a second, with handlers that restart calls and such that do not.

use std::io::Write;
use std::time::{Duration, Instant};

use taut::server::{Server, ServerConfig, Service};
use taut::{Client, Deadline, Event, Framing, Source, Upstream};

use super::support::*;
use super::sys::{Restart, Storm};

const EACH: Duration = Duration::from_micros(100);

/// Both storms count with the same counter.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|it| it.into_inner())
}

#[test]
fn a_signal_ends_a_turn_early_and_is_no_error() {
    let _alone = alone();
    for restart in Restart::BOTH {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        let storm = Storm::every(ms(5), restart);
        storm.count();
        for _ in 0..20 {
            // Nothing else can end it: there is no deadline but the idle one, and nobody speaks.
            client.turn(None).unwrap();
            assert_eq!(client.next_event(), None);
        }
        assert!(storm.caught() >= 20, "{} signals", storm.caught());
        drop(storm);
        stream.write_all(b"still here\n").unwrap();
        assert_eq!(next_frame(&mut client, connection), b"still here");
    }
}

/// Everything a client does, while its thread is interrupted ten thousand times a second.
#[test]
fn in_a_storm_of_signals_each_request_ends_once_and_no_deadline_is_early() {
    let _alone = alone();
    for restart in Restart::BOTH {
        for spin in [Duration::ZERO, Duration::from_micros(50)] {
            weather(restart, spin);
        }
    }
}

fn weather(restart: Restart, spin: Duration) {
    let mut server = Server::bind(
        ([127, 0, 0, 1], 0).into(),
        ServerConfig {
            service: Service::Shout,
            ..ServerConfig::default()
        },
    )
    .unwrap();
    let (address, stopper) = (server.local_addr(), server.stopper());
    let serving = std::thread::spawn(move || {
        // Its own thread is in the weather too.
        let _storm = Storm::every(3 * EACH, restart);
        server.run().unwrap();
        server.stats()
    });
    let mut client = client_with(|it| it.spin = spin);
    let silent = Peer::new();
    let mute = client
        .add(Upstream::new(silent.target()).connections(4))
        .unwrap();
    let storm = Storm::every(EACH, restart);
    storm.count();

    let name = format!("localhost:{}", address.port());
    let shout = client
        .add(Upstream::new(name).connections(4).depth(8))
        .unwrap();
    let mut ledger = Ledger::default();
    for round in 0..200 {
        let requests: Vec<_> = (0..16)
            .map(|n| {
                let line = format!("line {round} {n}\n");
                ledger.request(&mut client, shout, line.as_bytes(), far())
            })
            .collect();
        if round % 10 == 0 {
            expire_one(&mut client, mute, &mut ledger);
            connect_and_close(&mut client, &address.to_string(), &mut ledger);
        }
        for (n, request) in requests.into_iter().enumerate() {
            let reply = ledger.until(&mut client, request).reply();
            assert_eq!(reply, format!("LINE {round} {n}").as_bytes());
        }
    }
    ledger.until_all(&mut client);
    assert_eq!((ledger.replies(), ledger.failures()), (200 * 16, 20));
    assert!(storm.caught() > 100, "only {} signals", storm.caught());
    drop(storm);
    drop(client);
    stopper.stop();
    let stats = serving.join().unwrap();
    assert_eq!((stats.accepted, stats.lines), (4 + 20, 200 * 16));
}

/// A request that nobody answers, with a deadline of whole milliseconds and a part of one.
fn expire_one(client: &mut Client, mute: taut::UpstreamId, ledger: &mut Ledger) {
    let timeout = Duration::from_micros(2_300);
    let asked_at = Instant::now();
    let request = ledger.request(client, mute, b"hello?\n", Deadline::after(timeout));
    let error = ledger.until(client, request).error();
    assert!(
        asked_at.elapsed() >= timeout,
        "early: {:?}",
        asked_at.elapsed()
    );
    assert_eq!(error.source, Source::Deadline);
}

fn connect_and_close(client: &mut Client, target: &str, ledger: &mut Ledger) {
    let raw = client.connect(target, Framing::line()).unwrap();
    let mut told = Vec::new();
    client_until(client, |client, event| {
        match event {
            Event::Connected { connection, .. } if connection == raw => {
                client.close(raw).unwrap();
                told.push("connected");
            }
            Event::Closed {
                connection, error, ..
            } if connection == raw => {
                assert_eq!(error, None);
                told.push("closed");
                return Some(());
            }
            other => drop(ledger.book(client, other)),
        }
        None
    });
    assert_eq!(told, ["connected", "closed"]);
}

/// A call blocks in the loop until its reply is here, whatever interrupts it.
#[test]
fn a_call_outlasts_the_signals_that_interrupt_it() {
    let _alone = alone();
    for restart in Restart::BOTH {
        let (target, server) = serve(1, |mut stream| {
            for _ in 0..10 {
                read_exactly(&mut stream, 5);
                // The caller is interrupted some hundred times meanwhile.
                stall_until(Instant::now() + ms(30));
                stream.write_all(b"pong\n").unwrap();
            }
        });
        let mut client = client();
        let upstream = client.add(Upstream::new(target)).unwrap();
        let storm = Storm::every(EACH, restart);
        storm.count();
        for _ in 0..10 {
            let frame = client.call(upstream, b"ping\n", far()).unwrap();
            assert_eq!(client.bytes(&frame), b"pong");
        }
        assert!(storm.caught() > 100, "only {} signals", storm.caught());
        drop(storm);
        server.join().unwrap();
    }
}
