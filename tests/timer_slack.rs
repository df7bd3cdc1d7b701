//! The timer slack is set on the thread that turns the client, and on no other.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    reason = "tests; and prctl(2) says what was set"
)]

use std::time::Duration;

use taut::{Client, Config};

/// Nanoseconds, as this thread has them.
fn slack() -> i32 {
    // SAFETY: takes no argument, changes nothing.
    unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }
}

fn client(timer_slack: Option<Duration>) -> Client {
    Client::new(Config {
        timer_slack,
        ..Config::default()
    })
    .unwrap()
}

fn turn(client: &mut Client) {
    client.turn(Some(Duration::ZERO)).unwrap();
}

#[test]
fn the_thread_that_turns_the_client_has_its_timer_slack() {
    let before = slack();
    let mut it = client(Some(Duration::from_micros(7)));
    assert_eq!(slack(), before, "a client that is not turned sets nothing");
    turn(&mut it);
    assert_eq!(slack(), 7_000);

    // Moved to another thread, it sets it there; and a client of its own asks for something else.
    std::thread::scope(|scope| {
        let it = &mut it;
        scope.spawn(move || {
            turn(it);
            assert_eq!(slack(), 7_000);
            turn(&mut client(Some(Duration::ZERO)));
            assert_eq!(slack(), 1, "zero is as exact as can be, not the default");
            turn(it);
            assert_eq!(slack(), 7_000);
        });
    });
}

#[test]
fn none_leaves_the_thread_as_it_is() {
    let before = slack();
    turn(&mut client(None));
    assert_eq!(slack(), before);
    turn(&mut client(Config::default().timer_slack));
    assert_eq!(slack(), 1_000);
}
