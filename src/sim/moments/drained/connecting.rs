//! A client that ends while it connects, looks a name up, or waits to connect again.

use std::net::SocketAddr;

use super::super::{Bench, ms};
use super::{LONG, before_the_end, drain, ends_of, failed_so, read_to_end, replied};
use crate::config::Config;
use crate::error::{Sent, Source};
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::names::Lookup;
use crate::sim::world::STEP;
use crate::upstream::Upstream;

#[test]
fn who_waits_in_a_pause_fails_at_once() {
    let mut bench = Bench::new(Config::default());
    let deaf = SocketAddr::new(bench.at.ip(), 1);
    let upstream = bench.engine.core.add(Upstream::new(deaf.to_string()));
    let upstream = upstream.unwrap();
    let stats = |bench: &Bench| bench.engine.core.upstream_stats(upstream).unwrap();
    while stats(&bench).connect_failures == 0 {
        bench.events(STEP);
    }
    bench.ask(upstream, 1, LONG);
    assert_eq!((stats(&bench).connecting, stats(&bench).waiting), (0, 1));
    drain(&mut bench, LONG);
    let (told, forced) = before_the_end(&mut bench, ms(1));
    let failed = failed_so(&told, Source::ShuttingDown);
    assert_eq!(failed, [(1, Sent::No)], "{told:?}");
    assert_eq!(forced, 0);
}

#[test]
fn a_connection_that_is_being_made_is_awaited_only_by_who_waits_for_it() {
    for waits in [false, true] {
        let mut bench = Bench::new(Config::default());
        let hole = "10.9.9.9:1".parse().unwrap();
        bench.world.network.borrow_mut().black_hole(hole);
        let silent = Upstream::new(hole.to_string()).connections(2);
        let silent = bench.engine.core.add(silent).unwrap();
        let raw = bench.engine.core.connect("10.9.9.9:1", &Framing::line());
        bench.events(ms(10));
        if waits {
            bench.ask(silent, 1, LONG);
        }
        drain(&mut bench, LONG);
        let raw = raw.unwrap();
        let (told, forced) = match waits {
            false => before_the_end(&mut bench, ms(1)),
            true => {
                let told = bench.events(ms(900));
                assert!(!told.contains(&Event::Drained { forced: 0 }));
                assert_eq!(ends_of(&told, raw).len(), 1, "{told:?}");
                // Its wait is over, and nobody else wants them.
                before_the_end(&mut bench, ms(101))
            }
        };
        let wait = Config::default().timeouts.wait;
        let failed = failed_so(&told, Source::Timeout(wait));
        assert_eq!(failed.len(), usize::from(waits), "{told:?}");
        assert_eq!(forced, 0);
        if !waits {
            let error = ends_of(&told, raw)[0].unwrap();
            assert_eq!(error.source, Source::ShuttingDown);
        }
    }
}

#[test]
fn who_waits_is_served_by_the_connection_that_comes_to_stand_and_the_others_are_given_up() {
    let mut bench = Bench::new(Config::default());
    let at = bench.at;
    let (far, near) = (ms(400), ms(5));
    {
        let mut network = bench.world.network.borrow_mut();
        network.name("near", near, Lookup::Found(vec![at.ip()]));
        network.name("far", far, Lookup::Found(vec![at.ip()]));
    }
    let near = Upstream::new(format!("near:{}", at.port()));
    let near = bench.engine.core.add(near).unwrap();
    let far = Upstream::new(format!("far:{}", at.port())).connections(3);
    bench.engine.core.add(far).unwrap();
    bench.ask(near, 1, LONG);
    drain(&mut bench, LONG);
    let told = bench.events(ms(10));
    assert_eq!(told.last(), Some(&Event::Draining { left: 1 }), "{told:?}");
    let awaited = bench.engine.lookups_awaited();
    assert!(awaited.is_empty(), "nobody wants that name any more");
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    assert_eq!(read_to_end(&mut bench, &socket), Err(b"ping\n".to_vec()));
    bench.peer.write(&socket, b"pong\n").unwrap();
    bench.peer.close(socket, false);
    let (told, forced) = before_the_end(&mut bench, ms(1));
    assert_eq!((replied(&told), forced), (vec![1], 0));
}

/// What the drain makes of an upstream is not told as if its server had done it.
#[test]
fn no_state_is_told_of_an_upstream_that_is_drained() {
    let mut bench = Bench::new(Config::default());
    let hole = "10.9.9.9:1".parse().unwrap();
    bench.world.network.borrow_mut().black_hole(hole);
    let silent = Upstream::new(hole.to_string()).tell_state();
    bench.engine.core.add(silent).unwrap();
    bench.events(ms(10));
    drain(&mut bench, LONG);
    bench.engine.turn(Some(ms(1))).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| bench.engine.next_event()).collect();
    assert_eq!(told, [Event::Drained { forced: 0 }]);
}
