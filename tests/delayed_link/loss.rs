//! Packets are lost, both ways: TCP makes up for it, or a timeout passes, and whatever is told is true.

use std::time::Duration;

use taut::{Deadline, Upstream};

use crate::delayed_link::Direction::{Back, Out};
use crate::delayed_link::Link;
use crate::recorder::{Asked, Outcomes, Recorder};
use crate::support::*;

#[track_caller]
fn under_loss(percent: u64, requests: usize, patience: Duration) -> Outcomes {
    let link = Link::new(ms(2));
    // A server that hears nothing gives up by itself: a client's reset may be lost.
    let server = Recorder::start(link.listener(), move |it| {
        it.stream().set_read_timeout(Some(2 * patience)).unwrap();
        it.answer_all();
    });
    link.near(|| {
        let mut client = client_with(|it| {
            it.timeouts.first_byte = patience;
            it.reconnect.pause_max = ms(20);
        });
        let mut asked = Asked::default();
        let upstream = Upstream::new(server.address().to_string());
        let upstream = client.add(upstream.connections(2).depth(4)).unwrap();
        turn_until(&mut client, "the connections", |client| {
            client.upstream_stats(upstream).unwrap().open == 2
        });
        for way in [Out, Back] {
            link.set_loss(way, percent, 1 + way as u64);
        }
        for _ in 0..requests {
            asked.until_fewer(&mut client, 8);
            asked.ask(&mut client, upstream, Deadline::after(3 * patience));
        }
        asked.ledger.until_all(&mut client);
        for way in [Out, Back] {
            link.set_loss(way, 0, 1);
            assert!(link.counts(way).lost.packets > 0, "nothing was lost");
        }
        let losses = [Out, Back].map(|way| link.counts(way).lost.packets);
        drop(client);
        let outcomes = server.judge(&asked);
        println!("{percent} %: {losses:?} packets lost, {outcomes:?}");
        assert!(outcomes.replies > 0);
        outcomes
    })
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_little_loss_costs_time_and_no_request() {
    // Longer than four retransmissions in a row take.
    let outcomes = under_loss(5, 150, ms(4_500));
    assert_eq!(outcomes.replies, 150, "{outcomes:?}");
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn much_loss_makes_no_outcome_wrong() {
    under_loss(15, 100, ms(1_000));
    under_loss(30, 60, ms(1_000));
}
