//! Two fake sessions talk to each other, and whatever is drawn, what was said arrives.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::{Book, FakeSession, FakeSessions, Habits, How, Overheard, Refusal, Side};
use crate::error::{CertificateFault, Source, TlsFault};
use crate::session::Session;
use crate::sim::random::{Chance, Random};

/// A client's session and a server's, with what each has received, and how it ended.
struct Pair {
    book: Book,
    sides: [End; 2],
}

struct End {
    session: FakeSession,
    overheard: Overheard,
    line: Vec<u8>,
    got: Vec<u8>,
    ended: Option<Source>,
}

impl Pair {
    fn new(habits: &Habits, seed: u64) -> Pair {
        let book = Book::default();
        let end = |side| End {
            session: FakeSessions::new(side, habits.clone(), seed, &book).next(),
            overheard: Overheard::new(&book),
            line: Vec::new(),
            got: Vec::new(),
            ended: None,
        };
        let sides = [end(Side::Client), end(Side::Server)];
        Pair { book, sides }
    }

    /// Lets both speak until neither has anything to say, in parts of so many bytes at most.
    fn talk(&mut self, random: &mut Random, part_max: u64) {
        loop {
            for end in &mut self.sides {
                let from = end.line.len();
                end.session.transmit(&mut end.line);
                end.overheard.put(&end.line[from..]);
            }
            let mut is_done = true;
            for from in [0, 1] {
                let line = &mut self.sides[from].line;
                let part = random.within(1..=part_max) as usize;
                let part: Vec<u8> = line.drain(..part.min(line.len())).collect();
                let to = &mut self.sides[1 - from];
                if !part.is_empty() && to.ended.is_none() {
                    is_done = false;
                    let got = &mut to.got;
                    let received = to.session.receive(&part, &mut |it| got.extend(it));
                    to.ended = received.err();
                }
            }
            if is_done {
                return;
            }
        }
    }

    fn say(&mut self, from: usize, program: &[u8]) {
        let end = &mut self.sides[from];
        let place = end.line.len();
        end.session.seal(program, &mut end.line);
        end.overheard.put(&end.line[place..]);
    }

    fn ended(&self) -> [Option<Source>; 2] {
        [self.sides[0].ended, self.sides[1].ended]
    }
}

#[test]
fn what_is_said_arrives_whatever_is_drawn_and_in_whatever_parts() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let habits = Habits::drawn(&mut random);
        let part_max = [1, 5, 100_000][random.within(0..=2) as usize];
        let mut pair = Pair::new(&habits, seed);
        pair.talk(&mut random, part_max);
        assert_eq!(pair.ended(), [None, None], "seed {seed}");
        let mut said = [Vec::new(), Vec::new()];
        for round in 0..10u8 {
            for (from, said) in said.iter_mut().enumerate() {
                assert!(!pair.sides[from].session.is_handshaking(), "seed {seed}");
                let program = vec![round; random.within(0..=300) as usize];
                pair.say(from, &program);
                said.extend(program);
            }
            if random.happens(Chance(500)) {
                pair.talk(&mut random, part_max);
            }
        }
        pair.sides[0].session.close();
        pair.talk(&mut random, part_max);
        let [client, server] = &pair.sides;
        assert_eq!((&client.got, &server.got), (&said[1], &said[0]));
        assert_eq!(pair.ended(), [None, None], "seed {seed}");
        let closed = [&client.session, &server.session].map(Session::is_peer_closed);
        assert_eq!(closed, [false, true]);
        let page = pair.book.page(client.session.drawn()).unwrap();
        assert_eq!(page.program, said[0]);
        let line = page.closed_at.unwrap();
        assert_eq!(
            (page.begun(line), page.whole(line)),
            (said[0].len(), said[0].len())
        );
        assert_eq!((page.begun(0), page.whole(0)), (0, 0));
    }
}

#[test]
fn the_same_seed_says_the_same() {
    let said = |seed| {
        let mut random = Random::new(seed);
        let mut pair = Pair::new(&Habits::drawn(&mut random), seed);
        pair.talk(&mut random, 50);
        pair.say(0, b"something");
        pair.sides.map(|end| end.line)
    };
    for seed in 0..20 {
        assert_eq!(said(seed), said(seed));
    }
    assert_ne!(said(0), said(1));
}

#[test]
fn what_the_program_says_is_not_to_be_found_on_the_line() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.talk(&mut Random::new(1), 1_000);
    let program = [b'a'; 200];
    pair.say(0, &program);
    let line = &pair.sides[0].line;
    assert!(line.windows(4).all(|part| part != b"aaaa"));
}

#[test]
fn whoever_refuses_says_so_and_the_other_side_hears_of_it() {
    let certificate = CertificateFault::WrongName;
    for (how, expected) in [
        (
            How::Certificate(certificate),
            [
                Some(Source::Certificate(certificate)),
                Some(Source::Alert(42)),
            ],
        ),
        (
            How::Alert(70),
            [
                Some(Source::Tls(TlsFault::NothingInCommon)),
                Some(Source::Alert(70)),
            ],
        ),
        (
            How::Gibberish,
            [
                Some(Source::Alert(10)),
                Some(Source::Tls(TlsFault::Misbehaved)),
            ],
        ),
        (
            How::Oversize,
            [
                Some(Source::Alert(10)),
                Some(Source::Tls(TlsFault::Misbehaved)),
            ],
        ),
        (How::Silence, [None, None]),
    ] {
        for round_trips in 1..=3 {
            let habits = Habits {
                round_trips: round_trips..=round_trips,
                ..Habits::plain()
            };
            for step in (1..2 * round_trips as u8).step_by(2) {
                let mut pair = Pair::new(&habits, 7);
                pair.sides[0].session.refuse(Refusal { step, how });
                pair.talk(&mut Random::new(7), 3);
                assert_eq!(pair.ended(), expected, "{how:?} at {step}");
                assert!(pair.sides[1].session.is_handshaking());
            }
        }
    }
}

/// What is no record to begin with is no TLS at all.
#[test]
fn plaintext_and_what_was_changed_or_lost_or_doubled_on_the_way_is_found() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    let server = &mut pair.sides[1].session;
    let received = server.receive(b"GET / HTTP/1.1\r\n", &mut |_| {});
    assert_eq!(received, Err(Source::Tls(TlsFault::NotTls)));

    for (what, damage) in [("changed", 0), ("lost", 1), ("doubled", 2)] {
        let mut pair = Pair::new(&Habits::plain(), 1);
        pair.talk(&mut Random::new(1), 100);
        for part in [b"one", b"two"] {
            pair.say(0, part);
        }
        let line = &mut pair.sides[0].line;
        let record: Vec<u8> = line[..line.len() / 2].to_vec();
        match damage {
            0 => line[5] ^= 1,
            1 => _ = line.drain(..record.len()),
            _ => _ = line.splice(..0, record),
        }
        pair.talk(&mut Random::new(1), 100);
        assert_eq!(
            pair.ended()[1],
            Some(Source::Tls(TlsFault::BadRecord)),
            "{what}"
        );
    }
}

/// Answers to key updates wait for each other, and not more are taken than anybody would ask for.
#[test]
fn a_flood_of_key_updates_is_answered_once_a_read_and_then_refused() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.talk(&mut Random::new(1), 100);
    for _ in 0..32 {
        pair.sides[1].session.update_key(true);
    }
    let mut line = Vec::new();
    pair.sides[1].session.transmit(&mut line);
    let client = &mut pair.sides[0].session;
    assert_eq!(client.receive(&line, &mut |_| {}), Ok(()));
    let mut answer = Vec::new();
    client.transmit(&mut answer);
    assert_eq!(answer.len(), 8, "one answer");
    pair.sides[1].session.update_key(true);
    line.clear();
    pair.sides[1].session.transmit(&mut line);
    let received = pair.sides[0].session.receive(&line, &mut |_| {});
    assert_eq!(received, Err(Source::Tls(TlsFault::Misbehaved)));
}

#[test]
#[should_panic(expected = "what is on the line is records")]
fn a_byte_in_the_clear_is_overheard() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.talk(&mut Random::new(1), 100);
    pair.sides[0].overheard.put(b"ping\n");
}

#[test]
#[should_panic(expected = "the next record")]
fn a_record_that_goes_out_twice_is_overheard() {
    let mut pair = Pair::new(&Habits::plain(), 1);
    pair.talk(&mut Random::new(1), 100);
    pair.say(0, b"ping\n");
    let line = pair.sides[0].line.clone();
    pair.sides[0].overheard.put(&line);
}
