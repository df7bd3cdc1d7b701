//! A line that swallows packets, a window that shuts, a host that cannot be reached: what the engine
//! makes of what the kernels make of it.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Config, Retry, Timeouts};
use crate::error::{Class, Sent, Source};
use crate::event::{ConnectionId, Event};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::connecting::Unreachable;
use crate::sim::kernel::SimSocket;
use crate::sim::names::Lookup;
use crate::time::Time;
use crate::upstream::Upstream;

/// The kernel's timeouts, and none of the engine's.
fn patient() -> Config {
    let long = Duration::from_secs(600);
    let timeouts = Timeouts {
        connect: long,
        connect_address: long,
        first_byte: long,
        read_stall: long,
        write_stall: long,
        wait: long,
        idle: long,
        ..Timeouts::default()
    };
    Config {
        timeouts,
        ..Config::default()
    }
}

impl Bench {
    /// A raw connection, and its other end.
    fn raw(&mut self) -> (ConnectionId, SimSocket) {
        let at = self.at.to_string();
        let id = self.engine.core.connect(&at, &Framing::line()).unwrap();
        let told = self.events(ms(1));
        assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
        (id, self.peer.accept(&self.listener).unwrap().0)
    }

    /// Nothing arrives in these directions of the peer's end, for so long or for ever.
    pub(super) fn hole(
        &mut self,
        end: &SimSocket,
        to_peer: bool,
        from_peer: bool,
        time: Option<Duration>,
    ) {
        let here = self.peer.local_addr(end).unwrap();
        let there = self.peer.peer_addr(end).unwrap();
        let until = time.map_or(Time::NEVER, |time| self.world.now().after(time));
        for (digs, from, to) in [(to_peer, there, here), (from_peer, here, there)] {
            if digs {
                let mut network = self.world.network.borrow_mut();
                network.dig(from, to, until, libc::ETIMEDOUT);
            }
        }
    }

    /// What has come to the peer.
    pub(super) fn got(&mut self, end: &SimSocket) -> Vec<u8> {
        let mut into = vec![0; 1 << 20];
        let n = self.peer.read(end, &mut into).unwrap_or(0);
        into.truncate(n);
        into
    }
}

/// What a connection ended with.
fn end_of(events: &[Event]) -> (Class, Source) {
    match events {
        [Event::Closed { error: Some(e), .. }] => (e.class, e.source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_lost_in_a_hole_is_answered_when_it_has_closed() {
    for (to_peer, from_peer) in [(true, false), (false, true), (true, true)] {
        let mut bench = Bench::new(patient());
        let (upstream, end) = bench.upstream(2);
        bench.hole(&end, to_peer, from_peer, Some(ms(1_500)));
        for tag in 1..=2 {
            bench.ask(upstream, tag, Duration::from_secs(60));
            assert_eq!(bench.events(ms(100)), []);
        }
        let mut told = Vec::new();
        let mut got = Vec::new();
        while told.is_empty() {
            assert!(bench.world.now() < Time::ZERO.after(ms(5_000)));
            let some = bench.got(&end);
            bench.peer.write(&end, &some).unwrap();
            got.extend(some);
            told = bench.events(ms(10));
        }
        assert!(bench.world.now() > Time::ZERO.after(ms(1_500)));
        assert_eq!(got, b"ping\nping\n");
        let replied = |event: &Event| matches!(event, Event::Reply { .. });
        assert_eq!(told.iter().filter(|event| replied(event)).count(), 2);
    }
}

#[test]
fn bytes_in_a_hole_that_stays_end_the_connection_at_the_user_timeout() {
    for (to_peer, from_peer) in [(true, false), (false, true)] {
        let mut config = patient();
        config.socket.keepalive = None;
        let mut bench = Bench::new(config);
        let (upstream, end) = bench.upstream(1);
        bench.hole(&end, to_peer, from_peer, None);
        bench.ask(upstream, 1, Duration::from_secs(60));
        assert_eq!(bench.events(ms(19_990)), []);
        let told = bench.events(ms(20));
        let [Event::Failed { error, .. }] = told[..] else {
            panic!("{told:?}")
        };
        let expected = (Source::Os(libc::ETIMEDOUT), Sent::Maybe, Class::Transient);
        assert_eq!((error.source, error.sent, error.class), expected);
    }
}

#[test]
fn a_quiet_line_that_is_gone_is_found_within_twenty_seconds() {
    let mut bench = Bench::new(patient());
    let (_, end) = bench.raw();
    bench.hole(&end, true, true, None);
    assert_eq!(bench.events(ms(19_900)), []);
    let expected = (Class::Transient, Source::Os(libc::ETIMEDOUT));
    assert_eq!(end_of(&bench.events(ms(200))), expected);
}

#[test]
fn a_window_that_shuts_and_opens_again_loses_nothing() {
    let mut bench = Bench::under(patient(), &["ShutWindow:1", "ShutWindow:3"]);
    let (id, end) = bench.raw();
    let sent: Vec<u8> = (0..500_000_u32).map(|at| at as u8).collect();
    bench.engine.core.send(id, &sent).unwrap();
    let mut got = Vec::new();
    while got.len() < sent.len() {
        assert!(bench.world.now() < Time::ZERO.after(ms(10_000)));
        assert_eq!(bench.events(ms(1)), []);
        got.extend(bench.got(&end));
    }
    assert_eq!(bench.world.weather.schedule().len(), 2);
    assert!(got == sent, "other bytes");
}

#[test]
fn a_window_that_stays_shut_ends_the_connection_at_the_user_timeout() {
    let mut bench = Bench::under(patient(), &["Mute:1"]);
    let (id, _end) = bench.raw();
    bench.engine.core.send(id, b"nobody takes it").unwrap();
    assert_eq!(bench.events(ms(19_990)), []);
    let expected = (Class::Transient, Source::Os(libc::ETIMEDOUT));
    assert_eq!(end_of(&bench.events(ms(20))), expected);
}

#[test]
fn whatever_keeps_a_connect_from_its_host_is_told_and_the_next_address_tried() {
    for (unreachable, class) in [
        (Unreachable::AtOnce(libc::ENETUNREACH), Class::Transient),
        (Unreachable::AtOnce(libc::EADDRNOTAVAIL), Class::Resource),
        (Unreachable::AtOnce(libc::ENOBUFS), Class::Resource),
        (Unreachable::AtOnce(libc::EPERM), Class::Persistent),
        (Unreachable::Later(libc::EHOSTUNREACH), Class::Transient),
        (Unreachable::Later(libc::ETIMEDOUT), Class::Transient),
        (Unreachable::Softly(libc::EHOSTUNREACH), Class::Transient),
    ] {
        let (Unreachable::AtOnce(errno) | Unreachable::Later(errno) | Unreachable::Softly(errno)) =
            unreachable;
        let mut bench = Bench::new(patient());
        let gone = SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
        {
            let mut network = bench.world.network.borrow_mut();
            network.cut_off(gone, unreachable);
            let both = vec![gone.ip(), bench.at.ip()];
            network.name("both", Duration::ZERO, Lookup::Found(both));
        }
        let mut connect = |to: &str| {
            bench.engine.core.connect(to, &Framing::line()).unwrap();
            bench.events(ms(2))
        };
        assert_eq!(
            end_of(&connect(&gone.to_string())),
            (class, Source::Os(errno))
        );
        let told = connect(&format!("both:{}", gone.port()));
        // Memory the next address needs as well; ports and an address of its own it may have.
        let tries_next = errno != libc::ENOBUFS;
        let connected = matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at);
        assert_eq!(connected, tries_next, "{unreachable:?}: {told:?}");
        let descriptors = bench.engine.core.kernel.descriptors();
        assert_eq!(descriptors, usize::from(connected));
    }
}

#[test]
fn a_late_answer_to_a_connect_is_taken_or_refused_when_nobody_waits_any_more() {
    for (patience, is_taken) in [(ms(5_000), true), (ms(1), false)] {
        let mut config = patient();
        config.timeouts.connect = patience;
        let mut bench = Bench::under(config, &["SlowConnect:1"]);
        let at = bench.at.to_string();
        bench.engine.core.connect(&at, &Framing::line()).unwrap();
        let told = bench.events(ms(4_500));
        let (end, _) = bench.peer.accept(&bench.listener).unwrap();
        let mut into = [0; 8];
        let read = bench
            .peer
            .read(&end, &mut into)
            .map_err(|e| e.raw_os_error());
        match is_taken {
            true => assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}"),
            false => assert_eq!(end_of(&told).1, Source::Timeout(ms(1))),
        }
        let errno = if is_taken {
            libc::EAGAIN
        } else {
            libc::ECONNRESET
        };
        assert_eq!(read, Err(Some(errno)));
    }
}

#[test]
fn a_listener_that_comes_back_is_found_within_the_longest_pause() {
    let mut bench = Bench::new(patient());
    let back_at = bench.world.now().after(ms(3_000));
    bench
        .world
        .network
        .borrow_mut()
        .send_away(bench.at, back_at);
    let upstream = Upstream::new(bench.at.to_string()).connections(1..=1);
    bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(2_990)), []);
    assert_eq!(bench.engine.core.kernel.descriptors(), 0);
    let pause_max = Config::default().reconnect.pause_max;
    bench.events(pause_max);
    assert!(bench.peer.accept(&bench.listener).is_ok());
}

#[test]
fn addresses_of_a_name_at_which_nobody_is_cost_their_time_and_the_live_one_answers() {
    let mut bench = Bench::under(Config::default(), &["NameHasDead:1"]);
    let live = vec![bench.at.ip()];
    let name = bench.world.network.clone();
    name.borrow_mut().name("some", ms(1), Lookup::Found(live));
    let to = format!("some:{}", bench.at.port());
    bench.engine.core.connect(&to, &Framing::line()).unwrap();
    let told = bench.events(ms(4_000));
    assert!(
        matches!(told[..], [Event::Connected { peer, .. }] if peer == bench.at),
        "{told:?}"
    );
}

#[test]
fn requests_are_served_again_when_there_are_descriptors_again() {
    let mut bench = Bench::under(Config::default(), &["NoDescriptors:1"]);
    let upstream = Upstream::new(bench.at.to_string());
    let upstream = bench.engine.core.add(upstream).unwrap();
    bench.ask(upstream, 1, ms(900));
    let told = bench.events(ms(1_000));
    let resource = |event: &Event| {
        failed(event).is_some_and(|(_, source)| {
            [libc::EMFILE, libc::ENFILE].contains(&match source {
                Source::Os(errno) => errno,
                _ => 0,
            })
        })
    };
    assert!(told.len() == 1 && resource(&told[0]), "{told:?}");
    bench.ask(upstream, 2, ms(900));
    assert_eq!(bench.events(ms(200)), []);
    let (end, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.peer.write(&end, b"pong\n").unwrap();
    assert!(matches!(bench.events(ms(1))[..], [Event::Reply { .. }]));
}

/// Each that timed out had all members of its upstream looked through: with ten thousand, a hundred million looks.
#[test]
fn however_many_connections_time_out_in_a_turn_those_that_rest_are_looked_through_once() {
    let (busy, resting) = (40, 10);
    let mut bench = Bench::new(Config {
        retry: Retry::off(),
        ..Config::default()
    });
    let upstream = Upstream::new(bench.at.to_string()).connections(busy + resting);
    let upstream = bench.engine.core.add(upstream).unwrap();
    bench.events(ms(1_000));
    let stats = |bench: &Bench| bench.engine.core.upstream_stats(upstream).unwrap();
    assert_eq!(stats(&bench).open, busy + resting);
    for tag in 0..busy as u64 {
        bench.ask(upstream, tag, ms(9_000));
    }
    let walks = bench.engine.outage_walks();
    let told = bench.events(ms(5_100));
    assert_eq!(told.iter().filter_map(failed).count(), busy);
    let stats = stats(&bench);
    assert_eq!((stats.open, stats.retired), (0, resting as u64));
    assert_eq!(bench.engine.outage_walks() - walks, 1);
}
