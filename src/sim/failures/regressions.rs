//! What was found by failing one call after the other, each as the smallest case of it.

use super::table::{Row, Told};
use super::trial::{Side, Trial};
use super::{failure, simulated};
use crate::error::Class;
use crate::sim::failing::{Effect, Operation, Span};
use crate::upstream::Upstream;

fn row(operation: Operation, errno: i32, effect: Effect) -> Row {
    let (option, told) = (None, Told::Once(Class::Resource));
    Row {
        operation,
        errno,
        effect,
        option,
        told,
    }
}

/// It listened on, unknown to anybody.
#[test]
fn a_listener_whose_address_is_not_told_is_given_back() {
    let mut trial = Trial::new(simulated(), Side::Server);
    let row = row(Operation::ListenerAddr, libc::ENOBUFS, Effect::Nothing);
    trial.set_failures(vec![failure(&row, 1, Span::Calls(1))]);
    assert!(!trial.listens());
    assert_eq!(trial.kernel().listeners(), 0);
    assert!(trial.listens());
}

/// The lookup was never taken up: its connection timed out, and those that waited for it with it.
#[test]
fn a_wait_that_fails_after_it_was_woken_loses_no_lookup() {
    for wait in 1..=4 {
        let mut trial = Trial::new(simulated(), Side::Client);
        assert!(trial.listens());
        let target = trial.named("service.test");
        trial.add(Upstream::new(target));
        let row = row(Operation::Wait, libc::ENOMEM, Effect::Lost);
        trial.set_failures(vec![failure(&row, wait, Span::Calls(1))]);
        trial.ask(10);
        trial.until_all_ended();
        assert_eq!(trial.kernel().failed(), 1);
        let requests = &trial.script.client_log.requests;
        assert!(requests[&0].starts_with("reply"), "{wait}: {requests:?}");
    }
}

/// A FIN behind half of what was to be said looks like all of it.
#[test]
fn a_connection_given_up_for_want_of_memory_is_reset() {
    for operation in [Operation::Write, Operation::Read] {
        let mut trial = Trial::new(simulated(), Side::Client);
        assert!(trial.listens());
        let connection = trial.connect();
        trial.send(connection, b"one\ntwo");
        trial.until_answered(connection, 1);
        let calls = trial.kernel().calls(operation);
        let row = row(operation, libc::ENOMEM, Effect::Nothing);
        trial.set_failures(vec![failure(&row, calls + 1, Span::Calls(1))]);
        trial.send(connection, b" and more\n");
        trial.until_closed();
        trial.until("the server knows", |it| it.script.server_log.closed() == 1);
        let told = &trial.script.server_log.connections[0];
        let last = told.last().unwrap();
        assert!(last.contains("Os(104)"), "{operation:?}: {last}");
    }
}
