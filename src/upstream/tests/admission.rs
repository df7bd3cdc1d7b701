//! What the ends of requests and connections say to the breaker, and who is refused by it.

use super::*;
use crate::config::Breaker;
use crate::upstream::BreakerState;

const BREAKER: Breaker = Breaker {
    is_on: true,
    window: Duration::from_secs(30),
    failed_percent: 50,
    requests_min: 2,
    connect_failures: 2,
    protocol_errors: 2,
    first_pause_max: Duration::from_secs(1),
    pause_max: Duration::from_secs(30),
    lease: Duration::from_secs(5),
};

const STALL: Source = Source::Timeout(Duration::from_secs(5));

/// One connection of depth 4 that stands, and what was lost with those before.
struct Scene {
    service: Service,
    failed: Vec<super::super::Failed>,
    requests: u64,
}

impl Scene {
    fn new() -> Scene {
        let upstream = Upstream::new("peer:1").depth(4).breaker(BREAKER);
        let mut scene = Scene {
            service: Service::new(upstream, &Config::default()),
            failed: Vec::new(),
            requests: 0,
        };
        scene.service.poll_connect(at(0));
        scene.stands(at(0));
        scene
    }

    fn stands(&mut self, now: Time) {
        self.service.handle_connecting(0, 0);
        self.service.handle_connected(now, 0);
    }

    /// Asks for one more, of 10 bytes; whether it was let through.
    fn asks(&mut self, now: Time) -> bool {
        if self.service.admit_now(now).is_err() {
            return false;
        }
        self.requests += 1;
        let n = self.requests;
        self.service.handle_made(now, RequestId(n));
        match self.service.choose() {
            Some(_) => {
                let start = self.service.stats().in_flight as u64 * 10;
                self.service
                    .assign(0, request(n, start..start + 10, at(60_000)));
            }
            None => {
                let waits = self
                    .service
                    .wait(now, RequestId(n), n, at(60_000), b"0123456789");
                waits.unwrap();
            }
        }
        true
    }

    /// The connection is lost when so much was written, and stands again.
    fn loses(&mut self, now: Time, written: u64, phase: Phase, source: Source) {
        let error = Error::new(phase, source);
        let progress = progress(written, false);
        self.service
            .handle_closed(now, 0, 0, progress, error, &mut self.failed);
        self.stands(now);
    }

    fn fails_to_connect(&mut self, now: Time, source: Source) {
        let error = Error::new(Phase::Connect, source);
        self.service.handle_connecting(0, 0);
        self.service
            .handle_closed(now, 0, 0, progress(0, false), error, &mut self.failed);
    }

    fn state(&self) -> BreakerState {
        self.service.stats().breaker
    }
}

const RESET: Source = Source::Os(104);
const NO_PORT: Source = Source::Os(99);

#[test]
fn requests_lost_with_their_connection_open_it_unless_not_a_byte_was_sent() {
    for (written, expected) in [(0, BreakerState::Closed), (20, BreakerState::Open)] {
        let mut scene = Scene::new();
        assert!(scene.asks(at(1)) && scene.asks(at(1)));
        scene.loses(at(2), written, Phase::Read, RESET);
        assert_eq!(scene.state(), expected, "{written} bytes");
    }
}

#[test]
fn a_peer_that_takes_nothing_has_failed_what_could_not_be_sent() {
    let mut scene = Scene::new();
    assert!(scene.asks(at(1)) && scene.asks(at(1)));
    scene.loses(at(6_000), 0, Phase::Write, STALL);
    assert_eq!(scene.state(), BreakerState::Open);
}

/// The caller's deadline had passed before, and its own it is; the silence of the connection is the peer's.
#[test]
fn a_connection_that_times_out_counts_though_nobody_waits_any_more() {
    let mut scene = Scene::new();
    for n in 0..2 {
        assert_eq!(scene.state(), BreakerState::Closed, "{n}");
        scene.loses(at(6_000), 10, Phase::Read, STALL);
    }
    assert_eq!(scene.state(), BreakerState::Open);
}

#[test]
fn heartbeats_that_are_missed_open_it_and_an_idle_end_never_does() {
    let mut scene = Scene::new();
    for _ in 0..10 {
        scene.loses(at(6_000), 10, Phase::Idle, STALL);
        scene.loses(at(6_000), 10, Phase::Idle, Source::Eof);
    }
    assert_eq!(scene.state(), BreakerState::Closed);
    for _ in 0..2 {
        let failed = &mut scene.failed;
        scene.service.handle_heartbeat_missed(at(6_000), 0, failed);
    }
    assert_eq!(scene.state(), BreakerState::Open);
}

#[test]
fn breaches_of_the_protocol_open_it_also_when_nobody_waits() {
    let mut scene = Scene::new();
    scene.loses(at(1), 0, Phase::Idle, Source::Unsolicited);
    assert_eq!(scene.state(), BreakerState::Closed);
    scene.loses(at(1), 0, Phase::Read, Source::Malformed("a joke"));
    assert_eq!(scene.state(), BreakerState::Open);
}

#[test]
fn only_connects_that_fail_for_the_peers_sake_open_it() {
    let mut scene = Scene::new();
    scene.loses(at(1), 0, Phase::Idle, Source::Eof);
    let error = Error::new(Phase::Idle, Source::Eof);
    let failed = &mut scene.failed;
    scene
        .service
        .handle_closed(at(1), 0, 0, progress(0, false), error, failed);
    for _ in 0..10 {
        scene.fails_to_connect(at(2), NO_PORT);
    }
    assert_eq!(scene.state(), BreakerState::Closed);
    scene.fails_to_connect(at(2), Source::Os(111));
    scene.fails_to_connect(at(2), Source::Os(111));
    assert_eq!(scene.state(), BreakerState::Open);
    assert!(!scene.asks(at(3)));
    scene.stands(at(4));
    assert_eq!(scene.state(), BreakerState::HalfOpen);
    assert!(scene.asks(at(4)) && !scene.asks(at(4)), "one trial");
}

/// Open, and its pause over; the connection does not stand.
fn open_without_a_connection() -> (Scene, Time) {
    let mut scene = Scene::new();
    assert!(scene.asks(at(1)) && scene.asks(at(1)));
    let error = Error::new(Phase::Read, RESET);
    let progress = progress(20, false);
    let failed = &mut scene.failed;
    scene
        .service
        .handle_closed(at(2), 0, 0, progress, error, failed);
    assert_eq!(scene.state(), BreakerState::Open);
    (scene, at(1_002))
}

#[test]
fn a_trial_that_waits_in_vain_opens_it_again() {
    let (mut scene, now) = open_without_a_connection();
    assert!(scene.asks(now));
    let later = now.after(Duration::from_secs(1));
    scene.service.handle_timeout(later, 0, &mut scene.failed);
    assert_eq!(scene.state(), BreakerState::Open);
}

#[test]
fn a_trial_that_is_taken_back_while_it_waits_leaves_no_lease() {
    let (mut scene, now) = open_without_a_connection();
    assert!(scene.asks(now) && !scene.asks(now));
    let trial = RequestId(scene.requests);
    assert!(scene.service.cancel_waiting(now, trial).is_some());
    assert_eq!(scene.state(), BreakerState::HalfOpen);
    assert!(scene.asks(now));
}

#[test]
fn a_trial_that_is_taken_back_in_flight_leaves_no_lease() {
    let (mut scene, now) = open_without_a_connection();
    scene.stands(now);
    assert!(scene.asks(now) && !scene.asks(now));
    let trial = RequestId(scene.requests);
    let mut cancelled = Vec::new();
    scene
        .service
        .cancel(now, 0, trial, progress(5, false), &mut cancelled);
    assert_eq!(cancelled.len(), 1);
    assert!(scene.asks(now));
}

#[test]
fn who_waits_when_it_opens_fails_and_leaves_its_id_free() {
    let framing = crate::frame::Framing::line().reply_id(|_| None);
    let upstream = Upstream::new("peer:1").depth(2).breaker(BREAKER);
    let upstream = upstream.framing(framing).matched_by_id();
    let mut service = Service::new(upstream, &Config::default());
    service.poll_connect(at(0));
    service.handle_connecting(0, 0);
    service.handle_connected(at(0), 0);
    for n in 1..=2 {
        service.assign(0, request(n, n * 10..n * 10 + 10, at(60_000)));
    }
    service
        .wait(at(1), RequestId(3), 3, at(60_000), b"x")
        .unwrap();
    let mut failed = Vec::new();
    let error = Error::new(Phase::Read, RESET);
    service.handle_closed(at(2), 0, 0, progress(30, false), error, &mut failed);
    let sources: Vec<_> = failed
        .iter()
        .map(|(_, tag, it)| (*tag, it.source))
        .collect();
    let retry_after = Duration::from_millis(500);
    let refused = Source::BreakerOpen { retry_after };
    assert_eq!(sources, [(1, RESET), (2, RESET), (3, refused)]);
    assert_eq!([1, 2, 3].map(|id| service.admit(id)), [Ok(()); 3]);
}

#[test]
fn what_this_machine_lacks_and_deadlines_of_who_waits_never_count() {
    let mut scene = Scene::new();
    for n in 0..10 {
        assert!(scene.asks(at(n)) && scene.asks(at(n)));
        // ENOBUFS.
        scene.loses(at(n), 20, Phase::Read, Source::Os(105));
    }
    for _ in 0..10 {
        assert!(scene.asks(at(20)));
    }
    let waiting = scene.service.stats().waiting;
    scene
        .service
        .handle_timeout(at(60_000), 0, &mut scene.failed);
    assert_eq!((waiting, scene.service.stats().waiting), (6, 0));
    assert_eq!(scene.state(), BreakerState::Closed);
}
