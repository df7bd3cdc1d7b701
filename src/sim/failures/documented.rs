//! The table of `docs/errors.md`, walked: each call of a client fails with each errno of its rows, wherever it comes in
//! the course of the work, and what the program is told is what the row says: all of it, and nothing else.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::judge::is_consequence;
use super::trial::{Side, Trial};
use super::workloads::Workload;
use super::{failure, simulated, table};
use crate::error::Error;
use crate::error::table::{Row, is_listed, rows};
use crate::frame::Framing;
use crate::sim::failing::{Effect, Operation, Span};
use crate::sim::world::World;
use crate::upstream::Upstream;

/// What is tried of the calls that a row names, and the option that is refused.
fn operations(from: &str) -> &'static [(Operation, Effect, Option<&'static str>)] {
    use Effect::{Lost, Nothing, Pending};
    use Operation::{Connect, Info, Peek, PeerAddr, Read, Shutdown, TakeError, Wait, Write};
    match from {
        "connect" => &[(Connect, Nothing, None)],
        "epoll_ctl" => &[(Connect, Lost, None)],
        "setsockopt" => &[(Connect, Nothing, Some("keepalive"))],
        "bind" => &[(Connect, Nothing, Some("bind"))],
        "SO_ERROR" => &[(TakeError, Pending, None)],
        "getsockopt" => &[(TakeError, Nothing, None)],
        "getpeername" => &[(PeerAddr, Nothing, None)],
        "send" => &[(Write, Nothing, None)],
        "recv" => &[(Read, Nothing, None), (Peek, Nothing, None)],
        "shutdown" => &[(Shutdown, Nothing, None)],
        "epoll_wait" => &[(Wait, Nothing, None)],
        "TCP_INFO" => &[(Info, Nothing, None)],
        "EAI_SYSTEM" => &[(Operation::Resolve, Nothing, None)],
        // Above the seam they are connect's, or the client could not be made.
        "socket" | "epoll_create" | "eventfd" => &[],
        _ => &[],
    }
}

/// What a client's program does while a call fails.
type Work = fn(&mut Trial<World>);

/// To where nobody listens: what became of the attempt is asked for.
fn in_vain(trial: &mut Trial<World>) {
    if !trial.listens() {
        return;
    }
    let at = SocketAddr::new(trial.dead(), trial.address().port()).to_string();
    let core = &mut trial.script.client.core;
    core.connect(&at, &Framing::line()).unwrap();
    trial.connections += 1;
    trial.until_closed();
    trial.add(Upstream::new(at));
    trial.ask(10);
    trial.until_all_ended();
}

/// A connection that is closed before anything was sent on it.
fn unused(trial: &mut Trial<World>) {
    if !trial.listens() {
        return;
    }
    let connection = trial.connect();
    trial.until("it stands, or has failed", |it| {
        let log = &it.script.client_log;
        log.numbers.contains_key(&connection)
    });
    trial.close(connection);
    trial.until_closed();
}

/// All that a client's program is told when the first of these calls fails, or the n-th: the errnos of a row share the
/// calls among themselves.
fn told_of(row: &Row, errno: i32, work: Work) -> Vec<Error> {
    let errnos: Vec<i32> = row.errnos().collect();
    let which = errnos.iter().position(|it| *it == errno).unwrap();
    let mut told = Vec::new();
    for (operation, effect, option) in row.from.iter().flat_map(|from| operations(from)) {
        let failing = table::Row {
            operation: *operation,
            errno,
            effect: *effect,
            option: *option,
            told: table::Told::Harmless,
        };
        let shared = (which as u64 + 2..).step_by(errnos.len());
        for n in std::iter::once(1).chain(shared) {
            let mut trial = Trial::new(simulated(), Side::Client);
            trial.set_failures(vec![failure(&failing, n, Span::Calls(1))]);
            work(&mut trial);
            if trial.kernel().failed() == 0 {
                break;
            }
            told.extend(&trial.script.client_log.errors);
            told.extend(&trial.refused);
            told.extend(&trial.script.turn_errors[Side::Client as usize]);
        }
    }
    told
}

#[test]
fn each_call_that_fails_is_told_as_its_row_says() {
    let works: [(&str, Work); 6] = [
        ("raw", |trial| Workload::Raw.work(trial)),
        ("pipelined", |trial| Workload::Pipelined.work(trial)),
        ("named", |trial| Workload::Named.work(trial)),
        ("drained", |trial| Workload::Drained.work(trial)),
        ("in vain", in_vain),
        ("unused", unused),
    ];
    for row in rows() {
        let (mut phases, mut sents) = (BTreeSet::new(), BTreeSet::new());
        for errno in row.errnos() {
            for (name, work) in works {
                for error in told_of(row, errno, work) {
                    assert!(is_listed(&error), "{name}, {errno}: {error:?}");
                    let is_of_it = (error.errno(), error.source.kind()) == (Some(errno), row.kind);
                    if row.is_of(&error) {
                        phases.insert(error.phase.name());
                        sents.insert(error.sent.name());
                    } else {
                        // In the course of the work connections are reset as well.
                        let is_other = !is_of_it || is_consequence(&error);
                        assert!(is_other, "{name}: {error:?} is not of {row:?}");
                    }
                }
            }
        }
        if row.from.iter().any(|from| !operations(from).is_empty()) {
            assert_eq!((&phases, &sents), (&row.phases, &row.sents), "{row:?}");
        }
    }
}
