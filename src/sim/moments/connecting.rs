//! Names, addresses, backlogs and descriptors: what there is before a connection stands.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::error::{Class, ResolveError, Source};
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::connecting::Unreachable;
use crate::sim::names::Lookup;
use crate::socket_options::SocketOptions;

fn closed(events: &[Event]) -> Option<Source> {
    match events {
        [Event::Closed { error, .. }] => error.map(|error| error.source),
        _ => None,
    }
}

#[test]
fn a_name_is_looked_up_refused_or_given_up_at_its_timeout() {
    let mut bench = Bench::new(Config::default());
    {
        let mut network = bench.world.network.borrow_mut();
        network.name("here", ms(3), Lookup::Found(vec![bench.at.ip()]));
        network.name("nowhere", ms(3), Lookup::Fails(ResolveError::NotFound));
        network.name("silence", ms(3), Lookup::Hangs);
    }
    let port = bench.at.port();
    for (name, expected) in [
        ("nowhere", Source::Resolve(ResolveError::NotFound)),
        ("silence", Source::Timeout(Duration::from_secs(2))),
    ] {
        bench
            .engine
            .core
            .connect(&format!("{name}:{port}"), &Framing::line())
            .unwrap();
        assert_eq!(
            closed(&bench.events(Duration::from_secs(3))),
            Some(expected),
            "{name}"
        );
    }
    bench
        .engine
        .core
        .connect(&format!("here:{port}"), &Framing::line())
        .unwrap();
    assert_eq!(bench.events(ms(2)), []);
    let told = bench.events(ms(2));
    assert!(
        matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at),
        "{told:?}"
    );
}

#[test]
fn a_black_hole_costs_a_quarter_of_a_second_once_and_the_address_that_answers_goes_first_then() {
    let mut bench = Bench::new(Config::default());
    let hole = SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    {
        let mut network = bench.world.network.borrow_mut();
        network.black_hole(hole);
        let both = vec![hole.ip(), bench.at.ip()];
        network.name("both", Duration::ZERO, Lookup::Found(both));
    }
    let port = bench.at.port();
    for answers_after in [249, 0] {
        bench
            .engine
            .core
            .connect(&format!("both:{port}"), &Framing::line())
            .unwrap();
        assert_eq!(bench.events(ms(answers_after)), []);
        let told = bench.events(ms(2));
        assert!(
            matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at),
            "{told:?}"
        );
    }
    // The loser's was given back.
    assert_eq!(bench.engine.core.kernel.descriptors(), 2);

    bench
        .engine
        .core
        .connect(&hole.to_string(), &Framing::line())
        .unwrap();
    assert_eq!(bench.events(ms(4_999)), []);
    assert_eq!(
        closed(&bench.events(ms(2))),
        Some(Source::Timeout(Duration::from_secs(5)))
    );
    assert_eq!(bench.engine.core.kernel.descriptors(), 2);
}

fn connect(bench: &mut Bench, name: &str) {
    let target = format!("{name}:{}", bench.at.port());
    let connected = bench.engine.core.connect(&target, &Framing::line());
    connected.unwrap();
}

fn is_connected_to(events: &[Event], at: SocketAddr) -> bool {
    matches!(events, [Event::Connected { peer, .. }] if *peer == at)
}

/// As `localhost` in a container without IPv6.
#[test]
fn an_address_that_this_machine_has_no_way_to_costs_the_next_nothing() {
    let mut bench = Bench::new(Config::default());
    let other = SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    {
        let mut network = bench.world.network.borrow_mut();
        network.cut_off(other, Unreachable::AtOnce(libc::EADDRNOTAVAIL));
        let both = vec![other.ip(), bench.at.ip()];
        network.name("both", Duration::ZERO, Lookup::Found(both));
    }
    connect(&mut bench, "both");
    let told = bench.events(ms(2));
    assert!(is_connected_to(&told, bench.at), "{told:?}");
}

/// Only a name whose addresses all failed by name was asked for anew; one whose server had moved and left a black hole
/// was dialled there for as long as the answer was fresh.
#[test]
fn a_name_whose_addresses_fall_silent_is_looked_up_anew_at_the_next_connect() {
    let mut bench = Bench::new(Config::default());
    let hole = SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    let here = bench.at.ip();
    let name = |bench: &Bench, ip| {
        let mut network = bench.world.network.borrow_mut();
        network.black_hole(hole);
        network.name("moved", Duration::ZERO, Lookup::Found(vec![ip]));
    };
    name(&bench, hole.ip());
    connect(&mut bench, "moved");
    let expected = Some(Source::Timeout(Duration::from_secs(5)));
    assert_eq!(closed(&bench.events(ms(5_001))), expected);
    name(&bench, here);
    connect(&mut bench, "moved");
    let told = bench.events(ms(2));
    assert!(is_connected_to(&told, bench.at), "{told:?}");
}

#[test]
fn a_full_backlog_takes_a_connection_when_there_is_room_again() {
    let mut bench = Bench::new(Config::default());
    bench.peer.set_backlog_max(bench.at, 1);
    for _ in 0..2 {
        bench
            .engine
            .core
            .connect(&bench.at.to_string(), &Framing::line())
            .unwrap();
    }
    assert_eq!(bench.events(ms(500)).len(), 1);
    bench.peer.accept(&bench.listener).unwrap();
    assert_eq!(bench.events(ms(400)), []);
    assert_eq!(
        bench.events(ms(200)).len(),
        1,
        "the SYN is sent again after a second"
    );
}

#[test]
fn without_descriptors_connects_fail_at_once_and_accepting_goes_on_by_timer() {
    let mut bench = Bench::new(Config::default());
    bench.engine.core.kernel.set_descriptors_max(1);
    for _ in 0..2 {
        bench
            .engine
            .core
            .connect(&bench.at.to_string(), &Framing::line())
            .unwrap();
    }
    let told = bench.events(ms(1));
    let resource = |event: &Event| matches!(event, Event::Closed { error: Some(e), .. } if e.class == Class::Resource);
    assert_eq!(
        (
            told.len(),
            told.iter().filter(|event| resource(event)).count()
        ),
        (2, 1)
    );

    let at = bench.listen(usize::MAX);
    let mut connect = || {
        bench
            .peer
            .connect(at, &SocketOptions::default(), 1)
            .ok()
            .unwrap()
    };
    let (_shed, _waits) = (connect(), connect());
    let rounds = bench.world.rounds;
    assert_eq!(bench.events(ms(50)), []);
    assert!(bench.world.rounds - rounds < 10, "it spins");
    assert_eq!(bench.engine.core.refused(), 1);
    bench.engine.core.kernel.set_descriptors_max(2);
    let told = bench.events(ms(100));
    assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
}

/// The kernel says of it what it says of a connection whose peer has gone twice over (tcp_reset in CLOSE_WAIT), and the
/// table of errors did not know that of a connect.
#[test]
fn a_peer_that_ended_and_reset_before_the_loop_looked_broke_the_pipe() {
    let mut bench = Bench::new(Config::default());
    let at = bench.at.to_string();
    bench.engine.core.connect(&at, &Framing::line()).unwrap();
    bench.engine.turn(Some(Duration::ZERO)).unwrap();
    bench.stall(ms(1));
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.peer.shutdown(&socket).unwrap();
    bench.stall(ms(1));
    bench.peer.close(socket, true);
    bench.stall(ms(1));
    let told = bench.events(ms(1));
    let [
        Event::Closed {
            error: Some(error), ..
        },
    ] = told[..]
    else {
        panic!("{told:?}")
    };
    let phase = crate::error::Phase::Connect;
    assert_eq!(
        (error.phase, error.source),
        (phase, Source::Os(libc::EPIPE))
    );
    assert!(crate::error::table::is_listed(&error), "{error:?}");
}
