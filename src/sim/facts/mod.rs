//! The simulated kernel is held to the real one: each fact is found in both, by the same calls.
//!
//! What a fact tells (edges, results, errnos) is compared, so that a difference says in which call it
//! lies. `tests/kernel_facts` pins more of the real kernel's facts, with calls the seam does not have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::SimKernel;
use super::network::Shared;
use super::world::World;
use crate::kernel::{Kernel, Peeked};
use crate::net::{Net, SystemResolver};
use crate::socket_options::SocketOptions;

const NEAR: u64 = 1;
const FAR: u64 = 2;

/// Two ends of a connection, in two kernels, and what was noticed.
struct Pair<K: Kernel> {
    near: K,
    far: K,
    listener: K::Listener,
    at: SocketAddr,
    near_end: Option<K::Socket>,
    far_end: Option<K::Socket>,
    network: Option<Shared>,
    told: Vec<String>,
}

impl<K: Kernel> Pair<K> {
    fn new(mut near: K, mut far: K, network: Option<Shared>, any: SocketAddr) -> Pair<K> {
        let listener = far.listen(any, 0).unwrap();
        let at = far.listener_addr(&listener).unwrap();
        let near_end = near.connect(at, &SocketOptions::default(), NEAR).ok();
        let (far_end, told) = (None, Vec::new());
        let mut pair = Pair {
            near,
            far,
            listener,
            at,
            near_end,
            far_end,
            network,
            told,
        };
        pair.settle();
        let (mut end, _) = pair.far.accept(&pair.listener).unwrap();
        pair.far
            .register(&mut end, &SocketOptions::default(), FAR)
            .ok()
            .unwrap();
        pair.far_end = Some(end);
        pair.edges();
        pair
    }

    /// What was sent arrives. Loopback needs no time for that.
    fn settle(&mut self) {
        if let Some(network) = &self.network {
            let until = network.borrow().now().after(Duration::from_millis(10));
            network.borrow_mut().advance(until);
        }
    }

    fn say(&mut self, what: impl std::fmt::Debug) {
        self.told.push(format!("{what:?}"));
    }

    /// Notes what both kernels tell, and how often they do.
    fn edges(&mut self) {
        self.settle();
        for (name, kernel) in [("near", &mut self.near), ("far", &mut self.far)] {
            let mut all = Vec::new();
            loop {
                let before = all.len();
                kernel
                    .wait(Some(Duration::ZERO), Duration::ZERO, &mut all)
                    .unwrap();
                if all.len() == before {
                    break;
                }
            }
            for edge in all.iter().filter(|edge| edge.token != 0) {
                let flags = [
                    (edge.readable, 'R'),
                    (edge.writable, 'W'),
                    (edge.read_closed, 'r'),
                ];
                let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
                self.told
                    .push(format!("{name}: {}", flags.collect::<String>()));
            }
        }
    }

    fn near(&mut self) -> (&mut K, &K::Socket) {
        (&mut self.near, self.near_end.as_ref().unwrap())
    }

    fn far(&mut self) -> (&mut K, &K::Socket) {
        (&mut self.far, self.far_end.as_ref().unwrap())
    }

    fn read(&mut self, bytes: usize) {
        let (near, end) = self.near();
        let mut into = vec![0; bytes];
        let outcome = result(near.read(end, &mut into));
        self.say(("read", outcome));
    }

    fn write(&mut self) {
        let (near, end) = self.near();
        let outcome = result(near.write(end, b"near"));
        self.settle();
        self.say(("write", outcome));
    }

    fn far_writes(&mut self, bytes: &[u8]) {
        let (far, end) = self.far();
        let outcome = result(far.write(end, bytes));
        self.settle();
        self.say(("far writes", outcome));
    }

    fn far_shuts(&mut self) {
        let (far, end) = self.far();
        far.shutdown(end).unwrap();
        self.settle();
    }

    fn far_closes(&mut self, reset: bool) {
        self.far.close(self.far_end.take().unwrap(), reset);
        self.settle();
    }

    fn peek(&mut self) {
        let (near, end) = self.near();
        let outcome = match near.peek(end) {
            Peeked::Nothing => "nothing".to_owned(),
            Peeked::Data => "data".to_owned(),
            Peeked::Fin => "fin".to_owned(),
            Peeked::Failed(error) => format!("{:?}", error.raw_os_error()),
        };
        self.say(("peek", outcome));
    }

    fn error(&mut self) {
        let (near, end) = self.near();
        let error = near
            .take_error(end)
            .unwrap()
            .map(|error| error.raw_os_error());
        let connected = near
            .peer_addr(end)
            .map_err(|error| error.raw_os_error())
            .is_ok();
        let has_shut = near.peer_has_shut(end);
        self.say(("error", error, connected, has_shut));
    }

    fn look(&mut self, call: usize) {
        match call {
            0 => self.read(64),
            1 => self.write(),
            2 => self.peek(),
            _ => self.error(),
        }
    }
}

fn result(outcome: io::Result<usize>) -> Result<usize, Option<i32>> {
    outcome.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Some(-1),
        _ => error.raw_os_error(),
    })
}

fn real() -> Pair<Net> {
    let kernel = || Net::new(Arc::new(SystemResolver)).unwrap();
    Pair::new(
        kernel(),
        kernel(),
        None,
        SocketAddr::from(([127, 0, 0, 1], 0)),
    )
}

fn simulated() -> Pair<SimKernel> {
    let world = World::new(0, Faults::NONE);
    let kernel = || SimKernel::new(&world.network);
    let (near, far, network) = (kernel(), kernel(), Rc::clone(&world.network));
    let any = far.address(0);
    Pair::new(near, far, Some(network), any)
}

/// Runs the same calls against both kernels, and compares all they tell.
macro_rules! holds {
    ($name:ident, |$pair:ident| $calls:block) => {
        #[test]
        fn $name() {
            fn calls<K: Kernel>(mut pair: Pair<K>) -> Vec<String> {
                let $pair = &mut pair;
                $calls
                pair.told
            }
            assert_eq!(calls(simulated()), calls(real()));
        }
    };
}

holds!(a_connection_is_told_as_writable_on_both_ends, |pair| {
    pair.edges();
    pair.error();
    pair.read(8);
    pair.peek();
});

holds!(
    every_data_edge_says_writable_and_what_is_left_is_not_told_again,
    |pair| {
        for bytes in [&b"one"[..], b"two"] {
            pair.far_writes(bytes);
            pair.edges();
            pair.read(2);
            pair.edges();
        }
        pair.read(64);
        pair.read(64);
        pair.far_writes(b"three");
        pair.edges();
    }
);

holds!(
    data_and_a_fin_are_one_edge_and_after_a_short_read_comes_no_other,
    |pair| {
        pair.far_writes(b"last words");
        pair.far_shuts();
        pair.edges();
        pair.peek();
        pair.error();
        pair.read(64);
        pair.edges();
        pair.read(64);
        pair.peek();
        pair.edges();
    }
);

holds!(a_fin_behind_unread_data_is_told_once, |pair| {
    pair.far_writes(b"unread");
    pair.edges();
    pair.far_shuts();
    pair.edges();
    pair.edges();
    // A half that is still open takes what is written.
    pair.write();
    pair.write();
    pair.edges();
});

holds!(
    the_first_call_after_a_reset_is_told_of_it_and_the_next_are_not,
    |pair| {
        pair.far_closes(true);
        pair.edges();
        pair.edges();
        for call in [0, 1, 2, 3, 0, 1] {
            pair.look(call);
        }
    }
);

holds!(a_write_is_told_of_a_reset_first, |pair| {
    pair.far_closes(true);
    for call in [1, 1, 0, 2, 3] {
        pair.look(call);
    }
});

holds!(a_peek_is_told_of_a_reset_first, |pair| {
    pair.far_closes(true);
    for call in [2, 2, 0, 3, 1] {
        pair.look(call);
    }
});

holds!(the_pending_error_is_asked_for_first, |pair| {
    pair.far_closes(true);
    for call in [3, 3, 2, 0, 1] {
        pair.look(call);
    }
});

holds!(what_came_before_a_reset_stays_readable, |pair| {
    pair.far_writes(b"parting words");
    pair.far_closes(true);
    pair.edges();
    pair.peek();
    pair.read(4);
    pair.read(64);
    pair.edges();
    for call in [0, 0, 1] {
        pair.look(call);
    }
});

holds!(
    a_write_after_a_reset_leaves_what_came_before_it_readable,
    |pair| {
        pair.far_writes(b"parting words");
        pair.far_closes(true);
        for call in [1, 1, 2, 0, 0] {
            pair.look(call);
        }
    }
);

holds!(
    after_a_close_the_first_write_succeeds_and_provokes_a_reset,
    |pair| {
        pair.far_closes(false);
        pair.edges();
        pair.write();
        pair.edges();
        for call in [2, 0, 1, 1, 3] {
            pair.look(call);
        }
    }
);

holds!(a_close_with_unread_input_is_a_reset, |pair| {
    pair.write();
    pair.far_closes(false);
    pair.edges();
    for call in [0, 0] {
        pair.look(call);
    }
});

holds!(a_reset_after_a_fin_is_a_broken_pipe, |pair| {
    pair.far_shuts();
    pair.edges();
    pair.far_closes(true);
    pair.edges();
    for call in [2, 0, 3, 3, 1] {
        pair.look(call);
    }
});

holds!(our_own_shutdown_is_an_edge_and_ends_our_writes, |pair| {
    let (near, end) = pair.near();
    near.shutdown(end).unwrap();
    pair.edges();
    pair.write();
    pair.error();
    pair.far_writes(b"still here");
    pair.edges();
    pair.read(64);
    pair.far_shuts();
    pair.edges();
    pair.read(64);
    pair.error();
    pair.write();
});

holds!(after_our_own_shutdown_a_reset_is_a_reset, |pair| {
    let (near, end) = pair.near();
    near.shutdown(end).unwrap();
    pair.edges();
    pair.far_closes(true);
    pair.edges();
    for call in [3, 0, 1] {
        pair.look(call);
    }
});

holds!(
    a_refused_connect_is_told_once_and_then_looks_like_waiting,
    |pair| {
        let any = SocketAddr::new(pair.at.ip(), 0);
        let nobody = pair.far.listen(any, 9).unwrap();
        let at = pair.far.listener_addr(&nobody).unwrap();
        pair.far.close_listener(nobody);
        let end = pair.near.connect(at, &SocketOptions::default(), 7);
        let old = pair.near_end.replace(end.ok().unwrap());
        pair.edges();
        for call in [3, 3, 0, 1] {
            pair.look(call);
        }
        drop(old);
    }
);

holds!(
    a_connection_that_nobody_accepted_is_reset_with_its_listener,
    |pair| {
        let any = SocketAddr::new(pair.at.ip(), 0);
        let closing = pair.far.listen(any, 9).unwrap();
        let at = pair.far.listener_addr(&closing).unwrap();
        let end = pair.near.connect(at, &SocketOptions::default(), 7);
        let old = pair.near_end.replace(end.ok().unwrap());
        pair.edges();
        pair.far.close_listener(closing);
        pair.edges();
        for call in [3, 0] {
            pair.look(call);
        }
        drop(old);
    }
);

holds!(
    acknowledged_and_received_bytes_count_the_syn_and_the_fin,
    |pair| {
        pair.write();
        pair.far_writes(b"far");
        let (near, end) = pair.near();
        near.shutdown(end).unwrap();
        pair.far_shuts();
        pair.settle();
        let (near, end) = pair.near();
        let info = near.info(end).unwrap();
        pair.say((info.bytes_acked, info.bytes_received));
    }
);

holds!(
    a_writer_that_met_a_full_buffer_is_told_once_when_there_is_room,
    |pair| {
        pair.edges();
        let mut written = 0;
        for _ in 0..100_000 {
            let (near, end) = pair.near();
            match near.write(end, &[7; 10_000]) {
                Ok(n) => written += n,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
            pair.settle();
        }
        pair.told.clear();
        let (near, _) = pair.near();
        near.wait(Some(Duration::ZERO), Duration::ZERO, &mut Vec::new())
            .unwrap();
        let mut read = 0;
        let mut into = vec![0; 1 << 20];
        while read < written {
            let (far, end) = pair.far();
            read += far.read(end, &mut into).unwrap_or(0);
            pair.settle();
        }
        let mut edges = Vec::new();
        let (near, _) = pair.near();
        near.wait(Some(Duration::ZERO), Duration::ZERO, &mut edges)
            .unwrap();
        pair.say(edges);
    }
);
