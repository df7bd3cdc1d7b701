//! The cases that break timer wheels. Beside them, in `tests/`: the wheel against a sorted map.

#![allow(clippy::unwrap_used, reason = "tests")]

mod model;
mod structure;

use super::slots::{LEVELS, RANGE_TICKS};
use super::*;
use structure::check_structure;

const TOP_SLOT_TICKS: u64 = RANGE_TICKS / 64;

fn pop_all<T: Copy>(wheel: &mut Wheel<T>) -> Vec<T> {
    std::iter::from_fn(|| wheel.pop_expired())
        .map(|(_, owner)| owner)
        .collect()
}

fn scheduled<T: Copy>(wheel: &mut Wheel<T>, owner: T, deadline_tick: u64) -> TimerKey {
    let key = wheel.insert(owner);
    wheel.schedule(key, deadline_tick);
    key
}

#[test]
fn an_entry_and_its_links_take_half_a_cache_line() {
    assert_eq!(size_of::<Entry<u32>>() + rings::LINK_BYTES, 32);
}

#[test]
fn an_empty_wheel_has_nothing_to_do() {
    let mut wheel = Wheel::<()>::new(7);
    wheel.advance(u64::MAX);
    assert_eq!(
        (wheel.next_tick(), wheel.pop_expired(), wheel.is_empty()),
        (None, None, true)
    );
}

#[test]
fn a_deadline_at_or_before_now_is_due_at_the_next_advance_even_if_time_stands() {
    let mut wheel = Wheel::new(100);
    scheduled(&mut wheel, "past", 3);
    scheduled(&mut wheel, "now", 100);
    assert_eq!(wheel.pop_expired(), None);
    assert_eq!(wheel.next_tick(), Some(100));
    wheel.advance(100);
    assert_eq!(pop_all(&mut wheel), ["past", "now"]);
}

#[test]
fn a_loop_that_pops_and_schedules_for_now_ends() {
    let mut wheel = Wheel::new(0);
    scheduled(&mut wheel, (), 1);
    for _ in 0..3 {
        wheel.advance(1);
        let (key, ()) = wheel.pop_expired().unwrap();
        wheel.schedule(key, 1);
        assert_eq!(wheel.pop_expired(), None);
    }
}

#[test]
fn time_does_not_go_back() {
    let mut wheel = Wheel::new(50);
    scheduled(&mut wheel, "ten", 60);
    wheel.advance(40);
    assert_eq!(wheel.now(), 50);
    wheel.advance(59);
    assert_eq!(wheel.pop_expired(), None);
    wheel.advance(60);
    assert_eq!(pop_all(&mut wheel), ["ten"]);
}

#[test]
fn an_expired_entry_not_yet_popped_can_be_taken_back() {
    let mut wheel = Wheel::new(0);
    let [later, cleared, removed, kept] =
        ["later", "cleared", "removed", "kept"].map(|owner| scheduled(&mut wheel, owner, 5));
    wheel.advance(9);
    wheel.schedule(later, 12);
    wheel.clear(cleared);
    wheel.remove(removed);
    wheel.schedule(kept, 8);
    assert_eq!(pop_all(&mut wheel), ["kept"]);
    assert_eq!(wheel.deadline(kept), None);
    assert_eq!(wheel.next_tick(), Some(12));
    wheel.advance(12);
    assert_eq!(pop_all(&mut wheel), ["later"]);
    assert_eq!(wheel.len(), 3);
}

#[test]
fn what_nobody_popped_waits_and_comes_first() {
    let mut wheel = Wheel::new(0);
    scheduled(&mut wheel, "first", 1);
    scheduled(&mut wheel, "second", 2);
    wheel.advance(1);
    assert_eq!(wheel.next_tick(), Some(1));
    wheel.advance(2);
    assert_eq!(pop_all(&mut wheel), ["first", "second"]);
}

#[test]
fn an_earlier_deadline_is_kept_at_once() {
    let mut wheel = Wheel::new(0);
    let key = scheduled(&mut wheel, (), 5_000);
    wheel.schedule(key, 70);
    assert!(wheel.next_tick().unwrap() <= 70);
    wheel.advance(69);
    assert_eq!(wheel.pop_expired(), None);
    wheel.advance(70);
    assert_eq!(wheel.pop_expired(), Some((key, ())));
}

#[test]
fn postponing_and_then_drawing_nearer_keeps_the_nearer_deadline() {
    let mut wheel = Wheel::new(0);
    let key = scheduled(&mut wheel, (), 100);
    wheel.schedule(key, 9_000); // stays filed at 100
    wheel.schedule(key, 150); // later than filed, earlier than it was: written only
    wheel.advance(100);
    assert_eq!(wheel.pop_expired(), None);
    assert_eq!(wheel.next_tick(), Some(128)); // its slot in level 1
    wheel.advance(149);
    assert_eq!(wheel.pop_expired(), None);
    wheel.advance(150);
    assert_eq!(wheel.pop_expired(), Some((key, ())));
}

#[test]
fn a_cleared_entry_is_dropped_quietly_and_can_be_scheduled_anew() {
    let mut wheel = Wheel::new(0);
    let key = scheduled(&mut wheel, (), 5);
    wheel.clear(key);
    assert_eq!(wheel.deadline(key), None);
    wheel.advance(5);
    assert_eq!(
        (wheel.pop_expired(), wheel.next_tick(), wheel.len()),
        (None, None, 1)
    );
    wheel.schedule(key, 8);
    wheel.clear(key);
    wheel.schedule(key, 9);
    wheel.advance(8);
    assert_eq!(wheel.pop_expired(), None);
    wheel.advance(9);
    assert_eq!(wheel.pop_expired(), Some((key, ())));
}

/// Another wheel once filed such a delay into the top slot `now` was in, where it hid nearer ones.
#[test]
fn a_deadline_beyond_the_range_does_not_hide_a_nearer_one() {
    for start in [
        0,
        TOP_SLOT_TICKS - 1,
        17 * TOP_SLOT_TICKS + 5,
        RANGE_TICKS - 1,
    ] {
        let mut wheel = Wheel::new(start);
        let far_tick = start + RANGE_TICKS + 3;
        let near_tick = start + 2 * TOP_SLOT_TICKS;
        scheduled(&mut wheel, "far", far_tick);
        scheduled(&mut wheel, "near", near_tick);
        assert!(wheel.next_tick().unwrap() <= near_tick);
        for (deadline_tick, owner) in [(near_tick, "near"), (far_tick, "far")] {
            wheel.advance(deadline_tick - 1);
            assert_eq!(wheel.pop_expired(), None);
            wheel.advance(deadline_tick);
            assert_eq!(pop_all(&mut wheel), [owner]);
        }
    }
}

#[test]
fn each_delay_at_each_place_in_a_lap_is_met_to_the_tick() {
    let edges = (0..=LEVELS).flat_map(|level| {
        let edge = 1_u64 << (6 * level);
        [
            edge - 1,
            edge,
            edge + 1,
            edge * 63,
            edge * 64 - 1,
            edge * 65,
        ]
    });
    let edges: Vec<u64> = edges.collect();
    for &start in &edges {
        for &delay in &edges {
            let mut wheel = Wheel::new(start);
            scheduled(&mut wheel, (), start + delay);
            let mut steps = 0;
            while wheel.next_tick().unwrap() < start + delay {
                steps += 1;
                assert!(steps < 1_000, "{start} + {delay}: no progress");
                wheel.advance(wheel.next_tick().unwrap());
                assert_eq!(
                    wheel.pop_expired().is_some(),
                    delay == 0,
                    "{start} + {delay}"
                );
            }
            wheel.advance(start + delay);
            assert!(wheel.pop_expired().is_some(), "{start} + {delay}");
        }
    }
}

#[test]
fn slots_are_used_again_lap_after_lap() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(());
    for lap in 0..1_000_u64 {
        let deadline_tick = lap * 61 + 61;
        wheel.schedule(key, deadline_tick);
        for now_tick in lap * 61..deadline_tick {
            wheel.advance(now_tick);
            assert_eq!(wheel.pop_expired(), None);
        }
        wheel.advance(deadline_tick);
        assert_eq!(wheel.pop_expired(), Some((key, ())));
    }
}

#[test]
fn the_range_goes_round_without_a_seam() {
    for before in [1, 63, 64, 4_096, TOP_SLOT_TICKS] {
        let start = RANGE_TICKS - before;
        let mut wheel = Wheel::new(start);
        scheduled(&mut wheel, "next lap", RANGE_TICKS);
        scheduled(&mut wheel, "just before", RANGE_TICKS - 1);
        wheel.advance(RANGE_TICKS - 1);
        assert_eq!(pop_all(&mut wheel), ["just before"]);
        wheel.advance(RANGE_TICKS);
        assert_eq!(pop_all(&mut wheel), ["next lap"]);
    }
}

#[test]
fn the_end_of_time_overflows_nothing() {
    for start in [0, u64::MAX - 5_000, u64::MAX - 64, u64::MAX - 1, u64::MAX] {
        let mut wheel = Wheel::new(start);
        let key = scheduled(&mut wheel, (), u64::MAX);
        wheel.schedule(key, u64::MAX);
        if start < u64::MAX {
            wheel.advance(u64::MAX - 1);
            assert_eq!(wheel.pop_expired(), None);
            assert_eq!(wheel.next_tick(), Some(u64::MAX));
        }
        wheel.advance(u64::MAX);
        assert_eq!(wheel.pop_expired(), Some((key, ())));
        wheel.schedule(key, u64::MAX);
        assert_eq!(wheel.next_tick(), Some(u64::MAX));
        wheel.advance(u64::MAX);
        assert_eq!(wheel.pop_expired(), Some((key, ())));
    }
}

#[test]
fn a_jump_of_centuries_hands_out_all_that_came_due_and_nothing_else() {
    let mut wheel = Wheel::new(0);
    let century_ticks = 100 * 366 * 86_400 * 8_000_u64; // of 125 µs
    for bit in 0..60 {
        scheduled(&mut wheel, 1_u64 << bit, 1 << bit);
    }
    wheel.advance(century_ticks);
    let mut popped = pop_all(&mut wheel);
    popped.sort_unstable();
    let due: Vec<u64> = (0..60)
        .map(|bit| 1 << bit)
        .filter(|&tick| tick <= century_ticks)
        .collect();
    assert_eq!(popped, due);
    check_structure(&wheel);
}

#[test]
fn a_hundred_thousand_deadlines_in_one_tick_come_together() {
    let mut wheel = Wheel::new(0);
    for owner in 0..100_000_u32 {
        scheduled(&mut wheel, owner, 70_000);
    }
    wheel.advance(69_999);
    assert_eq!(wheel.pop_expired(), None);
    wheel.advance(70_000);
    let popped = pop_all(&mut wheel);
    assert!(
        popped.into_iter().eq(0..100_000),
        "all, once, and in the order they were filed"
    );
    assert_eq!(wheel.next_tick(), None);
}

#[test]
fn a_storm_of_cancellations_leaves_nothing_behind() {
    let mut wheel = Wheel::new(0);
    let mut keys = Vec::new();
    for round in 0..10_u64 {
        keys.extend(
            (0..10_000_u64).map(|n| scheduled(&mut wheel, n, round * 10 + n * n % 1_000_003)),
        );
        wheel.advance(round * 10);
        for (n, key) in keys.drain(..).enumerate() {
            if n % 2 == 0 {
                wheel.clear(key);
            }
            wheel.remove(key);
        }
        check_structure(&wheel);
        assert_eq!(
            (wheel.pop_expired(), wheel.next_tick(), wheel.len()),
            (None, None, 0)
        );
    }
    assert_eq!(
        wheel.entries.len(),
        10_000,
        "given-up entries are used again"
    );
}

#[test]
fn a_storm_of_clears_and_schedules_never_fires() {
    let mut wheel = Wheel::new(0);
    let keys: Vec<_> = (0..1_000_u64).map(|n| wheel.insert(n)).collect();
    for now_tick in 0..5_000 {
        wheel.advance(now_tick);
        assert_eq!(wheel.pop_expired(), None);
        let key = keys[now_tick as usize % keys.len()];
        wheel.clear(key);
        wheel.schedule(key, now_tick + 1_001);
        wheel.clear(keys[(now_tick as usize * 7) % keys.len()]);
        wheel.schedule(key, now_tick + 1_500);
    }
    check_structure(&wheel);
}
