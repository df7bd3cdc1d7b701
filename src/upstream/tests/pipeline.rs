//! The pipeline against a plain list.

use proptest::prelude::*;

use super::super::pipeline::Pipeline;
use super::*;

#[derive(Clone, Copy, Debug)]
enum Move {
    Push { bytes: u64, deadline: u64 },
    Write { bytes: u64 },
    Complete,
    CompleteOutOfTurn { place: usize },
    Expire { now: u64 },
    ExpireUnsent { now: u64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (1_u64..20, 0_u64..30).prop_map(|(bytes, deadline)| Move::Push { bytes, deadline }),
        3 => (0_u64..30).prop_map(|bytes| Move::Write { bytes }),
        2 => Just(Move::Complete),
        3 => (0_usize..8).prop_map(|place| Move::CompleteOutOfTurn { place }),
        1 => (0_u64..30).prop_map(|now| Move::Expire { now }),
        1 => (0_u64..30).prop_map(|now| Move::ExpireUnsent { now }),
    ];
    prop::collection::vec(one, 1..80)
}

/// The plain list, with the key of each.
#[derive(Default)]
struct Model {
    list: Vec<(u32, InFlight)>,
    queued: u64,
    written: u64,
}

impl Model {
    fn complete(&mut self, place: usize) -> Option<u64> {
        let begun = self.list.get(place)?.1.range.start < self.written;
        begun.then(|| self.list.remove(place).1.tag)
    }

    fn expire(&mut self, now: Time, unsent_only: bool) -> Vec<u64> {
        let (mut expired, mut place, mut gone) = (Vec::new(), 0, 0);
        while place < self.list.len() {
            let request = &mut self.list[place].1;
            let unsent = request.range.start >= self.written;
            let due = request.deadline <= now && !request.is_tombstone && (unsent || !unsent_only);
            let range = request.range.clone();
            request.range = range.start - gone..range.end - gone;
            if due {
                expired.push(request.tag);
                request.is_tombstone = true;
            }
            if due && unsent {
                gone += range.end - range.start;
                self.list.remove(place);
            } else {
                place += 1;
            }
        }
        self.queued -= gone;
        expired
    }
}

fn view(request: &InFlight) -> (u64, std::ops::Range<u64>, bool) {
    (request.tag, request.range.clone(), request.is_tombstone)
}

proptest! {
    #[test]
    fn it_is_a_list_from_which_any_may_be_taken(moves in moves()) {
        let (mut pipeline, mut model) = (Pipeline::new(), Model::default());
        for (n, step) in (0..).zip(moves) {
            let progress = progress(model.written, false);
            match step {
                Move::Push { bytes, deadline } => {
                    let request = request(n, model.queued..model.queued + bytes, at(deadline));
                    model.queued += bytes;
                    model.list.push((pipeline.push(request.clone()), request));
                }
                Move::Write { bytes } => model.written = model.queued.min(model.written + bytes),
                Move::Complete => {
                    let completed = pipeline.complete(model.written);
                    prop_assert_eq!(completed.map(|request| request.tag), model.complete(0));
                }
                Move::CompleteOutOfTurn { place } => {
                    let key = model.list.get(place).map_or(u32::MAX, |(key, _)| *key);
                    let completed = pipeline.complete_out_of_turn(key, model.written);
                    prop_assert_eq!(completed.map(|request| request.tag), model.complete(place));
                }
                Move::Expire { now } | Move::ExpireUnsent { now } => {
                    let mut expired = Vec::new();
                    let unsent_only = matches!(step, Move::ExpireUnsent { .. });
                    let which = if unsent_only { Which::Unsent } else { Which::All };
                    pipeline.expire(at(now), which, progress, &mut expired);
                    let expired: Vec<_> = expired.iter().map(|(request, _)| request.tag).collect();
                    prop_assert_eq!(expired, model.expire(at(now), unsent_only));
                }
            }
            let expected: Vec<_> = model.list.iter().map(|(_, request)| view(request)).collect();
            prop_assert_eq!(pipeline.in_order().map(view).collect::<Vec<_>>(), expected);
            let tombstones = model.list.iter().filter(|(_, request)| request.is_tombstone).count();
            prop_assert_eq!((pipeline.len(), pipeline.tombstones()), (model.list.len(), tombstones));
            let live = model.list.iter().filter(|(_, request)| !request.is_tombstone);
            let nearest = live.map(|(_, request)| request.deadline).min().unwrap_or(Time::NEVER);
            prop_assert!(pipeline.next_deadline() <= nearest, "a lower bound");
            prop_assert_eq!(pipeline.has_begun(model.written), model.list.first().is_some_and(|(_, it)| it.range.start < model.written));
        }
    }
}
