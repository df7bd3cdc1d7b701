//! The invariants of the wheel's inside.

use std::collections::BTreeMap;

use super::super::*;

/// What the comments say always holds, read off the wheel's inside.
pub(super) fn check_structure<T: Copy>(wheel: &Wheel<T>) {
    let now_tick = wheel.now_tick;
    let mut states = BTreeMap::new();
    for head in 0..HEADS {
        assert!(
            head == FREE || wheel.rings.is_sound(head),
            "ring {head} is torn"
        );
        for member in wheel.rings.walk(head) {
            let index = TimerKey::of_member(member).index();
            let entry = wheel.entries[index];
            assert!(states.insert(index, entry.state).is_none(), "in two rings");
            match entry.state {
                State::Free => assert_eq!(head, FREE),
                State::Idle => panic!("idle, and in a ring"),
                State::Expired => assert_eq!(head, EXPIRED),
                State::Filed | State::Cleared => {
                    let slot = slot_of(now_tick, entry.filed_tick);
                    assert_eq!(head, slot, "passed over, or misfiled");
                }
            }
            match entry.state {
                State::Filed => assert!(entry.filed_tick <= entry.deadline_tick, "no lower bound"),
                State::Cleared => {}
                _ => assert_eq!(entry.filed_tick, u64::MAX),
            }
        }
        if head < SLOT_COUNT {
            let empty = wheel.rings.next(head) == head;
            assert_ne!(wheel.slots.is_marked(head), empty, "bit of slot {head}");
        }
    }
    for (index, entry) in wheel.entries.iter().enumerate() {
        assert_eq!(
            entry.state == State::Idle,
            !states.contains_key(&index),
            "an entry is lost"
        );
    }
    let live = wheel
        .entries
        .iter()
        .filter(|entry| entry.state != State::Free)
        .count();
    assert_eq!(live, wheel.len());
}
