//! Sinks whose handshakes fail or stall: it is told, the sink has its pause, and no line is lost.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use taut::ship::{Ack, ShipConfig};
use taut::{CertificateFault, Class, Deadline, Phase, Source, TlsServerConfig};

use crate::shipping::{Fate, Sender, Shipping};
use crate::sink::Sink;
use crate::support::eventually;
use crate::tls::{Authority, Terms, expired};
use crate::{outcome, ship, to};

#[test]
fn a_certificate_that_is_refused_is_told_with_its_class_and_nothing_leaves() {
    let authority = Authority::new("sinks");
    let identity = authority.issue_as(&["127.0.0.1"], expired);
    let sink = Sink::with(&Terms::new(&identity), &[]);
    let mut shipping = Box::new(Shipping::new(
        to(&sink.target(), &authority, Ack::Commit),
        &|_| {},
    ));
    (1..=10).for_each(|number| shipping.offer(number));
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        shipping.turn(Duration::from_millis(10));
    }
    shipping.close_by(Deadline::After(Duration::from_millis(100)));
    let shipped = shipping.finish();
    assert_eq!(shipped.fates.count(Fate::Undelivered), 10);
    assert_eq!(sink.lines(), 0);
    // Pauses of up to 20 ms, drawn from all of that.
    assert!(
        (2..200).contains(&shipped.lost.len()),
        "{}",
        shipped.lost.len()
    );
    for error in &shipped.lost {
        assert!(
            matches!(
                error.source,
                Source::Certificate(CertificateFault::Expired { .. })
            ),
            "{error}"
        );
        assert_eq!(
            (error.class, error.phase),
            (Class::Persistent, Phase::Handshake)
        );
    }
}

/// The name is the sink's, whichever of its addresses is connected to behind the witness.
#[test]
fn the_certificate_must_be_for_the_sinks_name_and_not_for_its_address() {
    let authority = Authority::new("sinks");
    let named = Terms::new(&authority.issue(&["localhost"]));
    let sink = Sink::with(&named, &[]);
    let config = to(&sink.named(), &authority, Ack::Commit);
    let (outcome, shipped) = ship(config, 100, |number| sink.times_read(number));
    assert_eq!(
        shipped.fates.count(Fate::Delivered),
        100,
        "{outcome:?} {:?}",
        shipped.lost
    );
    let mut by_address = Shipping::new(to(&sink.target(), &authority, Ack::Commit), &|_| {});
    by_address.offer(1);
    by_address.close_by(Deadline::After(Duration::from_millis(200)));
    let shipped = Box::new(by_address).finish();
    assert_eq!(shipped.fates.count(Fate::Undelivered), 1);
}

/// As by an update that went wrong, and one that mends it.
#[test]
fn a_certificate_that_changes_under_way_costs_no_line() {
    let authority = Authority::new("sinks");
    let listener = std::sync::Mutex::new(None);
    let [first, bad, last] = [
        authority.issue_local(),
        Authority::new("strangers").issue_local(),
        authority.issue_local(),
    ];
    let serve = |identity: &crate::tls::Identity, at: std::net::SocketAddr| {
        let tls = TlsServerConfig::pem(identity.chain_pem(), identity.key_pem());
        let config = taut::server::ServerConfig {
            service: taut::server::Service::Sink,
            octet_counted: true,
            tls: Some(tls.build().unwrap()),
            ..taut::server::ServerConfig::default()
        };
        let mut server = taut::server::Server::bind(at, config).unwrap();
        let (address, stopper) = (server.local_addr(), server.stopper());
        let thread = std::thread::spawn(move || {
            server.run().unwrap();
            server.stats()
        });
        *listener.lock().unwrap() = Some((stopper, thread));
        address
    };
    let stop = || {
        let (stopper, thread) = listener.lock().unwrap().take().unwrap();
        stopper.stop();
        thread.join().unwrap().lines
    };
    let address = serve(&first, ([127, 0, 0, 1], 0).into());
    let mut shipping = Box::new(Shipping::new(
        ShipConfig {
            commit_bytes: 16 << 10,
            ..to(&address.to_string(), &authority, Ack::Commit)
        },
        &|_| {},
    ));
    let mut lines = 0;
    for (nth, identity) in [&first, &bad, &last].into_iter().enumerate() {
        if nth > 0 {
            lines += stop();
            serve(identity, address);
        }
        for number in 1..=500 {
            shipping.offer(500 * nth as u64 + number);
            shipping.turn(Duration::ZERO);
        }
        let end = Instant::now() + Duration::from_millis(100);
        while Instant::now() < end {
            shipping.turn(Duration::from_millis(10));
        }
    }
    let shipped = shipping.finish();
    assert_eq!(shipped.fates.count(Fate::Delivered), 1_500);
    let is_of_certificate = |error: &&taut::Error| matches!(error.source, Source::Certificate(_));
    assert!(
        shipped.lost.iter().any(|error| is_of_certificate(&error)),
        "{:?}",
        shipped.lost
    );
    lines += stop();
    assert!((1_500..=1_500 + shipped.resent).contains(&lines), "{lines}");
}

/// It is connected to, and says nothing: the handshake's own deadline passes, and lines go to the next sink.
#[test]
fn a_handshake_that_stalls_is_given_up_and_another_sink_gets_the_lines() {
    let authority = Authority::new("sinks");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = Sink::start(&authority, &[]);
    let mut config = to(
        &silent.local_addr().unwrap().to_string(),
        &authority,
        Ack::Commit,
    );
    config.sinks.push(sink.target());
    config.client.timeouts.handshake = Duration::from_millis(100);
    let (outcome, shipped) = ship(config, 100, |number| sink.times_read(number));
    assert_eq!(shipped.fates.count(Fate::Delivered), 100, "{outcome:?}");
    let stalled = Source::Timeout(Duration::from_millis(100));
    assert_eq!(
        (shipped.lost[0].source, shipped.lost[0].phase),
        (stalled, Phase::Handshake)
    );
}

/// `openssl s_server` and the like: the second connection's handshake waits for the first to end. The witness, which is
/// made first, has the only place.
#[test]
fn a_sink_that_serves_one_connection_at_a_time_gets_lines_all_the_same() {
    let authority = Authority::new("sinks");
    let sink = Sink::serial(&Terms::new(&authority.issue_local()));
    let mut config = to(&sink.target(), &authority, Ack::Commit);
    config.client.timeouts.handshake = Duration::from_millis(200);
    let (outcome, shipped) = ship(config, 100, |number| sink.times_read(number));
    let told = shipped.fates.count(Fate::Delivered) + shipped.fates.count(Fate::Uncertain);
    assert_eq!(
        (told, outcome.lost),
        (100, 0),
        "{outcome:?} {:?}",
        shipped.lost
    );
    eventually("all lines", || sink.lines() >= 100);
}

/// By TLS 1.3 a client that is refused hears of it when it has sent already.
#[test]
fn a_sink_that_refuses_our_certificate_has_its_pause_and_no_line_is_told_as_delivered() {
    let authority = Authority::new("sinks");
    let terms = Terms::asking(&authority.issue_local(), &authority);
    let sink = Sink::with(&terms, &[]);
    for ack in [Ack::Kernel, Ack::Commit] {
        let mut shipping = Box::new(Shipping::new(to(&sink.target(), &authority, ack), &|_| {}));
        (1..=10).for_each(|number| shipping.offer(number));
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            shipping.turn(Duration::from_millis(10));
        }
        shipping.close_by(Deadline::After(Duration::from_millis(100)));
        let shipped = shipping.finish();
        let outcome = outcome(&shipped.fates, |number| sink.times_read(number));
        assert_eq!((outcome.lost, sink.lines()), (0, 0), "{ack:?} {outcome:?}");
        assert!(
            shipped.lost.iter().any(|it| it.class == Class::Persistent),
            "{ack:?} {:?}",
            shipped.lost
        );
        assert!(
            (1..200).contains(&shipped.lost.len()),
            "{}",
            shipped.lost.len()
        );
    }
}

#[test]
fn a_host_that_no_certificate_could_be_for_is_refused_before_anything_is_tried() {
    let authority = Authority::new("sinks");
    let config = to("not a host:1", &authority, Ack::Commit);
    let refused = taut::ship::Shipper::new(config).unwrap_err();
    assert!(matches!(refused.source, Source::Invalid(_)), "{refused}");
}
