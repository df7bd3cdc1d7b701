//! Names, addresses, backlogs and descriptors: what there is before a connection stands.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::error::{Class, ResolveError, Source};
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
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
fn a_black_hole_costs_one_address_its_time_and_the_next_one_answers() {
    let mut bench = Bench::new(Config::default());
    let hole = SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    {
        let mut network = bench.world.network.borrow_mut();
        network.black_hole(hole);
        let both = vec![hole.ip(), bench.at.ip()];
        network.name("both", Duration::ZERO, Lookup::Found(both));
    }
    let port = bench.at.port();
    bench
        .engine
        .core
        .connect(&format!("both:{port}"), &Framing::line())
        .unwrap();
    assert_eq!(bench.events(ms(2_999)), []);
    let told = bench.events(ms(2));
    assert!(
        matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at),
        "{told:?}"
    );

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
    assert_eq!(bench.engine.core.kernel.descriptors(), 1);
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
