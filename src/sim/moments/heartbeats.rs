//! Heartbeats of an upstream's connections: what is silent is found, what speaks is left alone, and an answer is
//! never taken for a reply.

use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Config, Expect, Heartbeat, Timeouts};
use crate::error::{Class, Phase, Sent, Source};
use crate::event::{Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::time::Time;
use crate::upstream::{Upstream, UpstreamStats};

const AFTER: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Nothing finds a silent peer but the heartbeat.
fn config() -> Config {
    let mut config = Config::default();
    config.timeouts.first_byte = secs(120);
    config.socket.keepalive = None;
    config.socket.user_timeout = None;
    config
}

fn ping() -> Heartbeat {
    Heartbeat::new(b"beat\n", Expect::exactly(b"beaten"))
}

/// One warm connection with a heartbeat.
fn warm(bench: &mut Bench) -> (UpstreamId, SimSocket) {
    let upstream = Upstream::new(bench.at.to_string()).depth(2);
    bench.standing(upstream.connections(1..=1).heartbeat(ping()))
}

impl Bench {
    fn stats(&self, upstream: UpstreamId) -> UpstreamStats {
        self.engine.core.upstream_stats(upstream).unwrap()
    }

    /// Until the peer is asked; it must be within the time that is drawn.
    fn until_asked(&mut self, end: &SimSocket, question: &[u8]) {
        let from = self.world.now();
        assert_eq!(self.events(AFTER * 9 / 10 - ms(1)), []);
        assert_eq!(self.got(end), b"");
        let mut got = Vec::new();
        while got.is_empty() {
            let waited = self.world.now().since(from);
            assert!(waited <= AFTER + ms(2), "not asked");
            assert_eq!(self.events(ms(1)), []);
            got = self.got(end);
        }
        assert_eq!(got, question);
    }
}

#[test]
fn a_black_hole_is_found_while_idle_and_the_warm_connection_is_made_again() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.hole(&end, true, true, None);
    let from = bench.world.now();
    while bench.stats(upstream).losses == 0 {
        assert_eq!(bench.events(ms(1)), []);
    }
    let took = bench.world.now().since(from);
    assert!(took <= AFTER + TIMEOUT + ms(5), "{took:?}");
    let stats = bench.stats(upstream);
    assert_eq!((stats.heartbeats, stats.heartbeats_missed), (1, 1));
    let error = stats.last_error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.source),
        (Class::Transient, Phase::Idle, Source::Timeout(TIMEOUT))
    );
    assert_eq!(bench.events(secs(1)), []);
    assert_eq!(bench.stats(upstream).open, 1);
    assert!(bench.peer.accept(&bench.listener).is_ok());
}

/// Its kernel acknowledges, so neither keepalive nor the user timeout would find it.
#[test]
fn a_peer_that_hangs_is_found_and_reset() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.until_asked(&end, b"beat\n");
    assert_eq!(bench.events(TIMEOUT - ms(10)), []);
    assert_eq!(bench.stats(upstream).losses, 0);
    assert_eq!(bench.events(ms(20)), []);
    assert_eq!(bench.stats(upstream).heartbeats_missed, 1);
    let read = bench.peer.read(&end, &mut [0; 8]);
    let errno = read.map_err(|error| error.raw_os_error());
    assert_eq!(errno, Err(Some(libc::ECONNRESET)));
}

#[test]
fn a_peer_that_answers_is_asked_again_and_again_and_nothing_is_told() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    for heartbeats in 1..=10 {
        bench.until_asked(&end, b"beat\n");
        bench.peer.write(&end, b"beaten\n").unwrap();
        assert_eq!(bench.events(ms(1)), []);
        let stats = bench.stats(upstream);
        assert_eq!((stats.heartbeats, stats.losses), (heartbeats, 0));
        assert_eq!((stats.in_flight, stats.heartbeats_missed), (0, 0));
    }
    // Slots give back at the start of a turn.
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(bench.engine.borrowed_bytes(), 0, "it keeps no storage");
}

#[test]
fn a_connection_that_is_not_kept_warm_ends_when_idle_however_well_it_answers() {
    let mut bench = Bench::new(config());
    let upstream = Upstream::new(bench.at.to_string()).connections(1);
    let (upstream, end) = bench.standing(upstream.heartbeat(ping()));
    bench.until_asked(&end, b"beat\n");
    bench.peer.write(&end, b"beaten\n").unwrap();
    let idle = Timeouts::default().idle;
    let left = idle - bench.world.now().since(Time::ZERO);
    assert_eq!(bench.events(left - ms(5)), []);
    assert_eq!(bench.stats(upstream).open, 1);
    assert_eq!(bench.events(ms(15)), []);
    let stats = bench.stats(upstream);
    assert_eq!((stats.open, stats.heartbeats_missed), (0, 0));
    let error = stats.last_error.unwrap();
    assert_eq!(error.source, Source::Timeout(idle));
    assert_eq!(bench.peer.read(&end, &mut [0; 8]).ok(), Some(0), "a FIN");
}

/// It is asked once, never answers, and is not given up while it speaks.
#[test]
fn pushes_are_signs_of_life() {
    let mut bench = Bench::new(config());
    let upstream = Upstream::new(bench.at.to_string()).framing(Framing::resp3());
    let upstream = upstream.connections(1..=1).heartbeat(ping());
    let (upstream, end) = bench.standing(upstream);
    bench.until_asked(&end, b"beat\n");
    for _ in 0..20 {
        bench.peer.write(&end, b">1\r\n+news\r\n").unwrap();
        let told = bench.events(TIMEOUT - secs(1));
        assert!(matches!(told[..], [Event::Push { .. }]), "{told:?}");
    }
    let stats = bench.stats(upstream);
    assert_eq!((stats.heartbeats, stats.losses), (1, 0));
    // And then it falls silent.
    assert_eq!(bench.events(AFTER + ms(990)), []);
    assert_eq!(bench.stats(upstream).heartbeats_missed, 0);
    assert_eq!(bench.events(ms(20)), []);
    assert_eq!(bench.stats(upstream).heartbeats_missed, 1);
}

#[test]
fn a_request_behind_a_heartbeat_gets_the_reply_behind_its_answer() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.until_asked(&end, b"beat\n");
    for tag in [1, 2] {
        bench.ask(upstream, tag, secs(60));
    }
    assert_eq!(bench.events(ms(1)), []);
    assert_eq!(bench.got(&end), b"ping\nping\n", "both, at a depth of 2");
    bench.peer.write(&end, b"beaten\none\ntwo\n").unwrap();
    let told = bench.events(ms(1));
    for (event, (expected, bytes)) in told.iter().zip([(1, "one"), (2, "two")]) {
        let Event::Reply { tag, frame, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!((*tag, frame.len()), (expected, bytes.len()));
    }
    assert_eq!((told.len(), bench.stats(upstream).losses), (2, 0));
}

/// The heartbeat is asked of a silent peer, then a request is made: whoever is silent is found by it all the same.
#[test]
fn requests_behind_a_heartbeat_that_is_missed_fail_with_it() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.until_asked(&end, b"beat\n");
    bench.ask(upstream, 1, secs(60));
    let told = bench.events(TIMEOUT + ms(5));
    let [Event::Failed { error, .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (error.phase, error.sent, error.source),
        (Phase::Read, Sent::Maybe, Source::Timeout(TIMEOUT))
    );
}

#[test]
fn a_heartbeat_and_a_request_in_the_same_turn_are_answered_each() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    let due = bench.engine.core.next_timeout().unwrap();
    for is_before in [true, false] {
        // Just before it is due, or at that moment.
        let due = bench.engine.core.next_timeout().unwrap_or(due);
        bench.stall(if is_before { due - ms(1) } else { due });
        bench.ask(upstream, 1, secs(60));
        assert_eq!(bench.events(ms(2)), []);
        let asked = bench.got(&end);
        let answers: &[u8] = match &asked[..] {
            b"ping\n" => b"one\n",
            b"beat\nping\n" => b"beaten\none\n",
            b"ping\nbeat\n" => panic!("behind a request in order"),
            other => panic!("{other:?}"),
        };
        bench.peer.write(&end, answers).unwrap();
        assert!(matches!(bench.events(ms(1))[..], [Event::Reply { .. }]));
    }
    assert_eq!(bench.stats(upstream).losses, 0);
}

#[test]
fn another_answer_than_was_expected_ends_the_connection_and_what_is_behind_it() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.until_asked(&end, b"beat\n");
    bench.ask(upstream, 1, secs(60));
    assert_eq!(bench.events(ms(1)), []);
    bench.peer.write(&end, b"what?\none\n").unwrap();
    let told = bench.events(ms(1));
    assert!(
        matches!(
            told.iter().map(failed).collect::<Vec<_>>()[..],
            [Some((1, Source::Malformed(_)))]
        ),
        "{told:?}"
    );
    let stats = bench.stats(upstream);
    assert_eq!((stats.losses, stats.heartbeats_missed), (1, 0));
    assert_eq!(stats.last_error.unwrap().class, Class::Protocol);
}

/// Its answer lies in the kernel: whoever was stalled has to read it first.
#[test]
fn a_loop_that_was_stalled_misses_no_answer_that_is_here() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.until_asked(&end, b"beat\n");
    bench.peer.write(&end, b"beaten\n").unwrap();
    bench.stall(secs(60));
    assert_eq!(bench.events(ms(1)), []);
    let stats = bench.stats(upstream);
    assert_eq!((stats.losses, stats.heartbeats_missed), (0, 0));
}

#[test]
fn a_peer_that_has_gone_is_not_asked() {
    let mut bench = Bench::new(config());
    let (upstream, end) = warm(&mut bench);
    bench.stall(AFTER);
    bench.peer.close(end, false);
    bench.stall(ms(1));
    assert_eq!(bench.events(ms(1)), []);
    let stats = bench.stats(upstream);
    assert_eq!(stats.losses, 1);
    assert_eq!(stats.last_error.unwrap().source, Source::Eof);
}

/// A line of one digit is an id, any other has none.
fn by_id(bench: &mut Bench, id: Option<u64>, answer: &[u8]) -> (UpstreamId, SimSocket) {
    let framing = Framing::line().reply_id(|line| match line {
        [digit @ b'0'..=b'9'] => Some(u64::from(digit - b'0')),
        _ => None,
    });
    let heartbeat = Heartbeat {
        id,
        ..Heartbeat::new(b"beat\n", Expect::exactly(answer))
    };
    let upstream = Upstream::new(bench.at.to_string()).framing(framing);
    let upstream = upstream.depth(2).matched_by_id().heartbeat(heartbeat);
    bench.standing(upstream.connections(1..=1))
}

/// The server thinks for minutes, and is asked meanwhile.
#[test]
fn by_id_a_peer_that_owes_a_reply_is_asked_all_the_same() {
    for (id, answer) in [(Some(7), &b"7"[..]), (None, b"alive")] {
        let mut config = config();
        config.timeouts.first_byte = secs(1_200);
        let mut bench = Bench::new(config);
        let (upstream, end) = by_id(&mut bench, id, answer);
        bench.ask(upstream, 1, secs(3_600));
        assert_eq!(bench.events(ms(1)), []);
        assert_eq!(bench.got(&end), b"ping\n");
        for _ in 0..20 {
            bench.until_asked(&end, b"beat\n");
            bench.peer.write(&end, answer).unwrap();
            bench.peer.write(&end, b"\n").unwrap();
            assert_eq!(bench.events(ms(1)), [], "told to nobody");
        }
        bench.peer.write(&end, b"1\n").unwrap();
        assert!(matches!(
            bench.events(ms(1))[..],
            [Event::Reply { tag: 1, .. }]
        ));
        let stats = bench.stats(upstream);
        assert_eq!((stats.heartbeats, stats.losses), (20, 0));
    }
}

#[test]
fn by_id_and_without_an_id_of_its_own_another_frame_without_one_is_a_push() {
    let mut bench = Bench::new(config());
    let (upstream, end) = by_id(&mut bench, None, b"alive");
    bench.until_asked(&end, b"beat\n");
    bench.peer.write(&end, b"news\nalive\nalive\n").unwrap();
    let told = bench.events(ms(1));
    assert!(matches!(told[..], [Event::Push { .. }, Event::Push { .. }]));
    assert_eq!(bench.stats(upstream).losses, 0);
}

/// A hundred connections that were made at one moment are asked at many.
#[test]
fn connections_made_together_are_not_asked_together() {
    let mut bench = Bench::new(config());
    let upstream = Upstream::new(bench.at.to_string());
    let upstream = upstream.connections(100..=100).heartbeat(ping());
    let upstream = bench.engine.core.add(upstream).unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let (mut before, mut most) = (0, 0);
    for _ in 0..160 {
        assert_eq!(bench.events(ms(100)), []);
        let asked = bench.stats(upstream).heartbeats;
        most = most.max(asked - before);
        before = asked;
    }
    assert_eq!(before, 100);
    // 1.5 s are 15 steps of 7 each.
    assert!(most < 25, "{most} of them in one tenth of a second");
}
