//! What is remembered of names, whom a lookup answers, and when it is given up.
#![allow(clippy::unwrap_used, reason = "tests")]

mod stuck;

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Time {
    Time::ZERO.after(SECOND * seconds as u32)
}

fn addresses(last: u8) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 0, 0, last], 80))]
}

fn known(last: u8) -> Asked {
    Asked::Known(Ok(addresses(last).into()))
}

/// Asks, and begins the lookup that must be begun.
fn begin(names: &mut Names, now: Time, waiter: u64) -> (NameKey, u64) {
    match names.ask(now, "a.name:80", waiter) {
        (key, Asked::Begin { job, .. }) => (key, job),
        other => panic!("{other:?}"),
    }
}

fn ask(names: &mut Names, now: Time, waiter: u64) -> Asked {
    names.ask(now, "a.name:80", waiter).1
}

type Answer = Result<Vec<SocketAddr>, ResolveError>;

/// Who is told what, by the last number of the first address.
fn answer(names: &mut Names, now: Time, job: u64, answer: Answer) -> Vec<(u64, Answer)> {
    let mut told = Vec::new();
    names.handle_resolved(now, job, answer, &mut told);
    let mut told: Vec<_> = told
        .into_iter()
        .map(|(waiter, outcome)| (waiter, outcome.map(|it| it.to_vec())))
        .collect();
    told.sort_by_key(|(waiter, _)| *waiter);
    told
}

fn names() -> Names {
    Names::new(Lookups::default(), 2 * SECOND)
}

/// Names whose `a.name:80` was found at second 0.
fn names_with_an_answer() -> (Names, NameKey) {
    let mut names = names();
    let (key, job) = begin(&mut names, at(0), 1);
    answer(&mut names, at(0), job, Ok(addresses(1)));
    (names, key)
}

#[test]
fn one_lookup_answers_all_who_ask_meanwhile() {
    let mut names = names();
    let (_, job) = begin(&mut names, at(0), 1);
    assert_eq!(ask(&mut names, at(0), 2), Asked::Joined);
    assert_eq!(ask(&mut names, at(1), 3), Asked::Joined);
    let told = answer(&mut names, at(1), job, Ok(addresses(1)));
    let all = [1, 2, 3].map(|waiter| (waiter, Ok(addresses(1))));
    assert_eq!(told, all);
    assert_eq!(answer(&mut names, at(1), job, Ok(addresses(1))), []);
}

#[test]
fn an_answer_holds_for_its_time_and_not_a_nanosecond_more() {
    let (mut names, _) = names_with_an_answer();
    let last = at(30).nanos() - 1;
    assert_eq!(ask(&mut names, Time::from_nanos(last), 2), known(1));
    let (_, job) = begin(&mut names, at(30), 3);
    let told = answer(&mut names, at(31), job, Ok(addresses(2)));
    assert_eq!(told, [(3, Ok(addresses(2)))]);
    assert_eq!(ask(&mut names, at(32), 4), known(2));
}

#[test]
fn a_failure_answers_for_a_moment_and_then_the_name_is_looked_up_again() {
    for why in [
        ResolveError::NotFound,
        ResolveError::TryAgain,
        ResolveError::Failed(-4),
    ] {
        let mut names = names();
        let (_, job) = begin(&mut names, at(0), 1);
        assert_eq!(answer(&mut names, at(0), job, Err(why)), [(1, Err(why))]);
        assert_eq!(ask(&mut names, at(1), 2), Asked::Known(Err(why)));
        begin(&mut names, at(2), 3);
    }
}

/// Without descriptors for a moment, a name stayed unknown for two seconds.
#[test]
fn what_this_machine_lacked_is_told_to_who_asked_and_to_nobody_else() {
    let mut names = names();
    let (_, job) = begin(&mut names, at(0), 1);
    let lacking = Err(ResolveError::Os(24));
    let told = answer(&mut names, at(0), job, lacking.clone());
    assert_eq!(told, [(1, lacking)]);
    begin(&mut names, at(0), 2);
}

#[test]
fn no_address_at_all_is_a_name_that_was_not_found() {
    let mut names = names();
    let (_, job) = begin(&mut names, at(0), 1);
    let told = answer(&mut names, at(0), job, Ok(Vec::new()));
    assert_eq!(told, [(1, Err(ResolveError::NotFound))]);
}

#[test]
fn when_a_new_lookup_fails_the_old_addresses_do_for_ten_minutes() {
    for why in [ResolveError::TryAgain, ResolveError::Failed(0)] {
        let (mut names, _) = names_with_an_answer();
        let (_, job) = begin(&mut names, at(629), 2);
        let told = answer(&mut names, at(629), job, Err(why));
        assert_eq!(told, [(2, Ok(addresses(1)))]);
        // Nor does each connect ask again while the name server is away.
        assert_eq!(
            ask(&mut names, Time::from_nanos(at(630).nanos() - 1), 3),
            known(1)
        );
        assert_eq!(ask(&mut names, at(630), 3), Asked::Known(Err(why)));
    }
}

#[test]
fn a_name_that_no_longer_exists_has_no_stale_addresses() {
    let (mut names, _) = names_with_an_answer();
    let (_, job) = begin(&mut names, at(40), 2);
    let gone = Err(ResolveError::NotFound);
    assert_eq!(
        answer(&mut names, at(40), job, gone),
        [(2, Err(ResolveError::NotFound))]
    );
    let (_, job) = begin(&mut names, at(50), 3);
    let away = Err(ResolveError::TryAgain);
    assert_eq!(
        answer(&mut names, at(50), job, away),
        [(3, Err(ResolveError::TryAgain))]
    );
}

#[test]
fn a_lookup_that_does_not_come_back_is_given_up_and_old_addresses_do() {
    let (mut names, _) = names_with_an_answer();
    let (key, job) = begin(&mut names, at(40), 2);
    let old = names.make_do(at(42), key);
    assert_eq!(old.as_deref(), Some(&addresses(1)[..]));
    assert_eq!(names.give_up(at(42), key, 2).abandoned, Some(job));
    // The next does not wait two seconds in vain.
    assert_eq!(ask(&mut names, at(43), 3), known(1));
    // The one after that tries again, under another number.
    let (_, next) = begin(&mut names, at(44), 4);
    assert_ne!(job, next);
}

/// It was taken for too late for all as soon as one had no more patience.
#[test]
fn the_impatience_of_one_ends_no_lookup_that_others_wait_for() {
    let mut names = names();
    let (key, job) = begin(&mut names, at(0), 1);
    assert_eq!(ask(&mut names, at(0), 2), Asked::Joined);
    assert_eq!(names.give_up(at(1), key, 1), GivenUp::default());
    assert_eq!(ask(&mut names, at(1), 3), Asked::Joined);
    let gone = Err(ResolveError::NotFound);
    let told = answer(&mut names, at(1), job, gone.clone());
    assert_eq!(told, [(2, gone.clone()), (3, gone)]);
}

/// Whoever asked next joined it, and heard nothing.
#[test]
fn a_lookup_that_was_dropped_before_it_began_is_joined_by_nobody() {
    let mut names = names();
    let (key, job) = begin(&mut names, at(0), 1);
    assert_eq!(names.give_up(at(0), key, 1).abandoned, Some(job));
    names.handle_dropped(job);
    let (_, next) = begin(&mut names, at(0), 2);
    // That one is another: what is said of the first does not touch it.
    names.handle_dropped(job);
    assert_eq!(ask(&mut names, at(0), 3), Asked::Joined);
    let told = answer(&mut names, at(1), next, Ok(addresses(1)));
    assert_eq!(told, [(2, Ok(addresses(1))), (3, Ok(addresses(1)))]);
}

#[test]
fn a_lookup_for_which_nobody_waits_any_more_is_abandoned_and_its_answer_kept() {
    let mut names = names();
    let (key, job) = begin(&mut names, at(0), 1);
    assert_eq!(ask(&mut names, at(0), 2), Asked::Joined);
    assert_eq!(names.give_up(at(1), key, 1), GivenUp::default());
    assert_eq!(names.give_up(at(1), key, 2).abandoned, Some(job));
    assert_eq!(answer(&mut names, at(9), job, Ok(addresses(1))), []);
    assert_eq!(ask(&mut names, at(10), 3), known(1));
}

#[test]
fn a_late_failure_of_a_lookup_that_was_given_up_fails_nobody() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    names.give_up(at(2), key, 1);
    let (_, second) = begin(&mut names, at(2), 2);
    let away = Err(ResolveError::TryAgain);
    assert_eq!(answer(&mut names, at(3), first, away), []);
    let told = answer(&mut names, at(3), second, Ok(addresses(2)));
    assert_eq!(told, [(2, Ok(addresses(2)))]);
}

/// The other went on with nobody to give it up: a thread that hung in it was never replaced.
#[test]
fn a_late_answer_serves_those_who_wait_for_the_next_lookup_which_is_given_up() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    names.give_up(at(2), key, 1);
    let (_, second) = begin(&mut names, at(2), 2);
    let mut told = Vec::new();
    let abandoned = names.handle_resolved(at(3), first, Ok(addresses(1)), &mut told);
    assert_eq!(abandoned, Some(second));
    assert_eq!(told, [(2, Ok(addresses(1).into()))]);
}

#[test]
fn a_late_answer_without_an_address_is_a_late_failure() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    names.give_up(at(2), key, 1);
    let (_, second) = begin(&mut names, at(2), 2);
    assert_eq!(answer(&mut names, at(3), first, Ok(Vec::new())), []);
    let told = answer(&mut names, at(3), second, Ok(addresses(2)));
    assert_eq!(told, [(2, Ok(addresses(2)))]);
}

#[test]
fn a_late_answer_does_not_undo_that_of_a_lookup_that_began_after_it() {
    for newer in [Ok(addresses(2)), Err(ResolveError::NotFound)] {
        let mut names = names();
        let (key, first) = begin(&mut names, at(0), 1);
        names.give_up(at(2), key, 1);
        let (_, second) = begin(&mut names, at(2), 2);
        answer(&mut names, at(3), second, newer.clone());
        assert_eq!(answer(&mut names, at(4), first, Ok(addresses(1))), []);
        let known = newer.map(Addresses::from);
        assert_eq!(ask(&mut names, at(4), 3), Asked::Known(known));
    }
}

#[test]
fn addresses_of_which_none_connects_are_asked_for_anew_but_not_each_time() {
    let (mut names, key) = names_with_an_answer();
    names.doubt(key);
    assert_eq!(ask(&mut names, at(1), 2), known(1));
    begin(&mut names, at(2), 3);
}

#[test]
fn who_gives_up_twice_or_never_asked_changes_nothing() {
    let (mut names, key) = names_with_an_answer();
    assert_eq!(names.give_up(at(1), key, 1), GivenUp::default());
    assert_eq!(names.give_up(at(1), key, 77), GivenUp::default());
}

fn names_of_at_most(names_max: usize) -> Names {
    let lookups = Lookups {
        names_max,
        ..Lookups::default()
    };
    Names::new(lookups, 2 * SECOND)
}

#[test]
fn of_too_many_names_the_longest_unasked_is_forgotten_and_none_that_is_waited_for() {
    let mut names = names_of_at_most(2);
    let mut jobs = Vec::new();
    for (second, target) in ["a:1", "b:1", "c:1", "d:1"].into_iter().enumerate() {
        let now = at(second as u64);
        let (_, asked) = names.ask(now, target, second as u64);
        let Asked::Begin { job, .. } = asked else {
            panic!("{asked:?}")
        };
        jobs.push(job);
    }
    for job in jobs {
        assert_eq!(answer(&mut names, at(4), job, Ok(addresses(1))).len(), 1);
    }
    let asked = |names: &mut Names, target| names.ask(at(5), target, 9).1;
    assert_eq!(asked(&mut names, "c:1"), known(1));
    assert_eq!(asked(&mut names, "d:1"), known(1));
    assert!(matches!(asked(&mut names, "a:1"), Asked::Begin { .. }));
    assert!(names.entries.len() <= 3, "{names:?}");
}

/// Those under way took the places of those that are known.
#[test]
fn names_that_are_being_looked_up_take_no_place_of_those_that_are_remembered() {
    let mut names = names_of_at_most(1);
    let (_, job) = begin(&mut names, at(0), 1);
    for (waiter, target) in [(2, "b:1"), (3, "c:1")] {
        names.ask(at(0), target, waiter);
    }
    answer(&mut names, at(0), job, Ok(addresses(1)));
    assert_eq!(ask(&mut names, at(1), 4), known(1));
}

#[test]
fn a_name_that_some_make_do_with_is_not_forgotten_while_others_wait_for_it() {
    let mut names = names_of_at_most(1);
    let (key, job) = begin(&mut names, at(0), 1);
    answer(&mut names, at(0), job, Ok(addresses(1)));
    begin(&mut names, at(40), 2);
    assert_eq!(ask(&mut names, at(41), 3), Asked::Joined);
    names.make_do(at(42), key);
    let second = names.give_up(at(42), key, 2).begun.unwrap();
    assert_eq!(ask(&mut names, at(42), 4), known(1));
    let (_, Asked::Begin { job: other, .. }) = names.ask(at(43), "b:1", 5) else {
        panic!("a name never asked for is looked up");
    };
    answer(&mut names, at(43), other, Ok(addresses(2)));
    names.check().count();
    let told = answer(&mut names, at(43), second, Ok(addresses(1)));
    assert_eq!(told, [(3, Ok(addresses(1)))]);
}

#[test]
fn an_answer_to_a_name_that_was_forgotten_is_no_answer_to_the_one_in_its_place() {
    let mut names = names_of_at_most(0);
    let (key, Asked::Begin { job, .. }) = names.ask(at(0), "a:1", 1) else {
        panic!("a name never asked for is looked up");
    };
    names.give_up(at(1), key, 1);
    let (other, _) = names.ask(at(1), "b:1", 2);
    assert_eq!(other.index, key.index, "the test wants the same place");
    assert_eq!(answer(&mut names, at(2), job, Ok(addresses(1))), []);
    assert_eq!(names.give_up(at(2), key, 2), GivenUp::default());
    assert_eq!(names.ask(at(2), "b:1", 3).1, Asked::Joined);
}

#[test]
fn without_times_to_hold_every_question_is_a_lookup() {
    let lookups = Lookups {
        fresh_for: Duration::ZERO,
        negative_for: Duration::ZERO,
        stale_for: Duration::ZERO,
        ..Lookups::default()
    };
    let mut names = Names::new(lookups, 2 * SECOND);
    let (_, job) = begin(&mut names, at(0), 1);
    answer(&mut names, at(0), job, Ok(addresses(1)));
    let (_, job) = begin(&mut names, at(0), 2);
    let away = Err(ResolveError::TryAgain);
    assert_eq!(
        answer(&mut names, at(0), job, away),
        [(2, Err(ResolveError::TryAgain))]
    );
    begin(&mut names, at(0), 3);
}

#[test]
fn the_address_that_was_connected_to_goes_first_for_ten_minutes() {
    let (mut names, key) = names_with_an_answer();
    assert_eq!(names.favourite(at(0), key), None);
    names.handle_connected(at(1), key, addresses(7)[0]);
    assert_eq!(names.favourite(at(600), key), Some(addresses(7)[0]));
    assert_eq!(names.favourite(at(601), key), None);
}
