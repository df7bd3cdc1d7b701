//! Names of two addresses: whose handshake fails for want of the peer's is followed by the next one's, within one time.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, Manner, Other, bench, end_of, ms};
use crate::config::{Config, Timeouts};
use crate::error::{Phase, Sent, Source};
use crate::event::{ConnectionId, Event};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::kernel::{SimKernel, SimListener};
use crate::sim::names::Lookup;
use crate::upstream::Upstream;

const LONG: Duration = Duration::from_secs(60);

/// How the first address ends a handshake.
#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    Reset,
    Silence,
}

const ENDS: [End; 3] = [End::Fin, End::Reset, End::Silence];

/// Another host that listens at the same port, and the name of both: the bench's own peer comes first.
struct Second {
    kernel: SimKernel,
    listener: SimListener,
    at: SocketAddr,
    target: String,
}

impl Second {
    fn new(bench: &Bench) -> Second {
        let mut kernel = SimKernel::new(&bench.world.network);
        let at = kernel.address(bench.at.port());
        let listener = kernel.listen(at, 0).unwrap();
        let both = Lookup::Found(vec![bench.at.ip(), at.ip()]);
        let mut network = bench.world.network.borrow_mut();
        network.name("both", Duration::ZERO, both);
        Second {
            kernel,
            listener,
            at,
            target: format!("both:{}", bench.at.port()),
        }
    }

    fn accept(&mut self, manner: &Manner) -> Other {
        Other::new(self.kernel.accept(&self.listener).unwrap().0, manner)
    }
}

fn timeouts() -> Timeouts {
    Timeouts::default()
}

impl Bench {
    fn connects(&mut self, second: &Second, manner: &Manner) -> ConnectionId {
        let core = &mut self.engine.core;
        let made = core.connect_through(&second.target, &Framing::line(), Some(&manner.clients));
        made.unwrap()
    }

    /// The first address hears the hello and ends so; nothing is told of it.
    fn fails(&mut self, manner: &Manner, end: End) {
        assert_eq!(self.events(ms(1)), []);
        let mut other = Other::new(self.accepted(), manner);
        self.hear(&mut other);
        match end {
            End::Fin => self.close(other, false),
            End::Reset => self.close(other, true),
            End::Silence => assert_eq!(self.events(timeouts().handshake), []),
        }
        assert_eq!(self.events(ms(2)), []);
    }
}

#[test]
fn a_handshake_that_fails_for_want_of_the_peers_is_made_with_the_next_address() {
    for end in ENDS {
        let manner = Manner::with(2, true);
        let mut bench = bench();
        let mut second = Second::new(&bench);
        let id = bench.connects(&second, &manner);
        bench.engine.core.send(id, b"hello\n").unwrap();
        bench.fails(&manner, end);
        let mut other = second.accept(&manner);
        let told = bench.talk(&mut other);
        assert!(
            matches!(told[..], [Event::Connected { connection, peer }] if connection == id && peer == second.at),
            "{end:?}: {told:?}"
        );
        assert_eq!(other.got, b"hello\n");
        other.say(b"world\n");
        let told = bench.talk(&mut other);
        assert!(matches!(told[..], [Event::Frame { .. }]), "{told:?}");
        assert_eq!(bench.engine.sockets(), 1);
    }
}

#[test]
fn a_request_knows_nothing_of_the_address_before_and_neither_does_its_upstream() {
    for end in [End::Fin, End::Reset] {
        let manner = Manner::plain();
        let mut bench = bench();
        let mut second = Second::new(&bench);
        let upstream = Upstream::new(&second.target).through(&manner);
        let upstream = bench.engine.core.add(upstream).unwrap();
        bench.ask(upstream, 1, LONG);
        bench.fails(&manner, end);
        let mut other = second.accept(&manner);
        assert_eq!(bench.talk(&mut other), []);
        assert_eq!(other.got, b"ping\n");
        other.say(b"pong\n");
        let told = bench.talk(&mut other);
        assert!(matches!(told[..], [Event::Reply { .. }]), "{told:?}");
        let stats = bench.engine.core.upstream_stats(upstream).unwrap();
        assert_eq!((stats.connect_failures, stats.losses), (0, 0));
    }
}

#[test]
fn when_all_addresses_fail_the_last_ones_error_is_told_once_and_nothing_is_left() {
    for end in ENDS {
        let manner = Manner::plain();
        let mut bench = bench();
        let mut second = Second::new(&bench);
        let id = bench.connects(&second, &manner);
        bench.engine.core.send(id, b"hello\n").unwrap();
        bench.fails(&manner, end);
        let mut other = second.accept(&manner);
        bench.hear(&mut other);
        let source = match end {
            End::Fin => {
                second.kernel.close(other.socket, false);
                Source::Eof
            }
            End::Reset => {
                second.kernel.close(other.socket, true);
                Source::Os(libc::ECONNRESET)
            }
            End::Silence => Source::Timeout(timeouts().connect),
        };
        let told = match end {
            End::Silence => bench.events(timeouts().connect),
            _ => bench.events(ms(2)),
        };
        let error = end_of(&told).unwrap();
        let expected = (source, Phase::Handshake, Sent::No);
        assert_eq!((error.source, error.phase, error.sent), expected, "{end:?}");
        assert_eq!(bench.events(ms(2)), []);
        assert_eq!(bench.engine.sockets(), 0);
        assert_eq!(bench.engine.core.connections(), 0);
        assert_eq!(bench.engine.borrowed_bytes(), 0);
    }
}

/// It had used up all the time there is for connecting: the next address was begun with, and blamed for it.
#[test]
fn a_handshake_that_uses_up_the_time_for_connecting_is_what_is_told_of() {
    let manner = Manner::plain();
    let mut bench = Bench::new(Config {
        timeouts: Timeouts {
            handshake: Duration::from_secs(10),
            ..timeouts()
        },
        ..Config::default()
    });
    let mut second = Second::new(&bench);
    bench.connects(&second, &manner);
    assert_eq!(bench.events(ms(1)), []);
    let _other = Other::new(bench.accepted(), &manner);
    let told = bench.events(timeouts().connect + ms(1));
    let error = end_of(&told).unwrap();
    let expected = (Source::Timeout(timeouts().connect), Phase::Handshake);
    assert_eq!((error.source, error.phase), expected);
    assert!(
        second.kernel.accept(&second.listener).is_err(),
        "it was tried"
    );
}

#[test]
fn what_is_closed_or_drained_while_the_next_address_is_tried_ends_at_once() {
    for drains in [false, true] {
        for shakes in [false, true] {
            let manner = Manner::plain();
            let mut bench = bench();
            let mut second = Second::new(&bench);
            let id = bench.connects(&second, &manner);
            bench.engine.core.send(id, b"hello\n").unwrap();
            assert_eq!(bench.events(ms(1)), []);
            let other = Other::new(bench.accepted(), &manner);
            bench.close(other, false);
            bench.stall(ms(1));
            bench.engine.turn(Some(Duration::ZERO)).unwrap();
            if shakes {
                assert_eq!(bench.events(ms(1)), []);
            }
            match drains {
                true => bench.engine.core.drain(|now, _, _| now.after(LONG)),
                false => bench.engine.core.close(id).unwrap(),
            }
            let told = bench.events(ms(2));
            let ends = told.iter().filter(|it| {
                matches!(
                    it,
                    Event::Closed {
                        error: Some(_),
                        written: 0,
                        ..
                    }
                )
            });
            assert_eq!(ends.count(), 1, "{told:?}");
            assert_eq!(bench.engine.sockets(), 0);
            if let Ok((socket, _)) = second.kernel.accept(&second.listener) {
                let line = bench.got(&socket);
                assert!(!line.windows(5).any(|it| it == b"hello"));
            }
        }
    }
}
