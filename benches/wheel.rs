//! The wheel at 100,000 live entries, beside what a program would else take: a `BTreeMap` keyed by
//! deadline, and a `BinaryHeap` that skips what was superseded.
//!
//! Time per operation. Unless said otherwise entries are visited in shuffled order, as connections
//! are by their traffic, and not in that of memory. One tick is 125 µs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use taut::wheel::{TimerKey, Wheel};

const LIVE: u32 = 100_000;
const HALF_SECOND_TICKS: u64 = 4_000;
const MINUTE_TICKS: u64 = 60 * 8_000;

/// What is asked of each. A handle is what an owner keeps to name its timer.
trait Timers {
    type Handle: Copy;
    fn new() -> Self;
    /// A timer for `owner`, without a deadline.
    fn insert(&mut self, owner: u32) -> Self::Handle;
    /// Sets a deadline where there is none.
    fn schedule(&mut self, timer: Self::Handle, deadline_tick: u64);
    /// Moves the deadline there is.
    fn postpone(&mut self, timer: Self::Handle, deadline_tick: u64);
    /// Takes it away, and the timer with it.
    fn remove(&mut self, timer: Self::Handle);
    /// Hands out what is due by `now_tick`.
    fn expire(&mut self, now_tick: u64, expired: impl FnMut(Self::Handle));
}

impl Timers for Wheel<u32> {
    type Handle = TimerKey;

    fn new() -> Self {
        Self::new(0)
    }

    fn insert(&mut self, owner: u32) -> TimerKey {
        self.insert(owner)
    }

    fn schedule(&mut self, timer: TimerKey, deadline_tick: u64) {
        self.schedule(timer, deadline_tick);
    }

    fn postpone(&mut self, timer: TimerKey, deadline_tick: u64) {
        self.schedule(timer, deadline_tick);
    }

    fn remove(&mut self, timer: TimerKey) {
        self.remove(timer);
    }

    fn expire(&mut self, now_tick: u64, mut expired: impl FnMut(TimerKey)) {
        self.advance(now_tick);
        while let Some((timer, owner)) = self.pop_expired() {
            black_box(owner);
            expired(timer);
        }
    }
}

/// Must know the deadline an owner has, to find it.
struct Tree {
    by_deadline: BTreeMap<(u64, u32), ()>,
    deadlines: Vec<u64>,
}

impl Timers for Tree {
    type Handle = u32;

    fn new() -> Self {
        Self {
            by_deadline: BTreeMap::new(),
            deadlines: vec![0; LIVE as usize + 1],
        }
    }

    fn insert(&mut self, owner: u32) -> u32 {
        owner
    }

    fn schedule(&mut self, owner: u32, deadline_tick: u64) {
        self.deadlines[owner as usize] = deadline_tick;
        self.by_deadline.insert((deadline_tick, owner), ());
    }

    fn postpone(&mut self, owner: u32, deadline_tick: u64) {
        self.remove(owner);
        self.schedule(owner, deadline_tick);
    }

    fn remove(&mut self, owner: u32) {
        self.by_deadline
            .remove(&(self.deadlines[owner as usize], owner));
    }

    fn expire(&mut self, now_tick: u64, mut expired: impl FnMut(u32)) {
        while let Some(first) = self.by_deadline.first_entry() {
            let (deadline_tick, owner) = *first.key();
            if deadline_tick > now_tick {
                break;
            }
            first.remove();
            expired(owner);
        }
    }
}

/// Cannot remove from its middle: what was superseded stays until it comes up, or outnumbers the
/// rest. So it is quick to postpone, and pays when time moves.
struct Heap {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    deadlines: Vec<u64>,
}

const NONE: u64 = u64::MAX;

impl Timers for Heap {
    type Handle = u32;

    fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            deadlines: vec![NONE; LIVE as usize + 1],
        }
    }

    fn insert(&mut self, owner: u32) -> u32 {
        owner
    }

    fn schedule(&mut self, owner: u32, deadline_tick: u64) {
        self.deadlines[owner as usize] = deadline_tick;
        self.heap.push(Reverse((deadline_tick, owner)));
        if self.heap.len() > 2 * LIVE as usize {
            let deadlines = &self.deadlines;
            self.heap
                .retain(|&Reverse((tick, owner))| deadlines[owner as usize] == tick);
        }
    }

    fn postpone(&mut self, owner: u32, deadline_tick: u64) {
        self.schedule(owner, deadline_tick);
    }

    fn remove(&mut self, owner: u32) {
        self.deadlines[owner as usize] = NONE;
    }

    fn expire(&mut self, now_tick: u64, mut expired: impl FnMut(u32)) {
        while let Some(&Reverse((deadline_tick, owner))) = self.heap.peek() {
            if deadline_tick > now_tick {
                break;
            }
            self.heap.pop();
            if self.deadlines[owner as usize] == deadline_tick {
                self.deadlines[owner as usize] = NONE;
                expired(owner);
            }
        }
    }
}

/// xorshift: the same order and the same delays in every run, and next to no time itself.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// As inserted, and so as in memory.
    Inserted,
    /// As connections have traffic: most accesses miss the nearest cache.
    Shuffled,
}

/// A timer for each owner, none with a deadline.
fn all_owners<S: Timers>(noise: &mut Noise, order: Order) -> (S, Vec<S::Handle>) {
    let mut timers = S::new();
    let mut handles: Vec<_> = (0..LIVE).map(|owner| timers.insert(owner)).collect();
    if order == Order::Shuffled {
        for last in (1..handles.len()).rev() {
            handles.swap(last, noise.below(last as u64 + 1) as usize);
        }
    }
    (timers, handles)
}

/// In shuffled order, each with a deadline within so many ticks.
fn all_scheduled<S: Timers>(noise: &mut Noise, ahead_ticks: u64) -> (S, Vec<S::Handle>) {
    let (mut timers, handles) = all_owners::<S>(noise, Order::Shuffled);
    for &timer in &handles {
        timers.schedule(timer, 1 + noise.below(ahead_ticks));
    }
    (timers, handles)
}

/// A reply came: each owner in turn gets a later deadline. Time stands: only the move is measured.
fn postpone<S: Timers>(operations: u64) -> Duration {
    let (mut timers, handles) = all_scheduled::<S>(&mut Noise(1), MINUTE_TICKS);
    let mut deadline_tick = 2 * MINUTE_TICKS;
    let mut left = operations as usize;
    let begin = Instant::now();
    while left > 0 {
        let round = &handles[..left.min(handles.len())];
        left -= round.len();
        for &timer in round {
            deadline_tick += 1;
            timers.postpone(timer, deadline_tick);
        }
    }
    let elapsed = begin.elapsed();
    black_box(timers);
    elapsed
}

/// A short-lived owner among the many: it comes, gets a deadline, and goes before that is reached.
fn insert_and_remove<S: Timers>(operations: u64) -> Duration {
    let mut noise = Noise(2);
    let (mut timers, _) = all_scheduled::<S>(&mut noise, MINUTE_TICKS);
    let begin = Instant::now();
    for _ in 0..operations {
        let timer = timers.insert(LIVE);
        timers.schedule(timer, 1 + noise.below(MINUTE_TICKS));
        timers.remove(timer);
    }
    let elapsed = begin.elapsed();
    black_box(timers);
    elapsed
}

/// A fleet stops answering: all get a deadline within half a second, then that comes for all.
fn expire_together<S: Timers>(operations: u64, order: Order) -> Duration {
    let mut noise = Noise(3);
    let (mut timers, handles) = all_owners::<S>(&mut noise, order);
    let mut now_tick = 0;
    let mut left = operations as usize;
    let begin = Instant::now();
    while left > 0 {
        let round = &handles[..left.min(handles.len())];
        left -= round.len();
        for &timer in round {
            timers.schedule(timer, now_tick + 1 + noise.below(HALF_SECOND_TICKS));
        }
        now_tick += HALF_SECOND_TICKS;
        timers.expire(now_tick, |timer| {
            black_box(timer);
        });
    }
    let elapsed = begin.elapsed();
    black_box(timers);
    elapsed
}

/// Deadlines that pass through every level on their way. Time goes on in steps of `step_ticks`, and
/// whoever expires sets a deadline anew, so that always 100,000 are live.
fn expire_in_turn<S: Timers>(operations: u64, ahead_ticks: u64, step_ticks: u64) -> Duration {
    let mut noise = Noise(4);
    let (mut timers, _) = all_scheduled::<S>(&mut noise, ahead_ticks);
    let mut now_tick = 0;
    let mut expired = Vec::new();
    let mut done = 0;
    let begin = Instant::now();
    while done < operations {
        now_tick += step_ticks;
        timers.expire(now_tick, |timer| expired.push(timer));
        done += expired.len() as u64;
        for timer in expired.drain(..) {
            timers.schedule(timer, now_tick + 1 + noise.below(ahead_ticks));
        }
    }
    let elapsed = begin.elapsed();
    black_box(timers);
    elapsed
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// One group: the same run for each of the three.
macro_rules! side_by_side {
    ($criterion:ident, $name:literal, $run:ident $(, $argument:expr)*) => {
        let mut group = $criterion.benchmark_group($name);
        measure(&mut group, "wheel", |operations| $run::<Wheel<u32>>(operations $(, $argument)*));
        measure(&mut group, "btree_map", |operations| $run::<Tree>(operations $(, $argument)*));
        measure(&mut group, "binary_heap", |operations| $run::<Heap>(operations $(, $argument)*));
        group.finish();
    };
}

fn measure(group: &mut Group, name: &str, run: fn(u64) -> Duration) {
    group.bench_function(name, |bencher| bencher.iter_custom(run));
}

fn each_operation(criterion: &mut Criterion) {
    side_by_side!(criterion, "postpone", postpone);
    side_by_side!(criterion, "insert_schedule_remove", insert_and_remove);
    side_by_side!(
        criterion,
        "schedule_expire/together",
        expire_together,
        Order::Inserted
    );
    side_by_side!(
        criterion,
        "schedule_expire/together_shuffled",
        expire_together,
        Order::Shuffled
    );
    // Request deadlines, looked at each millisecond; idle timeouts, looked at each tick.
    side_by_side!(
        criterion,
        "schedule_expire/half_second",
        expire_in_turn,
        HALF_SECOND_TICKS,
        8
    );
    side_by_side!(
        criterion,
        "schedule_expire/minute",
        expire_in_turn,
        MINUTE_TICKS,
        1
    );
}

fn short() -> Criterion {
    let criterion = Criterion::default();
    criterion
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = benches;
    config = short();
    targets = each_operation
}
criterion_main!(benches);
