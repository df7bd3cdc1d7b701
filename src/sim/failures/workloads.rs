//! What the two programs do while calls fail: fixed, so that a call can be named by its number.

use super::trial::Trial;
use crate::sim::scenarios::stage::Stage;
use crate::upstream::Upstream;

/// A fixed course of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// Raw connections that are closed by the client, by the server, and reset.
    Raw,
    /// Requests on two connections, several at a time, some larger than the kernel's buffers.
    Pipelined,
    /// An upstream by a name with two addresses, of which the first is refused.
    Named,
    /// An upstream with a connection that is kept up.
    Warm,
    /// Connections that are closed with much still to be sent.
    Drained,
}

/// More than a simulated kernel's buffers hold, and less than a connection's queue.
const LARGE_BYTES: usize = 20_000;

impl Workload {
    /// Does it all, as far as the failing kernel lets it.
    pub(super) fn work<S: Stage>(self, trial: &mut Trial<S>) {
        if !trial.listens() {
            return;
        }
        match self {
            Workload::Raw => raw(trial),
            Workload::Pipelined => pipelined(trial),
            Workload::Named => named(trial),
            Workload::Warm => warm(trial),
            Workload::Drained => drained(trial),
        }
    }

    /// Whether an address that cannot be reached is made up for by the next one.
    pub(super) fn has_next_address(self) -> bool {
        self == Workload::Named
    }
}

fn raw<S: Stage>(trial: &mut Trial<S>) {
    let connection = trial.connect();
    trial.send(connection, b"first\n");
    trial.until_answered(connection, 1);
    trial.look(connection);
    trial.send(connection, b"second\nth");
    trial.until_answered(connection, 2);
    trial.send(connection, b"ird\n");
    trial.until_answered(connection, 3);
    trial.close(connection);
    trial.until_closed();
    for last in [&b"end\n"[..], b"abort\n"] {
        let connection = trial.connect();
        trial.send(connection, b"before\n");
        trial.until_answered(connection, 1);
        trial.send(connection, last);
        trial.until_closed();
    }
}

fn pipelined<S: Stage>(trial: &mut Trial<S>) {
    let at = trial.address().to_string();
    trial.add(Upstream::new(at).connections(2).depth(3));
    for bytes in [10, LARGE_BYTES, 20, 30, 10, 10, 50, 10] {
        trial.ask(bytes);
    }
    trial.until_all_ended();
    for _ in 0..3 {
        trial.ask(10);
    }
    trial.until_all_ended();
    trial.lose_all();
    trial.ask(10);
    trial.until_all_ended();
}

fn named<S: Stage>(trial: &mut Trial<S>) {
    let target = trial.named("service.test");
    trial.add(Upstream::new(target));
    trial.ask(10);
    trial.ask(10);
    trial.until_all_ended();
    trial.lose_all();
    trial.ask(10);
    trial.until_all_ended();
}

fn warm<S: Stage>(trial: &mut Trial<S>) {
    let at = trial.address().to_string();
    trial.add(Upstream::new(at).connections(1..=2));
    for _ in 0..2 {
        trial.until_warm();
        trial.ask(10);
        trial.ask(10);
        trial.until_all_ended();
        trial.lose_all();
    }
    trial.until_warm();
}

fn drained<S: Stage>(trial: &mut Trial<S>) {
    let large = super::trial::line(0, LARGE_BYTES);
    let connection = trial.connect();
    trial.send(connection, &large);
    trial.close(connection);
    trial.until_closed();
    // Before it stands: what is queued is not sent.
    let connection = trial.connect();
    trial.send(connection, b"never\n");
    trial.close(connection);
    trial.until_closed();
    let connection = trial.connect();
    trial.send(connection, &large);
    trial.send(connection, b"end\n");
    trial.until_closed();
}

impl<S: Stage> Trial<S> {
    /// The server ends all connections of the upstream, and the client has seen it.
    fn lose_all(&mut self) {
        let upstream = self.upstream.expect("it was added");
        self.until("both know of the same connections", |it| {
            let client = it.script.client.core.connections_of(upstream);
            client.count() == it.script.server.core.open_connections().len()
        });
        let lost: Vec<_> = self.script.client.core.connections_of(upstream).collect();
        self.server_aborts();
        self.until("all are lost", |it| {
            let mut open = it.script.client.core.connections_of(upstream);
            !open.any(|connection| lost.contains(&connection))
        });
    }

    /// The connection that is kept up stands.
    pub(super) fn until_warm(&mut self) {
        self.until("it is warm", |it| {
            let upstream = it.upstream.expect("it was added");
            let stats = it.script.client.core.upstream_stats(upstream);
            stats.is_some_and(|stats| stats.open >= 1)
        });
    }
}
