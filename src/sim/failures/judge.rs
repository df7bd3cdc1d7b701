//! What must hold whichever call failed, and that all is given back and works again.

use std::time::Duration;

use super::table::{Row, Told};
use super::trial::{Side, Trial, line};
use super::workloads::Workload;
use crate::error::{Error, Phase, Sent, Source};
use crate::sim::failing::Operation;
use crate::sim::scenarios::stage::Stage;

/// Rounds after which a loop that has nothing to do sleeps.
const ROUNDS_TO_REST: u32 = 20;

/// What the client's program was told, to be compared with a run without failures.
pub(super) type Course = (Vec<Vec<String>>, Vec<String>);

pub(super) fn course<S: Stage>(trial: &Trial<S>) -> Course {
    let log = &trial.script.client_log;
    (
        log.connections.clone(),
        log.requests.values().cloned().collect(),
    )
}

impl<S: Stage> Trial<S> {
    /// The errors that the failing side was told, in events, by commands and by its upstream.
    fn told(&self) -> Vec<Error> {
        let log = match self.side {
            Side::Client => &self.script.client_log,
            Side::Server => &self.script.server_log,
        };
        log.errors.iter().chain(&self.refused).copied().collect()
    }

    /// A failure of this kind, and nothing else, has happened.
    pub(super) fn judge(&self, row: &Row, workload: Workload, clean: &Course) {
        let turns = &self.script.turn_errors[self.side as usize];
        let mut told = self.told();
        if row.operation == Operation::Wait {
            // Told by the turn that met it, and to nobody else.
            assert_eq!(&course(self), clean);
            told = turns.clone();
        } else {
            assert_eq!(turns, &[], "turns fail only with their wait");
        }
        if row.operation == Operation::Info {
            assert_eq!(&course(self), clean);
        }
        let of_it: Vec<&Error> = told.iter().filter(|error| is_of(error, row)).collect();
        for error in &told {
            let is_known = is_of(error, row) || is_consequence(error);
            assert!(is_known, "nothing of the kind has happened: {error:?}");
        }
        match row.told {
            Told::Harmless => assert_eq!(&course(self), clean),
            Told::Quietly => assert_eq!(of_it, [] as [&Error; 0]),
            Told::Once(class) => {
                let is_made_up_for = workload.has_next_address() && is_of_an_address(row);
                // Where a write has failed before, that is the error that is kept.
                let is_second = row.operation == Operation::Read && !told.is_empty();
                // At a connection's end the engine asks for itself, and knows less then.
                let is_of_an_end = row.operation == Operation::Info;
                let may_be_silent = is_made_up_for || is_second || is_of_an_end;
                assert!(!of_it.is_empty() || may_be_silent, "nobody was told");
                for error in of_it {
                    assert_eq!(error.class, class, "{error:?}");
                    let is_of_it = phases(row.operation).contains(&error.phase);
                    assert!(is_of_it || is_consequence(error), "{error:?}");
                }
            }
        }
    }

    /// Failures of these kinds, and no others, have happened.
    pub(super) fn judge_several(&self, rows: &[Row]) {
        let mut told = self.told();
        told.extend(&self.script.turn_errors[self.side as usize]);
        for error in told {
            let of: Vec<&Row> = rows.iter().filter(|row| is_of(&error, row)).collect();
            assert!(!of.is_empty() || is_consequence(&error), "{error:?}");
            let is_met = |row: &&Row| matches!(row.told, Told::Once(class) if class == error.class);
            assert!(is_consequence(&error) || of.iter().any(is_met), "{error:?}");
        }
    }

    /// Whatever failed: the other side sees ends of connections, and what is said not to have been
    /// sent has not been.
    pub(super) fn holds_always(&self) {
        let other = match self.side {
            Side::Client => &self.script.server_log,
            Side::Server => &self.script.client_log,
        };
        for error in &other.errors {
            assert!(is_consequence(error), "on the other side: {error:?}");
        }
        for (tag, outcome) in &self.script.client_log.requests {
            let number = &line(*tag, 0)[..12];
            let was_seen = self.seen.iter().any(|line| line.starts_with(number));
            let not_sent = outcome.contains(&format!("sent: {:?}", Sent::No));
            assert!(
                !(was_seen && not_sent),
                "the server has seen {tag}: {outcome}"
            );
            let replied = outcome.starts_with("reply");
            assert!(!replied || was_seen, "nobody answered {tag}: {outcome}");
        }
    }

    /// Nothing fails any more: everything works again, on what there was and on what is new.
    pub(super) fn works_again(&mut self) {
        self.set_failures(Vec::new());
        assert!(self.listens(), "{:?}", self.refused);
        let connection = self.connect();
        self.send(connection, b"again\n");
        self.until_answered(connection, 1);
        self.close(connection);
        self.until_closed();
        let log = &self.script.client_log;
        let told = &log.connections[log.numbers[&connection]];
        let expected = ["connected", "frame again", "closed after 6: None"];
        assert_eq!(told, &expected);
        if self.upstream.is_some() {
            self.ask(10);
            self.until_all_ended();
            let outcome = &self.script.client_log.requests[&(self.requests - 1)];
            assert!(outcome.starts_with("reply"), "{outcome}");
        }
    }

    /// Every connection ends, and all is given back.
    pub(super) fn gives_all_back(&mut self, workload: Workload) {
        if workload == Workload::Warm && self.upstream.is_some() {
            // It would be made again for ever: it is counted while it stands.
            self.until_warm();
            let sockets = self.script.client.core.kernel.sockets();
            assert_eq!(sockets, self.script.client.core.connections());
            return self.rests();
        }
        if let Some((listener, _)) = self.listener.take() {
            self.script.server.core.stop_listening(listener);
        }
        self.server_aborts();
        self.until("all slots are given up", |it| {
            it.script.client.core.connections() + it.script.server.core.connections() == 0
        });
        for engine in [&self.script.client, &self.script.server] {
            let kernel = &engine.core.kernel;
            assert_eq!(
                (kernel.sockets(), kernel.listeners()),
                (0, 0),
                "descriptors"
            );
            assert_eq!(engine.held_bytes(), (0, 0), "bytes");
        }
        self.rests();
    }

    /// A loop with nothing to do sleeps.
    fn rests(&mut self) {
        for engine in [&mut self.script.client, &mut self.script.server] {
            let sleeps = (0..ROUNDS_TO_REST).any(|_| {
                engine.turn(Some(Duration::ZERO)).unwrap();
                while engine.next_event().is_some() {}
                engine.core.next_timeout() != Some(Duration::ZERO)
            });
            assert!(sleeps, "a loop spins");
        }
    }
}

/// Whether an error is the one that a call was made to fail with.
fn is_of(error: &Error, row: &Row) -> bool {
    match (error.source, row.option) {
        (Source::Option { name, errno }, Some(option)) => name == option && errno == row.errno,
        (Source::Os(errno), None) => errno == row.errno && row.operation != Operation::Resolve,
        (Source::Resolve(_), None) => row.operation == Operation::Resolve,
        _ => false,
    }
}

/// What a lost connection looks like, on either side.
pub(super) fn is_consequence(error: &Error) -> bool {
    match error.source {
        // ENOTCONN: our own FIN met a RST.
        Source::Os(errno) => {
            use libc::{ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE};
            matches!(errno, ECONNRESET | EPIPE | ECONNREFUSED | ENOTCONN)
        }
        Source::Eof | Source::Truncated { .. } | Source::Closed => true,
        _ => false,
    }
}

/// Whether it is the address that cannot be reached, so that another may be.
fn is_of_an_address(row: &Row) -> bool {
    use Operation::{Connect, PeerAddr, TakeError};
    matches!(row.operation, Connect | TakeError | PeerAddr)
}

/// Where in the life of a connection an operation belongs.
fn phases(operation: Operation) -> &'static [Phase] {
    match operation {
        Operation::Resolve => &[Phase::Resolve],
        Operation::Connect | Operation::TakeError | Operation::PeerAddr => &[Phase::Connect],
        Operation::Listen | Operation::ListenerAddr => &[Phase::Connect],
        // An accepted connection stands, whatever comes of it.
        Operation::Register => &[Phase::Connect],
        Operation::Wait | Operation::Info => &[Phase::Idle],
        _ => &[Phase::Write, Phase::Read, Phase::Idle, Phase::Drain],
    }
}
