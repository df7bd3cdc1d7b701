//! The simulated kernel is held to the real one: each fact is found in both, by the same calls.
//!
//! What a fact tells (edges, results, errnos) is compared, so that a difference says in which call it
//! lies. `tests/kernel_facts` pins more of the real kernel's facts, with calls the seam does not have.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod counts;
mod edges;
mod endings;
mod links;
mod namespace;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;
use super::kernel::SimKernel;
use super::network::Shared;
use super::world::World;
use crate::config::Lookups;
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
                let flags: String = flags.collect();
                // The model's edges are epoll's. Those of mio's poll(2) backend are others, what the calls say is not.
                if cfg!(not(mio_unsupported_force_poll_poll)) {
                    self.told.push(format!("{name}: {flags}"));
                }
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
    let kernel = || Net::new(Arc::new(SystemResolver), Lookups::default()).unwrap();
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
use holds;
