//! Handshakes that are cut, stall, are refused, and go well: before they are over nothing of the program's leaves, and
//! nobody is told that the connection stands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Bench, Manner, Other, bench, end_of, ms};
use crate::config::Timeouts;
use crate::conn::Profile;
use crate::error::{CertificateFault, Class, Error, Phase, Sent, Source, TlsFault};
use crate::event::{ConnectionId, Event};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::session::Sessions;
use crate::sim::moments::{TICK, failed};
use crate::sim::session::{Habits, How, Overheard, Refusal};
use crate::socket_options::SocketOptions;
use crate::upstream::Upstream;

const SHAPES: [(u64, bool); 4] = [(1, false), (1, true), (2, false), (3, true)];

/// A raw connection with something queued on it, before its handshake.
fn queued(bench: &mut Bench, manner: &Manner) -> (ConnectionId, Other) {
    let (id, other) = bench.dialled(manner);
    bench.engine.core.send(id, b"hello\n").unwrap();
    (id, other)
}

/// As `talk`, and the other end's line is ended behind so many bytes of it, if there are so many. Whether there were.
fn talk_until(bench: &mut Bench, other: &mut Other, bytes: usize) -> (Vec<Event>, bool) {
    let (mut told, mut left) = (Vec::new(), bytes);
    loop {
        told.extend(bench.events(ms(1)));
        bench.hear(other);
        if other.out.is_empty() || left == 0 {
            return (told, left == 0);
        }
        let part = left.min(other.out.len());
        bench.tell(other, part);
        left -= part;
    }
}

#[test]
fn a_handshake_whose_flights_come_byte_by_byte_is_told_when_it_is_over_and_not_before() {
    for (round_trips, is_twelve) in SHAPES {
        let manner = Manner::with(round_trips, is_twelve);
        let mut bench = bench();
        bench.world.network.borrow_mut().buffer_bytes = 4;
        let (id, mut other) = queued(&mut bench, &manner);
        let mut told = Vec::new();
        while told.is_empty() {
            bench.hear(&mut other);
            assert_eq!(other.got, b"", "said before the handshake is over");
            let was_all = other.out.len() <= 1;
            bench.tell(&mut other, 1);
            told = bench.events(ms(1));
            assert!(told.is_empty() || was_all, "it stands too early");
        }
        assert!(matches!(told[..], [Event::Connected { connection, .. }] if connection == id));
        for _ in 0..60 {
            bench.hear(&mut other);
            assert_eq!(bench.events(ms(1)), []);
        }
        assert_eq!(other.got, b"hello\n");
        other.say(b"world\n");
        let told = bench.talk(&mut other);
        assert!(matches!(told[..], [Event::Frame { frame, .. }] if frame.len() == 5));
    }
}

#[test]
fn a_handshake_that_ends_at_any_byte_is_a_loss_in_the_handshake_and_nothing_was_sent() {
    for (round_trips, is_twelve) in SHAPES {
        for reset in [false, true] {
            for bytes in 0.. {
                let manner = Manner::with(round_trips, is_twelve);
                let mut bench = bench();
                let (_, mut other) = queued(&mut bench, &manner);
                let (told, is_cut) = talk_until(&mut bench, &mut other, bytes);
                if !is_cut || !told.is_empty() {
                    assert!(bytes > 10, "it was over at once");
                    assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
                    break;
                }
                assert_eq!(other.got, b"");
                bench.close(other, reset);
                let told = bench.events(ms(1));
                let Event::Closed { error, written, .. } = told[0] else {
                    panic!("{told:?}")
                };
                let error = error.unwrap();
                let source = match reset {
                    true => Source::Os(libc::ECONNRESET),
                    false => Source::Eof,
                };
                assert_eq!((error.source, error.phase), (source, Phase::Handshake));
                assert_eq!((error.class, written), (Class::Transient, 0));
                assert_eq!(bench.events(ms(1)), []);
                assert_eq!(bench.engine.core.connections(), 0);
                assert_eq!(bench.engine.borrowed_bytes(), 0, "storage is held");
            }
        }
    }
}

#[test]
fn a_stalled_handshake_ends_at_its_timeout_on_both_sides() {
    let handshake = Timeouts::default().handshake;
    for bytes in [0, 1, 5, 10] {
        let manner = Manner::with(2, true);
        let mut bench = bench();
        let from = bench.world.now();
        let (_, mut other) = queued(&mut bench, &manner);
        let (told, is_cut) = talk_until(&mut bench, &mut other, bytes);
        assert!(told.is_empty() && is_cut);
        let mut told = Vec::new();
        while told.is_empty() {
            told = bench.events(TICK);
        }
        let took = bench.world.now().since(from);
        assert!(took >= handshake && took < handshake + ms(1), "{took:?}");
        let error = end_of(&told).unwrap();
        let expected = (
            Source::Timeout(handshake),
            Phase::Handshake,
            Class::Transient,
        );
        assert_eq!((error.source, error.phase, error.class), expected);
    }
}

/// The engine listens, with sessions.
fn listens(bench: &mut Bench, manner: &Manner) -> SocketAddr {
    let profile = Profile {
        timeouts: Timeouts::default(),
        half_close: true,
        reads_pause_above_bytes: 1_000,
        send_queue_bytes_max: 1 << 20,
        read_bytes_max: u64::MAX,
    };
    let core = &mut bench.engine.core;
    let any = core.kernel.address(0);
    let sessions: Arc<dyn Sessions> = manner.servers.clone();
    let made = core.listen_through(any, Framing::line(), profile, Some(sessions));
    made.unwrap().1
}

#[test]
fn who_is_accepted_is_told_when_his_handshake_is_over_and_ends_untold_if_it_never_is() {
    for says_hello in [false, true] {
        let mut bench = bench();
        let manner = Manner::with(2, false);
        let at = listens(&mut bench, &manner);
        let options = SocketOptions::default();
        let socket = bench.peer.connect(at, &options, 1).unwrap();
        assert_eq!(bench.events(ms(1)), []);
        let mut client = manner.clients.begin("").unwrap();
        let mut out = Vec::new();
        client.transmit(&mut out);
        bench
            .peer
            .write(&socket, if says_hello { &out[..] } else { b"" })
            .unwrap();
        assert_eq!(bench.events(ms(1)), []);
        assert_eq!(bench.engine.core.connections(), 1);
        let told = bench.events(Timeouts::default().handshake + ms(5));
        let is_end = |event: &Event| matches!(event, Event::Closed { written: 0, .. });
        assert!(told.iter().all(is_end), "{told:?}");
        assert_eq!(bench.events(ms(1)), []);
        assert_eq!(bench.engine.core.connections(), 0);
    }
    let mut bench = bench();
    let manner = Manner::with(2, false);
    let at = listens(&mut bench, &manner);
    let options = SocketOptions::default();
    let socket = bench.peer.connect(at, &options, 1).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let mut client = manner.clients.begin("").unwrap();
    let mut overheard = Overheard::new(&manner.book);
    let mut told = Vec::new();
    while client.is_handshaking() {
        let mut out = Vec::new();
        client.transmit(&mut out);
        bench.peer.write(&socket, &out).unwrap();
        told.extend(bench.events(ms(1)));
        assert_eq!(told, []);
        let line = bench.got(&socket);
        overheard.put(&line);
        client.receive(&line, &mut |_| {}).unwrap();
    }
    let mut out = Vec::new();
    client.transmit(&mut out);
    client.seal(b"ping\n", &mut out);
    bench.peer.write(&socket, &out).unwrap();
    let told = bench.events(ms(1));
    assert!(
        matches!(told[..], [Event::Connected { .. }, Event::Frame { .. }]),
        "{told:?}"
    );
}

/// How a raw connection has ended whose peer refuses so, and what the peer heard of it.
fn refused_by(step: u8, how: How) -> (Error, Option<Source>) {
    let manner = Manner::with(2, true);
    let mut bench = bench();
    let (_, mut other) = queued(&mut bench, &manner);
    other.session.refuse(Refusal { step, how });
    let told = bench.talk(&mut other);
    bench.hear(&mut other);
    assert_eq!(other.got, b"");
    (end_of(&told).unwrap(), other.ended)
}

#[test]
fn a_peer_that_breaks_off_or_misbehaves_in_the_handshake_is_told_by_its_class() {
    for step in [0, 2, 4] {
        let (error, ended) = refused_by(step, How::Alert(70));
        let told = (error.source, error.phase, error.class);
        assert_eq!(
            told,
            (Source::Alert(70), Phase::Handshake, Class::Persistent)
        );
        assert_eq!(ended, Some(Source::Tls(TlsFault::NothingInCommon)));
        let (error, ended) = refused_by(step, How::Gibberish);
        let (fault, class) = match step {
            0 => (TlsFault::NotTls, Class::Persistent),
            _ => (TlsFault::Misbehaved, Class::Protocol),
        };
        let told = (error.source, error.phase, error.class);
        assert_eq!(told, (Source::Tls(fault), Phase::Handshake, class));
        // It is told why before the socket closes.
        assert_eq!(ended, Some(Source::Alert(10)));
        let (error, _) = refused_by(step, How::Oversize);
        assert_eq!(error.source, Source::Tls(TlsFault::Misbehaved));
    }
}

/// It is the session that finds it; the peer hears the alert before the FIN.
#[test]
fn a_certificate_that_is_refused_fails_who_waits_at_once_and_the_peer_is_told() {
    let how = How::Certificate(CertificateFault::UnknownIssuer);
    let clients = Habits {
        refusal: Some(Refusal { step: 1, how }),
        ..Habits::plain()
    };
    let manner = Manner::of(&clients, &Habits::plain());
    let mut bench = bench();
    let upstream = Upstream::new(bench.at.to_string()).through(&manner);
    let upstream = bench.engine.core.add(upstream).unwrap();
    bench.ask(upstream, 1, Duration::from_secs(60));
    let mut told = bench.events(ms(1));
    let mut other = Other::new(bench.accepted(), &manner);
    told.extend(bench.talk(&mut other));
    bench.hear(&mut other);
    assert_eq!(other.ended, Some(Source::Alert(42)));
    let [Event::Failed { error, .. }] = told[..] else {
        panic!("{told:?}")
    };
    let source = Source::Certificate(CertificateFault::UnknownIssuer);
    assert_eq!((error.source, error.sent), (source, Sent::No));
    assert_eq!(
        (error.phase, error.class),
        (Phase::Handshake, Class::Persistent)
    );
}

#[test]
fn a_request_that_waits_for_a_handshake_ends_at_its_deadline_and_was_not_sent() {
    let manner = Manner::with(2, false);
    let mut bench = bench();
    let upstream = Upstream::new(bench.at.to_string()).through(&manner);
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let mut other = Other::new(bench.accepted(), &manner);
    bench.ask(upstream, 1, ms(20));
    let (told, _) = talk_until(&mut bench, &mut other, 10);
    assert_eq!(told, []);
    let told = bench.events(ms(20));
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((1, Source::Deadline))]
    );
    let Event::Failed { error, .. } = told[0] else {
        unreachable!()
    };
    assert_eq!(error.sent, Sent::No);
    // The handshake goes on, and the next one is served.
    bench.ask(upstream, 2, ms(900));
    assert_eq!(bench.talk(&mut other), []);
    assert_eq!(other.got, b"ping\n");
    other.say(b"pong\n");
    let told = bench.talk(&mut other);
    assert!(
        matches!(told[..], [Event::Reply { tag: 2, .. }]),
        "{told:?}"
    );
}

/// In TLS 1.3 a client's certificate is judged when its side stands already (RFC 8446 §4.4.2.4).
#[test]
fn who_waits_fails_at_once_where_the_peer_refuses_the_client_behind_the_handshake() {
    let manner = Manner::plain();
    let mut bench = bench();
    let upstream = Upstream::new(bench.at.to_string()).through(&manner);
    let upstream = bench.engine.core.add(upstream).unwrap();
    for tag in 1..=3 {
        bench.ask(upstream, tag, Duration::from_secs(60));
    }
    assert_eq!(bench.events(ms(1)), []);
    let mut other = Other::new(bench.accepted(), &manner);
    assert_eq!(bench.talk(&mut other), []);
    other.session.alert(116);
    other.speak();
    bench.tell(&mut other, usize::MAX);
    bench.close(other, true);
    let mut told = Vec::new();
    told.extend(bench.events(ms(2)));
    let told: Vec<_> = told.iter().map(failed).collect();
    let refused = |tag| Some((tag, Source::Alert(116)));
    assert_eq!(told, [refused(1), refused(2), refused(3)]);
}
