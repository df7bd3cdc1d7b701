//! Every end at every place: what a peer says last, how it ends, what the client has under way, and
//! when it looks. All of them together, in both worlds.

use std::time::Duration;

use super::hand::Hand;
use super::stage::{Real, Stage};
use super::{like_loopback, on_loopback_and_like_it, patient};
use crate::config::{Config, Peek};
use crate::frame::Framing;
use crate::sim::world::World;
use crate::upstream::Upstream;

/// How a peer ends a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Shut,
    Close,
    Reset,
    /// A FIN, and then a RST.
    ShutReset,
}

const ENDS: [End; 4] = [End::Shut, End::Close, End::Reset, End::ShutReset];

/// What the client does with a connection, before or after the peer's end has come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Nothing,
    Send,
    Close,
    SendClose,
    Abort,
}

const ACTS: [Act; 5] = [
    Act::Nothing,
    Act::Send,
    Act::Close,
    Act::SendClose,
    Act::Abort,
];

/// Before, within, after and beyond a frame.
const WORDS: [&str; 4] = ["", "par", "whole\n", "whole\npar"];

/// One place of one end.
#[derive(Clone, Copy, Debug)]
struct Place {
    words: &'static str,
    end: End,
    /// The client looks between the words and the end.
    looks: bool,
    before: Act,
    after: Act,
    peek: Peek,
    half_close: bool,
}

/// What can be done before and after: what has been ended is not ended again.
fn acts() -> impl Iterator<Item = (Act, Act)> {
    let pairs = ACTS.into_iter().flat_map(|b| ACTS.map(|a| (b, a)));
    pairs.filter(|(before, after)| match before {
        Act::Nothing | Act::Send => true,
        Act::Close | Act::SendClose => matches!(after, Act::Nothing | Act::Abort),
        Act::Abort => *after == Act::Nothing,
    })
}

fn places() -> impl Iterator<Item = Place> {
    let settings = [
        (Peek::Always, false),
        (Peek::Always, true),
        (Peek::Idle(Duration::ZERO), false),
        (Peek::Never, false),
    ];
    let of = move |words, end, (before, after)| {
        settings.into_iter().flat_map(move |(peek, half_close)| {
            [true, false].map(|looks| Place {
                words,
                end,
                looks,
                before,
                after,
                peek,
                half_close,
            })
        })
    };
    let ended = move |words| {
        ENDS.into_iter()
            .flat_map(move |end| acts().flat_map(move |it| of(words, end, it)))
    };
    WORDS.into_iter().flat_map(ended)
}

fn act<S: Stage>(hand: &mut Hand<S>, act: Act) {
    act_on(hand, 0, act);
}

fn act_on<S: Stage>(hand: &mut Hand<S>, number: usize, act: Act) {
    if matches!(act, Act::Send | Act::SendClose) {
        hand.send(number, b"words\n");
    }
    match act {
        Act::Close | Act::SendClose => hand.close(number),
        Act::Abort => hand.abort(number),
        Act::Nothing | Act::Send => {}
    }
    hand.flush();
}

fn end<S: Stage>(hand: &mut Hand<S>, end: End) {
    match end {
        End::Shut => hand.peer_shuts(0),
        End::Close => hand.peer_closes(0, false),
        End::Reset => hand.peer_closes(0, true),
        End::ShutReset => {
            hand.peer_shuts(0);
            hand.peer_closes(0, true);
        }
    }
}

/// What the client is told by a raw connection, and what the peer's calls come to.
fn raw<S: Stage>(stage: S, place: Place) -> [Vec<String>; 2] {
    let config = Config {
        peek: place.peek,
        half_close: place.half_close,
        ..patient()
    };
    let mut hand = Hand::new(stage, config);
    hand.connect(&Framing::line());
    hand.settle();
    hand.turn();
    hand.accept();
    act(&mut hand, place.before);
    hand.peer_writes(0, place.words.as_bytes());
    if place.looks {
        hand.turn();
    }
    end(&mut hand, place.end);
    act(&mut hand, place.after);
    hand.turn();
    hand.peer_reads(0, 64);
    hand.peer_writes(0, b"too late\n");
    hand.peer_reads(0, 64);
    hand.peer_closes(0, false);
    hand.turn();
    hand.close(0);
    hand.turn();
    [hand.log.connections.swap_remove(0), hand.told]
}

/// The same for three requests on one connection of an upstream, of which two can be under way.
fn requests<S: Stage>(stage: S, place: Place) -> [Vec<String>; 2] {
    let config = Config {
        peek: place.peek,
        ..patient()
    };
    let mut hand = Hand::new(stage, config);
    let upstream = Upstream::new(hand.at.to_string());
    hand.add(upstream.connections(1..=1).depth(2));
    hand.turn();
    hand.accept();
    let asks = |act: Act| match act {
        Act::Nothing => 0,
        Act::Send => 1,
        Act::Close => 2,
        Act::SendClose | Act::Abort => 3,
    };
    (0..asks(place.before)).for_each(|_| hand.request());
    hand.flush();
    hand.peer_reads(0, 64);
    hand.peer_writes(0, place.words.as_bytes());
    if place.looks {
        hand.turn();
    }
    end(&mut hand, place.end);
    (0..asks(place.after)).for_each(|_| hand.request());
    hand.flush();
    hand.first_turn();
    hand.peer_reads(0, 64);
    let requests = hand.log.requests.iter();
    let requests = requests.map(|(tag, outcome)| format!("{tag}: {outcome}"));
    [requests.collect(), hand.told]
}

#[test]
fn each_end_at_each_place_of_a_raw_connection_is_told_alike() {
    for place in places() {
        let simulated = raw(World::new(0, like_loopback()), place);
        assert_eq!(simulated, raw(Real::default(), place), "{place:?}");
        let told = simulated[0].last().unwrap();
        assert!(told.starts_with("closed"), "{place:?}: {told}");
    }
}

#[test]
fn each_end_at_each_place_of_a_pipeline_is_told_alike() {
    for place in places().filter(|place| !place.half_close) {
        let simulated = requests(World::new(0, like_loopback()), place);
        assert_eq!(simulated, requests(Real::default(), place), "{place:?}");
    }
}

/// What the end of a peer means, where nothing of the client's is in its way.
#[test]
fn an_end_means_what_came_before_it_and_what_was_sent() {
    let place = Place {
        words: "",
        end: End::Close,
        looks: false,
        before: Act::Nothing,
        after: Act::Nothing,
        peek: Peek::Always,
        half_close: false,
    };
    let told = |place| {
        let [told, _] = raw(World::new(0, like_loopback()), place);
        told.into_iter()
            .find(|it| it.starts_with("closed"))
            .unwrap()
    };
    let whole = Place {
        words: "whole\n",
        ..place
    };
    let part = Place {
        words: "par",
        ..place
    };
    let sent = |place| Place {
        before: Act::Send,
        ..place
    };
    let reset = |place| Place {
        end: End::Reset,
        ..place
    };
    for (place, meaning) in [
        (place, "Idle, sent: No, source: Eof"),
        (sent(place), "Idle, sent: Maybe, source: Os(104)"),
        (whole, "Idle, sent: No, source: Eof"),
        (part, "Read, sent: No, source: Truncated { received: 3 }"),
        (reset(place), "Idle, sent: No, source: Os(104)"),
        (reset(whole), "Idle, sent: No, source: Os(104)"),
        (reset(part), "Read, sent: No, source: Os(104)"),
    ] {
        let told = told(place);
        assert!(told.contains(meaning), "{place:?}: {told}");
    }
}

/// Our own end before the connection stands: while its name is looked up, while it connects, and when
/// that has come about but was not looked at.
fn own_ends<S: Stage>(mut stage: S) -> Vec<String> {
    stage.name("silent.test", &[]);
    let (full, _full) = stage.full();
    let mut hand = Hand::new(stage, patient());
    let targets = [
        String::from("silent.test:9"),
        full.to_string(),
        hand.at.to_string(),
    ];
    for target in targets {
        for after in [Act::Close, Act::SendClose, Act::Abort] {
            let number = hand.connections.len();
            hand.connect_to(&target, &Framing::line());
            hand.settle();
            act_on(&mut hand, number, after);
            hand.turn();
        }
    }
    hand.log.connections.concat()
}

#[test]
fn our_own_end_before_it_stands_is_told_once_and_nothing_is_sent() {
    let told = on_loopback_and_like_it!(own_ends);
    let closed: Vec<_> = told.iter().filter(|it| it.starts_with("closed")).collect();
    assert_eq!(closed.len(), 9);
    for (number, closed) in closed.into_iter().enumerate() {
        let phase = if number < 3 { "Resolve" } else { "Connect" };
        let meaning = format!("phase: {phase}, sent: No, source: Closed");
        assert!(closed.starts_with("closed after 0"), "{closed}");
        assert!(closed.contains(&meaning), "{closed}");
    }
}
