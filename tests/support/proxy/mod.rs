//! A proxy on loopback that does harm: late, slow, in slices, not at all, cut off.
//!
//! It stands between a client and its server, a connection each way, and moves bytes in a thread of its own. Faults may
//! be set and lifted at any moment, also for connections that stand; a change holds when [`Proxy::set`] returns. It
//! loses and reorders nothing by itself: what it took it passes on, unless it was told to cut the connection. It ends
//! TCP: what a peer's kernel says (acks, windows, the moment of a FIN) does not pass through; for that there is the
//! delayed link.
#![allow(dead_code, reason = "no test binary uses all of it")]

mod pipe;
mod relay;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::support::{End, PATIENCE};
use relay::Relay;

/// What is wrong with the way in one direction. The default is: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Way {
    /// Each byte is passed on so long after it came.
    pub(crate) latency: Duration,
    pub(crate) bytes_per_second: Option<u32>,
    /// At most so many bytes a write, and so long between two writes.
    pub(crate) slices: Option<(usize, Duration)>,
    /// Nothing is passed on, not even an end; a bounded number of bytes is still taken.
    pub(crate) stalled: bool,
    /// After so many bytes in the life of a connection it is cut, both ways.
    pub(crate) limit: Option<(u64, End)>,
    /// A FIN is passed on so long after it came.
    pub(crate) slow_close: Duration,
    /// A FIN is passed on as a reset.
    pub(crate) resets_for_fin: bool,
}

/// All that is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) to_server: Way,
    pub(crate) to_client: Way,
    /// Nobody listens: new connections are refused, those that stand stay.
    pub(crate) down: bool,
}

impl Faults {
    /// The same for both directions.
    pub(crate) fn both_ways(&mut self, change: impl Fn(&mut Way)) {
        change(&mut self.to_server);
        change(&mut self.to_client);
    }
}

/// What the proxy has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections accepted, and those that still stand.
    pub(crate) accepted: u64,
    pub(crate) open: u64,
    /// Connections one end of which took no more bytes.
    pub(crate) given_up: u64,
    /// Bytes that came from the client, and those passed on to the server.
    pub(crate) from_client: u64,
    pub(crate) to_server: u64,
    /// Bytes that came from the server, and those passed on to the client.
    pub(crate) from_server: u64,
    pub(crate) to_client: u64,
}

/// What is asked of the proxy's thread, and what it says.
#[derive(Default)]
struct Desk {
    faults: Faults,
    cut: Option<End>,
    stop: bool,
    /// Changes asked for, and how many of them hold.
    asked: u64,
    done: u64,
    counts: Counts,
}

struct Shared {
    desk: Mutex<Desk>,
    done: Condvar,
    /// Of each connection, in the order of accepting; none where nobody asked for them.
    tapes: Option<Mutex<Vec<Tape>>>,
}

/// What came from one client.
type Tape = Arc<Mutex<Vec<u8>>>;

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy without faults in front of this server.
    pub(crate) fn new(server: SocketAddr) -> Proxy {
        Proxy::with(server, None)
    }

    /// The same, that writes down all that comes from the clients.
    pub(crate) fn recording(server: SocketAddr) -> Proxy {
        Proxy::with(server, Some(Mutex::default()))
    }

    fn with(server: SocketAddr, tapes: Option<Mutex<Vec<Tape>>>) -> Proxy {
        let (bell, rings) = UnixStream::pair().unwrap();
        let shared = Arc::new(Shared {
            desk: Mutex::default(),
            done: Condvar::new(),
            tapes,
        });
        let mut relay = Relay::new(rings, server);
        let address = relay.address();
        let seen = shared.clone();
        let thread = std::thread::spawn(move || relay.run(&seen));
        Proxy {
            address,
            shared,
            bell,
            thread: Some(thread),
        }
    }

    /// Where clients find it.
    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the faults. When it returns the change holds, and what could be passed on under it was.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Faults)) {
        self.ask(|desk| change(&mut desk.faults));
    }

    /// Lifts all faults.
    pub(crate) fn heal(&self) {
        self.set(|faults| *faults = Faults::default());
    }

    /// Ends all connections that stand, both ways, now; what was not passed on yet is dropped.
    pub(crate) fn cut(&self, end: End) {
        self.ask(|desk| desk.cut = Some(end));
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// What has come from each client so far, in the order of accepting; also what was not passed on.
    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        let tapes = self.shared.tapes.as_ref().expect("a recording proxy");
        let tapes = tapes.lock().unwrap();
        tapes.iter().map(|it| it.lock().unwrap().clone()).collect()
    }

    /// A byte stays in the line until it is read. (mio's `Waker` can be lost on its poll(2) backend: while another thread
    /// registers a source, which acknowledges the wake in its stead.)
    fn ring(&self) {
        (&self.bell).write_all(&[0]).unwrap();
    }

    fn ask(&self, order: impl FnOnce(&mut Desk)) {
        let mut desk = self.shared.lock();
        order(&mut desk);
        desk.asked += 1;
        let number = desk.asked;
        self.ring();
        let (desk, outcome) = self
            .shared
            .done
            .wait_timeout_while(desk, PATIENCE, |desk| desk.done < number)
            .unwrap();
        drop(desk);
        assert!(!outcome.timed_out(), "the proxy does not answer");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.ring();
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the proxy panicked"
        );
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// For a connection that was accepted.
    fn new_tape(&self) -> Option<Tape> {
        let tape = Tape::default();
        self.tapes.as_ref()?.lock().unwrap().push(tape.clone());
        Some(tape)
    }
}
