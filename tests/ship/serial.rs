//! Sinks that serve one connection at a time: the next one waits unread until the one before has ended, a witness as
//! well as an epoch.

use std::net::TcpListener;
use std::time::Duration;

use taut::Deadline;
use taut::ship::ShipConfig;

use crate::rungs::Rung;
use crate::shipping::{Fate, Outcome, Sender, Shipping, until_served};
use crate::sink::{Break, Ends, Manner, Sink};

const LINES: u64 = 1_000;

fn sink(breaks: Vec<Break>) -> Sink {
    let manner = Manner {
        breaks,
        one_at_a_time: true,
        ..Manner::default()
    };
    Sink::start(TcpListener::bind("127.0.0.1:0").unwrap(), manner)
}

/// Epochs of 16 KiB, no witness.
fn blind(sink: &Sink, ordered: bool) -> ShipConfig {
    ShipConfig {
        witness: false,
        ordered,
        ..Rung::CommitSmall.config(sink.address())
    }
}

#[test]
fn epochs_are_committed_one_after_the_other_where_one_connection_is_served_at_a_time() {
    for ordered in [false, true] {
        for breaks in [0, 1] {
            let classic = Break {
                after: 422,
                ends: Ends::OneByteIn,
            };
            let sink = sink(vec![classic; breaks]);
            let has = |told: std::ops::RangeInclusive<u64>| assert!(sink.has(told));
            let mut shipping = Box::new(Shipping::new(blind(&sink, ordered), &has));
            (1..=LINES).for_each(|number| shipping.offer(number));
            let fates = shipping.finish().fates;
            until_served(sink.address());
            let outcome = Outcome::of(&fates, |number| sink.times_read(number));
            assert_eq!(fates.count(Fate::Delivered), LINES, "{outcome:?}");
            assert_eq!((outcome.lost, outcome.doubled > 0), (0, breaks > 0));
        }
    }
}

/// The witness is what it serves then, and the lines behind it are never read: that is told, and no line too many.
#[test]
fn a_witness_that_starves_the_lines_confirms_none_that_was_not_read() {
    let sink = sink(Vec::new());
    let has = |told: std::ops::RangeInclusive<u64>| assert!(sink.has(told));
    let config = ShipConfig {
        witness: true,
        commit_timeout: Duration::from_millis(200),
        ..blind(&sink, false)
    };
    let mut shipping = Box::new(Shipping::new(config, &has));
    (1..=LINES).for_each(|number| shipping.offer(number));
    shipping.close_by(Deadline::after(Duration::from_secs(2)));
    let fates = shipping.finish().fates;
    assert_eq!(fates.told(), LINES);
    let outcome = Outcome::of(&fates, |number| sink.times_read(number));
    assert_eq!(outcome.lost, 0);
    println!("with a witness, a sink that serves one at a time: {outcome:?}");
}
