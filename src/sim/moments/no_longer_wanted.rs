//! What comes of a name, or of one of its addresses, when it no longer matters.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::event::Event;
use crate::frame::Framing;
use crate::sim::connecting::Unreachable;
use crate::sim::names::Lookup;

fn connect(bench: &mut Bench, name: &str) {
    let target = format!("{name}:{}", bench.at.port());
    let connected = bench.engine.core.connect(&target, &Framing::line());
    connected.unwrap();
}

fn other(bench: &Bench) -> SocketAddr {
    SocketAddr::new([10, 9, 9, 9].into(), bench.at.port())
}

#[test]
fn a_late_answer_for_a_name_that_was_forgotten_is_not_for_the_name_in_its_place() {
    let mut config = Config::default();
    config.lookups.names_max = 0;
    let mut bench = Bench::new(config);
    {
        let mut network = bench.world.network.borrow_mut();
        let (old, new) = (other(&bench).ip(), bench.at.ip());
        network.name("old", ms(3_000), Lookup::Found(vec![old]));
        network.name("new", ms(1_500), Lookup::Found(vec![new]));
    }
    connect(&mut bench, "old");
    let told = bench.events(ms(2_001));
    assert!(matches!(told[..], [Event::Closed { .. }]), "{told:?}");
    connect(&mut bench, "new");
    let told = bench.events(ms(1_600));
    let is_there = matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at);
    assert!(is_there, "{told:?}");
}

/// A resolver whose answer never comes froze a well-known pooler for a month: it went on waiting for that one.
#[test]
fn a_lookup_that_never_ends_is_begun_anew_when_the_name_is_asked_for_again() {
    let mut bench = Bench::new(Config::default());
    let network = bench.world.network.clone();
    let name = |lookup| network.borrow_mut().name("a.name", Duration::ZERO, lookup);
    name(Lookup::Hangs);
    connect(&mut bench, "a.name");
    let told = bench.events(ms(2_001));
    assert!(matches!(told[..], [Event::Closed { .. }]), "{told:?}");
    name(Lookup::Found(vec![bench.at.ip()]));
    connect(&mut bench, "a.name");
    let told = bench.events(ms(2));
    let is_there = matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at);
    assert!(is_there, "{told:?}");
}

/// Attempts share a token: their edges come together when the loop was away.
#[test]
fn the_end_of_a_losing_attempt_is_not_taken_for_the_winners() {
    let mut config = Config::default();
    config.timeouts.connect_next = Duration::ZERO;
    let mut bench = Bench::new(config);
    {
        let loser = other(&bench);
        let mut network = bench.world.network.borrow_mut();
        network.cut_off(loser, Unreachable::Later(libc::EHOSTUNREACH));
        let both = vec![loser.ip(), bench.at.ip()];
        network.name("both", Duration::ZERO, Lookup::Found(both));
    }
    connect(&mut bench, "both");
    // The attempts are made, and one has failed and the other stands before the loop is turned again.
    for _ in 0..2 {
        bench.world.turn(&mut [&mut bench.engine]).unwrap();
    }
    bench.stall(ms(1));
    let told = bench.events(ms(1));
    let [Event::Connected { connection, .. }] = told[..] else {
        panic!("{told:?}")
    };
    bench.engine.core.send(connection, b"hello\n").unwrap();
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(
        bench.engine.standing()[0].written,
        6,
        "it was not written to"
    );
}
