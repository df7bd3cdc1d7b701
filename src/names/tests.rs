//! What is remembered of names, whom a lookup answers, and when it is given up.
#![allow(clippy::unwrap_used, reason = "tests")]

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
    match names.ask(now, "a.name:80", waiter, now.after(2 * SECOND)) {
        (key, Asked::Begin { job, .. }) => (key, job),
        other => panic!("{other:?}"),
    }
}

fn ask(names: &mut Names, now: Time, waiter: u64) -> Asked {
    names.ask(now, "a.name:80", waiter, now.after(2 * SECOND)).1
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
    Names::new(Lookups::default())
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
    let lacking = ResolveError::Os(24);
    assert_eq!(
        answer(&mut names, at(0), job, Err(lacking)),
        [(1, Err(lacking))]
    );
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
    let given_up = names.give_up(at(42), key, 2);
    assert_eq!(given_up.addresses.as_deref(), Some(&addresses(1)[..]));
    assert_eq!(given_up.abandoned, Some(job));
    // The next does not wait two seconds in vain.
    assert_eq!(ask(&mut names, at(43), 3), known(1));
    // The one after that tries again, under another number.
    let (_, next) = begin(&mut names, at(44), 4);
    assert_ne!(job, next);
}

#[test]
fn a_lookup_that_hangs_for_ever_is_begun_anew_for_whoever_asks_after_its_deadline() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    // One that joined late still waits when the deadline passes.
    assert_eq!(ask(&mut names, at(1), 2), Asked::Joined);
    let given_up = names.give_up(at(2), key, 1);
    assert_eq!(
        (given_up.addresses, given_up.abandoned),
        (None, Some(first))
    );
    let (_, asked) = names.ask(at(2), "a.name:80", 3, at(4));
    let Asked::Begin { job, in_place_of } = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(in_place_of, Some(first));
    let told = answer(&mut names, at(3), job, Ok(addresses(1)));
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

#[test]
fn a_late_answer_serves_those_who_wait_for_the_next_lookup() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    names.give_up(at(2), key, 1);
    begin(&mut names, at(2), 2);
    let told = answer(&mut names, at(3), first, Ok(addresses(1)));
    assert_eq!(told, [(2, Ok(addresses(1)))]);
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
    Names::new(Lookups {
        names_max,
        ..Lookups::default()
    })
}

#[test]
fn of_too_many_names_the_longest_unasked_is_forgotten_and_none_that_is_waited_for() {
    let mut names = names_of_at_most(2);
    let mut jobs = Vec::new();
    for (second, target) in ["a:1", "b:1", "c:1", "d:1"].into_iter().enumerate() {
        let now = at(second as u64);
        let (_, asked) = names.ask(now, target, second as u64, at(100));
        let Asked::Begin { job, .. } = asked else {
            panic!("{asked:?}")
        };
        jobs.push(job);
    }
    for job in jobs {
        assert_eq!(answer(&mut names, at(4), job, Ok(addresses(1))).len(), 1);
    }
    let asked = |names: &mut Names, target| names.ask(at(5), target, 9, at(100)).1;
    assert_eq!(asked(&mut names, "c:1"), known(1));
    assert_eq!(asked(&mut names, "d:1"), known(1));
    assert!(matches!(asked(&mut names, "a:1"), Asked::Begin { .. }));
    assert!(names.entries.len() <= 3, "{names:?}");
}

#[test]
fn an_answer_to_a_name_that_was_forgotten_is_no_answer_to_the_one_in_its_place() {
    let mut names = names_of_at_most(0);
    let (key, Asked::Begin { job, .. }) = names.ask(at(0), "a:1", 1, at(2)) else {
        panic!("a name never asked for is looked up");
    };
    names.give_up(at(1), key, 1);
    let (other, _) = names.ask(at(1), "b:1", 2, at(3));
    assert_eq!(other.index, key.index, "the test wants the same place");
    assert_eq!(answer(&mut names, at(2), job, Ok(addresses(1))), []);
    assert_eq!(names.give_up(at(2), key, 2), GivenUp::default());
    assert_eq!(names.ask(at(2), "b:1", 3, at(4)).1, Asked::Joined);
}

#[test]
fn without_times_to_hold_every_question_is_a_lookup() {
    let mut names = Names::new(Lookups {
        fresh_for: Duration::ZERO,
        negative_for: Duration::ZERO,
        stale_for: Duration::ZERO,
        ..Lookups::default()
    });
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
