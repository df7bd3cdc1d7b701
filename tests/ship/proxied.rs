//! Through a proxy: to the sender it is the peer, and what it has read is what is proven. What it then loses, no rung
//! over plain TCP can know; that each line is told once, and that a sink which lives gets everything, holds here too.

use std::net::TcpListener;

use crate::classic::every_cell;
use crate::haproxy::Haproxy;
use crate::place::Place;
use crate::rungs::Rung;
use crate::shipping::{Fate, Outcome, until_served};
use crate::sink::{Manner, Sink};

#[test]
#[ignore = "needs haproxy"]
fn each_line_is_told_once_through_a_proxy_whatever_the_sink_does() {
    for rung in Rung::ALL {
        every_cell(&Place::Proxied, rung);
    }
}

#[test]
#[ignore = "needs haproxy"]
fn a_sink_that_lives_gets_each_line_once_through_a_proxy() {
    for rung in Rung::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Sink::start(listener, Manner::default());
        let proxy = Haproxy::in_front_of(sink.address());
        let mut sender = rung.sender(proxy.address(), &|_| {});
        (1..=20_000).for_each(|number| sender.offer(number));
        let fates = sender.finish().fates;
        assert_eq!(fates.count(Fate::Delivered), 20_000, "{rung:?}");
        until_served(proxy.address());
        until_served(sink.address());
        let outcome = Outcome::of(&fates, |number| sink.times_read(number));
        assert_eq!(outcome, Outcome::default(), "{rung:?}");
    }
}
