//! Lookups that hang: another is begun in their place, but one name does not take all threads.

use super::*;

#[test]
fn a_lookup_that_hangs_for_ever_is_begun_anew_for_whoever_asks_after_its_time() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    assert_eq!(names.give_up(at(2), key, 1).abandoned, Some(first));
    let (_, asked) = names.ask(at(2), "a.name:80", 3);
    let Asked::Begin { job, in_place_of } = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(in_place_of, Some(first));
    let told = answer(&mut names, at(3), job, Ok(addresses(1)));
    assert_eq!(told, [(3, Ok(addresses(1)))]);
}

/// One that joined late waited in vain for one that had been given up, and that may not even have begun.
#[test]
fn a_lookup_that_hangs_is_begun_anew_for_those_who_still_wait() {
    let mut names = names();
    let (key, first) = begin(&mut names, at(0), 1);
    assert_eq!(ask(&mut names, at(1), 2), Asked::Joined);
    let given_up = names.give_up(at(2), key, 1);
    assert_eq!(given_up.abandoned, Some(first));
    let second = given_up.begun.unwrap();
    assert_eq!(names.target(key), Some("a.name:80"));
    let told = answer(&mut names, at(3), second, Ok(addresses(1)));
    assert_eq!(told, [(2, Ok(addresses(1)))]);
}

/// A name of which two lookups hang: one was given up for the other, and that one has no time left. Both their numbers.
fn hanging_twice(names: &mut Names) -> (NameKey, u64, u64) {
    let (key, first) = begin(names, at(0), 1);
    names.give_up(at(2), key, 1);
    let (_, second) = begin(names, at(2), 2);
    assert_eq!(names.give_up(at(4), key, 2).abandoned, Some(second));
    (key, first, second)
}

/// Each that asked took another thread, until none was left for any other name.
#[test]
fn a_name_whose_lookups_hang_again_and_again_is_waited_for_and_not_looked_up_again() {
    let mut names = names();
    let (key, _, second) = hanging_twice(&mut names);
    assert_eq!(ask(&mut names, at(5), 3), Asked::Joined);
    assert_eq!(ask(&mut names, at(6), 4), Asked::Joined);
    assert_eq!(names.give_up(at(7), key, 3), GivenUp::default());
    assert_eq!(names.give_up(at(8), key, 4).abandoned, Some(second));
    assert_eq!(ask(&mut names, at(100), 5), Asked::Joined);
    let told = answer(&mut names, at(101), second, Ok(addresses(1)));
    assert_eq!(told, [(5, Ok(addresses(1)))]);
    assert_eq!(ask(&mut names, at(102), 6), known(1));
}

#[test]
fn when_one_of_its_lookups_has_come_back_the_name_is_looked_up_again() {
    let mut names = names();
    let (_, first, second) = hanging_twice(&mut names);
    let away = Err(ResolveError::TryAgain);
    assert_eq!(answer(&mut names, at(5), first, away), []);
    let (_, asked) = names.ask(at(5), "a.name:80", 3);
    let Asked::Begin { job, in_place_of } = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(in_place_of, Some(second));
    // That one hangs as well, and the one before it still does.
    assert_eq!(ask(&mut names, at(8), 4), Asked::Joined);
    // One that never began holds no thread.
    names.handle_dropped(second);
    let (_, third) = begin(&mut names, at(8), 5);
    assert_ne!(third, job);
    let told = answer(&mut names, at(9), job, Ok(addresses(1)));
    assert_eq!(told.len(), 3, "{told:?}");
}

/// It answers while the one in its place hangs: that one holds its thread all the same.
#[test]
fn a_lookup_that_was_overtaken_by_the_one_before_it_counts_until_it_comes_back() {
    let mut names = names();
    let (_, first, second) = hanging_twice(&mut names);
    assert_eq!(answer(&mut names, at(5), first, Ok(addresses(1))), []);
    // No longer fresh.
    let (_, third) = begin(&mut names, at(40), 3);
    assert_eq!(ask(&mut names, at(43), 4), Asked::Joined);
    answer(&mut names, at(44), second, Err(ResolveError::TryAgain));
    let (_, fourth) = begin(&mut names, at(45), 5);
    assert_ne!(third, fourth);
}
