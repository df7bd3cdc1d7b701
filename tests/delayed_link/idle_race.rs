//! Fault 16: a server ends an idle connection at the moment at which the client takes it for the next request.
//!
//! Both sides draw when they act, from a seed, so that the FIN meets the request before the look, between look and
//! write, and on the wire. `TAUT_RACE_ROUNDS` sets how many rounds on loopback; the fault list asks for 100,000 once.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use taut::{Deadline, Upstream};

use crate::delayed_link::Link;
use crate::recorder::{Asked, Conversation, Outcomes, Recorder};
use crate::support::*;

/// A drawn number below a bound (splitmix64).
fn drawn(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// A server that answers one to three requests, and ends the connection so long after the last as it has drawn; now and
/// then it has read another by then, and does not answer: whoever says that this was not sent is wrong.
fn fickle(pause_us_max: u64) -> impl Fn(&mut Conversation) + Send + Sync + 'static {
    move |it| {
        let mut seed = it.nth;
        for _ in 0..1 + drawn(&mut seed, 3) {
            let Some(number) = it.next() else { return };
            it.reply(number);
        }
        if drawn(&mut seed, 8) == 0 {
            it.next();
        }
        let pause = Duration::from_micros(drawn(&mut seed, pause_us_max));
        stall_until(Instant::now() + pause);
    }
}

fn race(server: &Recorder, rounds: u64, pause_us_max: u64) -> Outcomes {
    let mut client = client_with(|it| {
        it.reconnect.first_pause_max = Duration::from_micros(100);
        it.reconnect.pause_max = Duration::from_micros(100);
        // Each outcome is judged by itself.
        it.retry = taut::Retry::off();
    });
    let mut asked = Asked::default();
    let upstream = Upstream::new(server.address().to_string());
    let upstream = client.add(upstream).unwrap();
    let mut seed = rounds;
    for _ in 0..rounds {
        let request = asked.ask(&mut client, upstream, Deadline::after(PATIENCE));
        asked.ledger.until(&mut client, request);
        let pause = Duration::from_micros(drawn(&mut seed, pause_us_max));
        match drawn(&mut seed, 2) {
            // The loop goes on meanwhile, or stands still: then only the look can know.
            0 => client.turn(Some(pause)).unwrap(),
            _ => stall_until(Instant::now() + pause),
        }
        assert_eq!(client.next_event(), None);
    }
    asked.ledger.until_all(&mut client);
    drop(client);
    let outcomes = server.judge(&asked);
    println!("{rounds} rounds: {outcomes:?}");
    let ended = outcomes.replies + outcomes.not_sent + outcomes.maybe_sent;
    assert_eq!(ended as u64, rounds, "no reply was ever cut: {outcomes:?}");
    outcomes
}

#[test]
fn an_idle_close_that_races_a_request_on_loopback_never_makes_an_outcome_wrong() {
    let rounds = std::env::var("TAUT_RACE_ROUNDS").map_or(3_000, |it| it.parse().unwrap());
    let server = Recorder::start(TcpListener::bind("127.0.0.1:0").unwrap(), fickle(300));
    let outcomes = race(&server, rounds, 600);
    assert!(outcomes.replies > 0 && outcomes.not_sent > 0 && outcomes.maybe_and_read > 0);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_idle_close_that_crosses_a_request_on_the_wire_never_makes_an_outcome_wrong() {
    let link = Link::new(Duration::from_micros(500));
    let server = Recorder::start(link.listener(), fickle(2_000));
    link.near(|| {
        let outcomes = race(&server, 600, 2_500);
        assert!(
            outcomes.replies > 0 && outcomes.not_sent > 0 && outcomes.maybe_sent > 0,
            "they never crossed: {outcomes:?}"
        );
    });
}
