//! How a connection to a sink may end, and what each rung then says of its lines.

use std::time::Duration;

use taut::Source;
use taut::ship::{Ack, OnUncertain, ShipConfig};

use crate::shipping::{Fate, Outcome, Sender, Shipped, Shipping};
use crate::sink::{Habit, Sink};
use crate::tls::Authority;
use crate::{outcome, ship, to};

const LINES: u64 = 1_000;

/// One connection ends like that, and those after it in peace.
fn after(habit: Habit, ack: Ack, on_uncertain: OnUncertain) -> (Outcome, Shipped) {
    let authority = Authority::new("sinks");
    let sink = Sink::start(&authority, &[habit]);
    let config = ShipConfig {
        on_uncertain,
        ..to(&sink.target(), &authority, ack)
    };
    let told = ship(config, LINES, |number| sink.times_read(number));
    sink.until_all_harm_is_done();
    (
        outcome(&told.1.fates, |number| sink.times_read(number)),
        told.1,
    )
}

const ALL: [Habit; 11] = [
    Habit::Untold,
    Habit::Reset { said: true },
    Habit::Reset { said: false },
    Habit::ClosesAfter(422),
    Habit::CutsAfter(422),
    Habit::ResetsAfter {
        lines: 422,
        said: true,
    },
    Habit::ResetsAfter {
        lines: 422,
        said: false,
    },
    Habit::ClosesAfter(1_000),
    Habit::CutsAfter(1_000),
    Habit::DiesAfter(422),
    Habit::DiesAtTheEnd,
];

#[test]
fn commit_loses_nothing_however_one_connection_ends() {
    for habit in ALL {
        let (outcome, shipped) = after(habit, Ack::Commit, OnUncertain::Resend);
        assert_eq!(outcome.lost, 0, "{habit:?} {outcome:?}");
        assert_eq!(
            shipped.fates.count(Fate::Delivered),
            LINES,
            "{habit:?} {outcome:?}"
        );
        assert!(outcome.doubled <= LINES, "{habit:?} {outcome:?}");
        assert!(shipped.resent <= 2 * LINES, "{habit:?}");
    }
}

#[test]
fn commit_that_reports_doubles_nothing_and_tells_what_may_be_lost() {
    for habit in ALL {
        let (outcome, _) = after(habit, Ack::Commit, OnUncertain::Report);
        assert_eq!(
            (outcome.lost, outcome.doubled),
            (0, 0),
            "{habit:?} {outcome:?}"
        );
        assert_eq!(outcome.undelivered, 0, "{habit:?} {outcome:?}");
    }
}

#[test]
fn the_kernels_word_loses_what_died_with_its_reader_and_nothing_else() {
    for habit in ALL {
        for on_uncertain in [OnUncertain::Resend, OnUncertain::Report] {
            let (outcome, _) = after(habit, Ack::Kernel, on_uncertain);
            let dies = habit == Habit::DiesAtTheEnd;
            assert_eq!(
                outcome.lost,
                if dies { LINES } else { 0 },
                "{habit:?} {outcome:?}"
            );
            match on_uncertain {
                OnUncertain::Resend => assert_eq!(outcome.uncertain, 0, "{habit:?} {outcome:?}"),
                OnUncertain::Report => assert_eq!(outcome.doubled, 0, "{habit:?} {outcome:?}"),
            }
            assert!(outcome.doubled <= LINES, "{habit:?} {outcome:?}");
        }
    }
}

/// They lose in silence, which is what they are for; but what they count adds up.
#[test]
fn the_lowest_rungs_double_nothing_but_what_was_torn() {
    for habit in ALL {
        for ack in [Ack::None, Ack::Peek] {
            let (outcome, _) = after(habit, ack, OnUncertain::Resend);
            assert_eq!(
                (outcome.uncertain, outcome.undelivered),
                (0, 0),
                "{ack:?} {habit:?}"
            );
            assert_eq!(outcome.doubled, 0, "{ack:?} {habit:?} {outcome:?}");
        }
    }
}

/// What its TLS library had read, all in one record, the program had not: it closes with close_notify and FIN, everything
/// is acknowledged, and 20 of 50 lines are gone.
#[test]
fn a_sink_that_closes_in_peace_midway_is_believed_nothing() {
    for ack in [Ack::Kernel, Ack::Commit] {
        for habit in [Habit::ClosesAfter(30), Habit::CutsAfter(30)] {
            let authority = Authority::new("sinks");
            let sink = Sink::start(&authority, &[habit]);
            let config = ShipConfig {
                commit_after: Duration::from_secs(60),
                ..to(&sink.target(), &authority, ack)
            };
            let mut shipping = Box::new(Shipping::new(config, &|_| {}));
            (1..=50).for_each(|number| shipping.offer(number));
            while shipping.lost().is_empty() {
                shipping.turn(Duration::from_millis(100));
            }
            let shipped = shipping.finish();
            let outcome = outcome(&shipped.fates, |number| sink.times_read(number));
            assert_eq!(
                (outcome.lost, outcome.doubled),
                (0, 30),
                "{habit:?} {ack:?} {outcome:?}"
            );
            assert_eq!(
                shipped.fates.count(Fate::Delivered),
                50,
                "{habit:?} {ack:?}"
            );
        }
    }
}

#[test]
fn a_sink_that_never_says_its_close_notify_is_told_of_and_not_sent_the_same_for_ever() {
    let authority = Authority::new("sinks");
    for witness in [true, false] {
        let sink = Sink::always(&authority, Habit::Untold);
        let config = ShipConfig {
            witness,
            commit_bytes: 16 << 10,
            ..to(&sink.target(), &authority, Ack::Commit)
        };
        let (outcome, shipped) = ship(config, LINES, |number| sink.times_read(number));
        assert_eq!(shipped.fates.count(Fate::Uncertain), LINES, "{outcome:?}");
        assert_eq!(outcome.uncertain_and_read, LINES);
        let epoch = (16 << 10) / 150 + 2;
        assert!(outcome.doubled <= 6 * epoch, "{outcome:?}");
        let untold = Source::Truncated { received: 0 };
        let of_it = |error: &&taut::Error| error.source == untold;
        let told = shipped.lost.iter().filter(of_it).count();
        assert!((1..=6).contains(&told), "{:?}", shipped.lost);
        let words = shipped.lost[0].to_string();
        assert!(words.contains("close_notify"), "{words}");
    }
}

/// Where that is enough: its kernel says FIN behind our close_notify.
#[test]
fn the_kernels_word_is_enough_of_a_sink_that_never_says_its_close_notify() {
    let authority = Authority::new("sinks");
    let sink = Sink::always(&authority, Habit::Untold);
    let config = to(&sink.target(), &authority, Ack::Kernel);
    let (outcome, shipped) = ship(config, LINES, |number| sink.times_read(number));
    assert_eq!(outcome, Outcome::default(), "{:?}", shipped.lost);
    assert_eq!(shipped.fates.count(Fate::Delivered), LINES);
}

/// As where each connection may have so many bytes: in peace, and before any epoch is whole.
#[test]
fn a_sink_that_closes_each_connection_early_is_not_sent_the_same_for_ever() {
    let authority = Authority::new("sinks");
    for ack in [Ack::Commit, Ack::Kernel] {
        let sink = Sink::always(&authority, Habit::ClosesAfter(100));
        let config = to(&sink.target(), &authority, ack);
        let (outcome, shipped) = ship(config, LINES, |number| sink.times_read(number));
        assert_eq!((outcome.lost, outcome.undelivered), (0, 0), "{outcome:?}");
        assert!(outcome.uncertain > 0, "{outcome:?}");
        assert!(shipped.resent <= 20 * LINES, "{}", shipped.resent);
    }
}

/// It has said that it ends, and never does: at the deadline its system has all, and nothing is sent again.
#[test]
fn a_sink_that_ends_its_half_alone_has_confirmed_nothing() {
    let authority = Authority::new("sinks");
    let sink = Sink::always(&authority, Habit::HalfEnded);
    let config = ShipConfig {
        commit_timeout: Duration::from_millis(300),
        ..to(&sink.target(), &authority, Ack::Commit)
    };
    let (outcome, shipped) = ship(config, LINES, |number| sink.times_read(number));
    assert_eq!(
        (outcome.uncertain, outcome.doubled),
        (LINES, 0),
        "{outcome:?}"
    );
    assert_eq!(shipped.resent, 0);
}

/// Whatever is written again, no more is told as acknowledged than was written: `Shipping` checks the sums at the end,
/// and this at every turn.
#[test]
fn what_is_acknowledged_never_exceeds_what_was_written() {
    let authority = Authority::new("sinks");
    let harm = [
        Habit::Reset { said: true },
        Habit::ClosesAfter(422),
        Habit::DiesAfter(300),
        Habit::Untold,
    ];
    for ack in [Ack::None, Ack::Peek, Ack::Kernel, Ack::Commit] {
        let sink = Sink::start(&authority, &harm);
        let config = ShipConfig {
            commit_bytes: 32 << 10,
            ..to(&sink.target(), &authority, ack)
        };
        let mut shipping = Box::new(Shipping::new(config, &|_| {}));
        for number in 1..=5_000 {
            shipping.offer(number);
            if number % 50 == 0 {
                shipping.turn(Duration::from_millis(1));
            }
            shipping.assert_bounds();
        }
        let shipped = shipping.finish();
        assert_eq!(shipped.fates.told(), 5_000);
    }
}
