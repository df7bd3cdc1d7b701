//! A fallback over a whole loop: what an upstream cannot serve another one does, and each request ends once.

use std::time::Duration;

use super::{Bench, failed, ms};
use crate::config::{Breaker, Config};
use crate::error::{Error, Sent, Source};
use crate::event::{Event, RequestId, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::sim::kernel::{SimKernel, SimListener, SimSocket};
use crate::time::Time;
use crate::upstream::{BreakerState, Upstream, UpstreamStats};

const LONG: Duration = Duration::from_secs(9);

/// A server that is away, whose requests go to the one of the bench, which stands.
struct Pair {
    bench: Bench,
    server: SimKernel,
    listener: SimListener,
    primary: UpstreamId,
    fallback: UpstreamId,
    /// The fallback's end.
    end: SimSocket,
}

fn quick() -> Config {
    let mut config = Config {
        breaker: Breaker::off(),
        ..Config::default()
    };
    config.reconnect.first_pause_max = ms(20);
    config.reconnect.pause_max = ms(20);
    config
}

/// The primary is away for so long from now on.
fn pair(config: Config, fallback: impl FnOnce(Upstream) -> Upstream, away: Duration) -> Pair {
    let mut bench = Bench::new(config);
    let of_fallback = fallback(Upstream::new(bench.at.to_string()));
    let (fallback, end) = bench.standing(of_fallback);
    let mut server = SimKernel::new(&bench.world.network);
    let listener = server.listen(server.address(0), 0).unwrap();
    let at = server.listener_addr(&listener).unwrap();
    let back = bench.world.now().after(away);
    bench.world.network.borrow_mut().send_away(at, back);
    let upstream = Upstream::new(at.to_string()).fallback(fallback);
    let primary = bench.engine.core.add(upstream).unwrap();
    Pair {
        bench,
        server,
        listener,
        primary,
        fallback,
        end,
    }
}

fn asked(
    bench: &mut Bench,
    upstream: UpstreamId,
    tag: u64,
    after: Duration,
) -> Result<RequestId, Error> {
    let payload = format!("{tag:04}\n");
    let deadline = |now: Time, _: &_, _: &_| now.after(after);
    let core = &mut bench.engine.core;
    core.request(upstream, payload.as_bytes(), tag, deadline)
}

/// What has come to a peer's end of a connection.
fn got(peer: &mut SimKernel, end: &SimSocket) -> String {
    let mut some = [0; 256];
    let n = peer.read(end, &mut some).unwrap_or(0);
    String::from_utf8(some[..n].to_vec()).unwrap()
}

impl Pair {
    fn ask(&mut self, tag: u64) -> RequestId {
        asked(&mut self.bench, self.primary, tag, LONG).unwrap()
    }

    fn stats(&self, upstream: UpstreamId) -> UpstreamStats {
        self.bench.engine.core.upstream_stats(upstream).unwrap()
    }

    fn got(&mut self) -> String {
        got(&mut self.bench.peer, &self.end)
    }

    /// The fallback answers one.
    fn answer(&mut self) -> Vec<Event> {
        self.bench.peer.write(&self.end, b"pong\n").unwrap();
        self.bench.events(ms(1))
    }
}

fn replied(events: &[Event]) -> Vec<RequestId> {
    let of = |event: &Event| match event {
        Event::Reply { request, .. } => Some(*request),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[test]
fn while_a_server_is_away_its_fallback_answers_and_it_does_again_when_it_is_back() {
    for breaker in [Breaker::off(), Breaker::default()] {
        let config = Config { breaker, ..quick() };
        let mut pair = pair(config, |it| it.depth(8), ms(3_000));
        let (mut by_fallback, mut by_primary, mut socket) = (0, 0, None);
        for tag in 0..200 {
            let request = pair.ask(tag);
            let until = pair.bench.world.now().after(ms(500));
            let mut told = Vec::new();
            while told.is_empty() {
                assert!(pair.bench.world.now() < until, "nobody answers {tag}");
                told = pair.bench.events(ms(1));
                if let Ok((accepted, _)) = pair.server.accept(&pair.listener) {
                    socket = Some(accepted);
                }
                if !pair.got().is_empty() {
                    by_fallback += 1;
                    told.extend(pair.answer());
                }
                if let Some(socket) = &socket
                    && !got(&mut pair.server, socket).is_empty()
                {
                    by_primary += 1;
                    pair.server.write(socket, b"pong\n").unwrap();
                }
            }
            assert_eq!(replied(&told), [request]);
            assert_eq!(told.len(), 1, "{told:?}");
            told = pair.bench.events(ms(50));
            assert_eq!(told, []);
        }
        let stats = pair.stats(pair.primary);
        assert_eq!(
            (by_fallback + by_primary, stats.handed_over),
            (200, by_fallback)
        );
        assert!(by_fallback > 20 && by_primary > 20, "{stats:?}");
        assert_eq!(stats.breaker, BreakerState::Closed);
    }
}

#[test]
fn what_an_open_breaker_refuses_goes_to_the_fallback_at_once_and_on_to_that_ones_own() {
    let config = Config {
        breaker: Breaker::default(),
        ..quick()
    };
    let mut pair = pair(config, |it| it.depth(64), LONG);
    let middle = Upstream::new("127.0.0.1:9").fallback(pair.primary);
    let last = pair.bench.engine.core.add(middle).unwrap();
    let mut tag = 0;
    while pair.stats(last).breaker == BreakerState::Closed
        || pair.stats(pair.primary).breaker == BreakerState::Closed
    {
        asked(&mut pair.bench, last, tag, LONG).unwrap();
        pair.ask(1_000 + tag);
        let told = pair.bench.events(ms(20));
        assert!(told.iter().all(|it| failed(it).is_none()), "{told:?}");
        let waiting = pair.got().lines().count();
        for _ in 0..waiting {
            assert_eq!(pair.answer().len(), 1);
        }
        tag += 1;
        assert!(tag < 200, "they are not opened");
    }
    while let (waiting @ 1.., _) = (pair.got().lines().count(), pair.bench.events(ms(1))) {
        (0..waiting).for_each(|_| assert_eq!(pair.answer().len(), 1));
    }
    let before = (pair.stats(last), pair.stats(pair.primary));
    let request = asked(&mut pair.bench, last, 77, LONG).unwrap();
    assert_eq!(pair.stats(pair.fallback).in_flight, 1, "at once");
    assert_eq!(pair.stats(last).handed_over, before.0.handed_over + 1);
    assert_eq!(
        pair.stats(pair.primary).handed_over,
        before.1.handed_over + 1
    );
    pair.bench.events(ms(1));
    assert_eq!(pair.got(), "0077\n");
    assert_eq!(replied(&pair.answer()), [request]);
}

/// Its only connection is taken by one that is not answered.
#[test]
fn who_has_waited_too_long_for_a_slow_server_is_served_by_the_fallback() {
    let mut config = quick();
    config.timeouts.wait = ms(100);
    let mut pair = pair(config, |it| it, ms(0));
    pair.ask(1);
    pair.bench.events(ms(1));
    let (socket, _) = pair.server.accept(&pair.listener).unwrap();
    let request = pair.ask(2);
    assert_eq!(pair.bench.events(ms(99)), []);
    assert_eq!(
        (pair.got().as_str(), pair.stats(pair.primary).waiting),
        ("", 1)
    );
    assert_eq!(pair.bench.events(ms(3)), []);
    assert_eq!(pair.got(), "0002\n");
    assert_eq!(replied(&pair.answer()), [request]);
    assert_eq!(got(&mut pair.server, &socket), "0001\n");
}

#[test]
fn those_handed_over_wait_in_the_order_in_which_all_were_made_and_can_be_taken_back() {
    let mut pair = pair(quick(), |it| it, LONG);
    // The first is in flight there, the others wait; 2, 3 and 4 at the primary first.
    let ids: Vec<RequestId> = (1..=6)
        .map(|tag| {
            let at = if (2..=4).contains(&tag) {
                pair.primary
            } else {
                pair.fallback
            };
            asked(&mut pair.bench, at, tag, LONG).unwrap()
        })
        .collect();
    assert_eq!(pair.bench.events(ms(30)), []);
    assert_eq!(pair.stats(pair.primary).handed_over, 3);
    assert_eq!(pair.stats(pair.fallback).waiting, 5);
    assert!(pair.bench.engine.core.cancel(ids[2]));
    let told = pair.bench.events(ms(1));
    assert!(matches!(told[..], [Event::Failed { request, error, .. }]
        if request == ids[2] && error.source == Source::Cancelled && error.sent == Sent::No));
    assert!(!pair.bench.engine.core.cancel(ids[2]));
    for tag in [1, 2, 4, 5, 6] {
        pair.bench.events(ms(1));
        assert_eq!(pair.got(), format!("{tag:04}\n"));
        assert_eq!(replied(&pair.answer()), [ids[tag - 1]]);
    }
    assert_eq!(pair.bench.events(ms(50)), []);
}

#[test]
fn a_request_that_the_fallback_cannot_take_fails_as_without_one() {
    // A tag that is in use there as an id.
    let framing = Framing::line().reply_id(|line| Some(u64::from(line[0] - b'0')));
    let by_id = |it: Upstream| it.framing(framing).depth(8).matched_by_id();
    let mut in_use = pair(quick(), by_id, LONG);
    asked(&mut in_use.bench, in_use.fallback, 5, LONG).unwrap();
    // No room to wait.
    let mut full = quick();
    full.limits.waiting_requests_max = 1;
    let mut full = pair(full, |it| it, LONG);
    for tag in 0..2 {
        asked(&mut full.bench, full.fallback, tag, LONG).unwrap();
    }
    for mut pair in [in_use, full] {
        pair.ask(5);
        let told = pair.bench.events(ms(30));
        let [Event::Failed { tag: 5, error, .. }] = told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(
            (error.errno(), error.sent),
            (Some(libc::ECONNREFUSED), Sent::No)
        );
        assert_eq!(pair.stats(pair.primary).handed_over, 0);
    }
}

#[test]
fn its_own_deadline_goes_with_a_request_and_nothing_is_handed_over_after_it() {
    let mut handed = pair(quick(), |it| it, LONG);
    let began = handed.bench.world.now();
    asked(&mut handed.bench, handed.primary, 1, ms(100)).unwrap();
    let told = handed.bench.events(ms(99));
    assert_eq!((told, handed.got().as_str()), (vec![], "0001\n"));
    let told = handed.bench.events(ms(3));
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((1, Source::Deadline))]
    );
    assert!(handed.bench.world.now() >= began.after(ms(100)));

    // That its server is away is seen when its time has passed.
    let mut slow = pair(quick(), |it| it, LONG);
    asked(&mut slow.bench, slow.primary, 1, ms(5)).unwrap();
    slow.bench.stall(ms(10));
    assert_eq!(slow.bench.events(ms(5)).len(), 1);
    assert_eq!(
        (slow.got().as_str(), slow.stats(slow.primary).handed_over),
        ("", 0)
    );

    // It waits for its turn until its end.
    let mut late = pair(quick(), |it| it, ms(0));
    late.ask(1);
    asked(&mut late.bench, late.primary, 2, ms(100)).unwrap();
    let told = late.bench.events(ms(110));
    assert_eq!(
        told.iter().map(failed).collect::<Vec<_>>(),
        [Some((2, Source::Deadline))]
    );
    assert_eq!(
        (late.got().as_str(), late.stats(late.primary).handed_over),
        ("", 0)
    );
}

#[test]
fn nothing_is_handed_over_while_draining_and_what_was_before_is_finished() {
    let mut pair = pair(quick(), |it| it.depth(8), LONG);
    let first = pair.ask(1);
    assert_eq!(pair.bench.events(ms(30)), []);
    // Waits for the next attempt.
    pair.ask(2);
    pair.bench.engine.core.drain(|now, _, _| now.after(LONG));
    let told = pair.bench.events(ms(30));
    assert_eq!(
        told.iter().filter_map(failed).collect::<Vec<_>>(),
        [(2, Source::ShuttingDown)]
    );
    assert_eq!(pair.got(), "0001\n");
    let told = pair.answer();
    assert_eq!(replied(&told), [first]);
    assert_eq!(pair.stats(pair.primary).handed_over, 1);
}

/// Such a trial is older than what was asked of the fallback before its breaker opened, which is no trial by that.
#[test]
fn a_late_answer_does_not_close_the_breaker_of_a_fallback_that_tries_what_it_was_handed() {
    let mut config = quick();
    config.timeouts.wait = ms(900);
    let mut bench = Bench::new(config);
    let breaker = Breaker {
        requests_min: 1,
        first_pause_max: ms(100),
        ..Breaker::default()
    };
    let of_fallback = Upstream::new(bench.at.to_string())
        .connections(2..=2)
        .breaker(breaker);
    let (fallback, kept) = bench.standing(of_fallback.depth(8));
    let lost = bench.peer.accept(&bench.listener).unwrap().0;
    let hole = std::net::SocketAddr::new([10, 9, 9, 9].into(), bench.at.port());
    bench.world.network.borrow_mut().black_hole(hole);
    let upstream = Upstream::new(hole.to_string()).fallback(fallback);
    let primary = bench.engine.core.add(upstream).unwrap();
    let state = |bench: &Bench| bench.engine.core.upstream_stats(fallback).unwrap().breaker;

    let handed = asked(&mut bench, primary, 1, LONG).unwrap();
    let both = [2, 3].map(|tag| asked(&mut bench, fallback, tag, LONG).unwrap());
    assert_eq!(bench.events(ms(1)), []);
    let of_lost = got(&mut bench.peer, &lost);
    let late = both[usize::from(of_lost == "0002\n")];
    bench.peer.close(lost, true);
    assert_eq!(bench.events(ms(1)).iter().filter_map(failed).count(), 1);
    assert_eq!(state(&bench), BreakerState::Open);
    assert_eq!(bench.events(ms(950)), []);
    assert_eq!(state(&bench), BreakerState::HalfOpen, "it was handed over");
    bench.peer.write(&kept, b"late\n").unwrap();
    assert_eq!(replied(&bench.events(ms(1))), [late]);
    assert_eq!(state(&bench), BreakerState::HalfOpen, "it says nothing");
    let tried = bench.peer.accept(&bench.listener).unwrap().0;
    let ends = [&kept, &tried].map(|end| (got(&mut bench.peer, end), end));
    let (_, trials) = ends
        .iter()
        .find(|(got, _)| got.ends_with("0001\n"))
        .unwrap();
    bench.peer.write(trials, b"pong\n").unwrap();
    assert_eq!(replied(&bench.events(ms(1))), [handed]);
    assert_eq!(state(&bench), BreakerState::Closed);
}

#[test]
fn an_upstream_can_only_name_one_that_was_added_before() {
    let mut bench = Bench::new(Config::default());
    let upstream = Upstream::new(bench.at.to_string());
    let error = bench
        .engine
        .core
        .add(upstream.clone().fallback(UpstreamId(0)))
        .unwrap_err();
    assert!(error.to_string().contains("fallback"), "{error}");
    let first = bench.engine.core.add(upstream.clone()).unwrap();
    bench.engine.core.add(upstream.fallback(first)).unwrap();
}
