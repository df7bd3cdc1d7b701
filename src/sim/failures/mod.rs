//! Fail the n-th kernel call: for every operation, every call of it that a course of work makes, and
//! each errno it may come back with, in both worlds.
//!
//! Whichever it is: the program is told once, by an error of the right class, or not at all where it
//! is harmless; every request ends once; nothing leaks, nothing spins; and afterwards all works again.
//! Loopback takes a sample of the calls, the simulation all; `TAUT_FAILURES=all` takes all on both.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod documented;
mod judge;
mod regressions;
mod table;
mod trial;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::failing::{Failure, Operation, Span};
use super::faults::Faults;
use super::random::{Chance, Random};
use super::scenarios::like_loopback;
use super::scenarios::stage::{Real, Stage};
use super::world::World;
use judge::{Course, course};
use table::{Row, rows};
use trial::{Side, Trial};
use workloads::Workload;

/// What was tried, and what of it went wrong: one flaw must not hide another.
#[derive(Default)]
struct Tries {
    /// Calls that were made to fail, and did.
    met: u64,
    wrong: Vec<String>,
}

impl Tries {
    fn one(&mut self, what: impl std::fmt::Debug, run: impl FnOnce() -> u64) {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(met) => self.met += met,
            Err(_) => self.wrong.push(format!("{what:?}")),
        }
    }

    fn end(self) {
        let wrong = self.wrong.len();
        let first = &self.wrong[..wrong.min(20)];
        assert!(wrong == 0, "{wrong} go wrong, such as {first:#?}");
        eprintln!("{} calls failed", self.met);
    }
}

/// One course of work without failures, which is what the others are held to.
struct Clean {
    workload: Workload,
    side: Side,
    course: Course,
    calls: Vec<(Operation, u64)>,
}

impl Clean {
    fn new<S: Stage>(stage: S, workload: Workload, side: Side, rows: &[Row]) -> Clean {
        let mut trial = Trial::new(stage, side);
        workload.work(&mut trial);
        let mut calls: Vec<_> = rows
            .iter()
            .map(|row| (row.operation, trial.kernel().calls(row.operation)))
            .collect();
        calls.sort();
        calls.dedup();
        let course = course(&trial);
        trial.holds_always();
        trial.works_again();
        trial.gives_all_back(workload);
        Clean {
            workload,
            side,
            course,
            calls,
        }
    }

    /// Calls of an operation.
    fn calls(&self, operation: Operation) -> u64 {
        let found = self.calls.iter().find(|(it, _)| *it == operation);
        found.map_or(0, |(_, calls)| *calls)
    }
}

fn failure(row: &Row, from: u64, span: Span) -> Failure {
    Failure {
        operation: row.operation,
        from,
        span,
        errno: row.errno,
        effect: row.effect,
        option: row.option,
    }
}

/// Works while calls fail, and looks at what must hold; how many did.
fn work<S: Stage>(
    stage: S,
    clean: &Clean,
    failures: Vec<Failure>,
    judge: impl FnOnce(&mut Trial<S>),
) -> u64 {
    let mut trial = Trial::new(stage, clean.side);
    trial.set_failures(failures);
    clean.workload.work(&mut trial);
    let failed = trial.kernel().failed();
    if failed > 0 {
        judge(&mut trial);
    }
    trial.holds_always();
    trial.works_again();
    trial.gives_all_back(clean.workload);
    failed
}

fn simulated() -> World {
    let world = World::new(0, Faults::NONE);
    world.network.borrow_mut().buffer_bytes = 4 << 10;
    world
}

/// Each call in turn; of those on loopback every `nth` one.
fn each_call_fails_alone<S: Stage>(stage: impl Fn() -> S, workload: Workload, nth: usize) {
    let rows = rows();
    let mut tries = Tries::default();
    let mut number = workload as usize;
    for side in [Side::Client, Side::Server] {
        let clean = Clean::new(stage(), workload, side, &rows);
        for row in &rows {
            for n in 1..=clean.calls(row.operation) {
                number += 1;
                if number.is_multiple_of(nth) {
                    let failures = vec![failure(row, n, Span::Calls(1))];
                    tries.one((workload, side, n, row), || {
                        work(stage(), &clean, failures, |trial| {
                            trial.judge(row, workload, &clean.course);
                        })
                    });
                }
            }
        }
    }
    tries.end();
}

/// Two calls: the next of the same kind as well, or another whatever it is, also one that comes to
/// pass only because the first has failed.
fn two_calls_fail<S: Stage>(stage: impl Fn() -> S, workload: Workload, draws: usize) {
    let rows = rows();
    let mut random = Random::new(workload as u64);
    let mut tries = Tries::default();
    for side in [Side::Client, Side::Server] {
        let clean = Clean::new(stage(), workload, side, &rows);
        let made: Vec<&Row> = rows
            .iter()
            .filter(|row| clean.calls(row.operation) > 0)
            .collect();
        for _ in 0..draws {
            let first = made[random.within(0..=made.len() as u64 - 1) as usize];
            let from = random.within(1..=clean.calls(first.operation));
            let second = match random.happens(Chance(300)) {
                true => *first,
                false => rows[random.within(0..=rows.len() as u64 - 1) as usize],
            };
            let next = match second.operation == first.operation {
                true => from + 1,
                false => random.within(1..=clean.calls(second.operation) + 2),
            };
            let both = [*first, second];
            let failures = vec![
                failure(first, from, Span::Calls(1)),
                failure(&second, next, Span::Calls(1)),
            ];
            tries.one((workload, side, from, next, both), || {
                work(stage(), &clean, failures, |trial| {
                    trial.judge_several(&both)
                })
            });
        }
    }
    tries.end();
}

/// Every call from the n-th on, for ten pauses, or twenty times where the cause is gone at once; and
/// no connection is shed meanwhile.
fn calls_fail_for_a_while<S: Stage>(stage: impl Fn() -> S, workload: Workload, nth: usize) {
    let rows = rows();
    let no_spare = rows.iter().find(|row| row.operation == Operation::Shed);
    let no_spare = *no_spare.expect("it may fail");
    let mut tries = Tries::default();
    let mut number = workload as usize;
    for side in [Side::Client, Side::Server] {
        let clean = Clean::new(stage(), workload, side, &rows);
        for row in &rows {
            let calls = clean.calls(row.operation);
            for from in [1, calls / 2, calls] {
                number += 1;
                if from == 0 || !number.is_multiple_of(nth) {
                    continue;
                }
                let span = match row.is_brief() {
                    true => Span::Calls(20),
                    false => Span::Time(S::PAUSE * 10),
                };
                let failures = vec![failure(row, from, span), failure(&no_spare, 1, span)];
                tries.one((workload, side, from, span, row), || {
                    work(stage(), &clean, failures, |trial| {
                        trial.judge_several(&[*row]);
                        let calls = trial.kernel().calls(row.operation);
                        assert!(calls <= from + 100, "it spins: {calls} calls");
                    })
                });
            }
        }
    }
    tries.end();
}

/// What the client is told is the same in both worlds: when nothing fails, and when the first call of
/// a kind does.
fn both_worlds_tell_alike(workload: Workload) {
    let mut tries = Tries::default();
    let all = rows();
    // Of several connections at once the kernel may tell in whatever order which is lost.
    let one_at_a_time = !matches!(workload, Workload::Pipelined | Workload::Warm);
    let of_connecting = |row: &&Row| {
        use Operation::{Accept, Connect, Register, Resolve, TakeError};
        let operation = row.operation;
        matches!(operation, Connect | TakeError | Resolve | Register | Accept)
    };
    for (row, side) in all
        .iter()
        .filter(of_connecting)
        .flat_map(|row| [(row, Side::Client), (row, Side::Server)])
        .filter(|(_, side)| *side == Side::Client || one_at_a_time)
    {
        let failures = vec![failure(row, 1, Span::Calls(1))];
        tries.one((workload, side, row), || {
            let world = World::new(0, like_loopback());
            let (simulated, failed) = told(world, workload, side, &failures);
            let (real, _) = told(Real::default(), workload, side, &failures);
            assert_eq!(simulated, real, "simulated, and over loopback");
            failed
        });
    }
    tries.end();
}

fn told<S: Stage>(stage: S, workload: Workload, side: Side, failures: &[Failure]) -> (Course, u64) {
    let mut trial = Trial::new(stage, side);
    trial.set_failures(failures.to_vec());
    workload.work(&mut trial);
    (course(&trial), trial.kernel().failed())
}

/// Which part of all is tried: one in so many, or all of it when that is asked for.
fn sample(nth: usize) -> usize {
    let asked_for_all = std::env::var("TAUT_FAILURES").is_ok_and(|which| which == "all");
    if asked_for_all { 1 } else { nth }
}

/// A test for each workload: they run side by side.
macro_rules! for_each_workload {
    ($test:ident: $($name:ident => $workload:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            $test(Workload::$workload);
        })*
    };
}

fn in_the_simulation(workload: Workload) {
    each_call_fails_alone(simulated, workload, 1);
}

fn on_loopback(workload: Workload) {
    each_call_fails_alone(Real::default, workload, sample(10));
}

fn two_in_both(workload: Workload) {
    two_calls_fail(simulated, workload, 100);
    two_calls_fail(Real::default, workload, 100 / sample(10));
}

fn for_a_while_in_both(workload: Workload) {
    calls_fail_for_a_while(simulated, workload, 1);
    calls_fail_for_a_while(Real::default, workload, sample(10));
}

for_each_workload! { in_the_simulation:
    raw_connections_meet_each_failure_by_name_in_the_simulation => Raw,
    pipelined_requests_meet_each_failure_by_name_in_the_simulation => Pipelined,
    lookups_meet_each_failure_by_name_in_the_simulation => Named,
    warm_connections_meet_each_failure_by_name_in_the_simulation => Warm,
    connections_that_drain_meet_each_failure_by_name_in_the_simulation => Drained,
}

for_each_workload! { on_loopback:
    raw_connections_meet_each_failure_by_name_on_loopback => Raw,
    pipelined_requests_meet_each_failure_by_name_on_loopback => Pipelined,
    lookups_meet_each_failure_by_name_on_loopback => Named,
    warm_connections_meet_each_failure_by_name_on_loopback => Warm,
    connections_that_drain_meet_each_failure_by_name_on_loopback => Drained,
}

for_each_workload! { two_in_both:
    raw_connections_survive_two_failures => Raw,
    pipelined_requests_survive_two_failures => Pipelined,
    lookups_survive_two_failures => Named,
    warm_connections_survive_two_failures => Warm,
    connections_that_drain_survive_two_failures => Drained,
}

for_each_workload! { for_a_while_in_both:
    raw_connections_survive_a_while_of_failures => Raw,
    pipelined_requests_survive_a_while_of_failures => Pipelined,
    lookups_survive_a_while_of_failures => Named,
    warm_connections_survive_a_while_of_failures => Warm,
    connections_that_drain_survive_a_while_of_failures => Drained,
}

for_each_workload! { both_worlds_tell_alike:
    raw_connections_are_told_alike_in_both_worlds => Raw,
    pipelined_requests_are_told_alike_in_both_worlds => Pipelined,
    lookups_are_told_alike_in_both_worlds => Named,
    warm_connections_are_told_alike_in_both_worlds => Warm,
    connections_that_drain_are_told_alike_in_both_worlds => Drained,
}
