//! Two machines and a wire between them that takes its time, for what loopback cannot show: a FIN on its way, a reply
//! that crosses a close, an answer behind a deadline.
//!
//! Two network namespaces have a TUN device each, and a thread carries IP packets from one to the other: late, or not
//! at all, but each as it is and never out of turn. TCP is the kernel's own at both ends, and end to end. What passes
//! is counted, and a packet that a test names can be kept on the wire with all that follow it, until it is released:
//! that makes a race of packets a thing one can write down. It needs root.
#![allow(dead_code, reason = "no test binary uses all of it")]

mod carrier;
mod packet;
mod tun;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::namespaces::Namespace;
pub(crate) use packet::{Packet, Tally};

/// A direction of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the near end, where clients live, to the far end.
    Out,
    /// From the far end to the near one.
    Back,
}

/// What has passed in one direction so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Put on the wire by the one end.
    pub(crate) entered: Tally,
    /// Handed to the other end's kernel.
    pub(crate) left: Tally,
    /// Dropped, by loss or a blocked way.
    pub(crate) lost: Tally,
}

/// Whether a packet is of the kind that is kept.
type Keeps = Box<dyn Fn(&Packet) -> bool + Send>;

/// One direction: how it is, what is on it, what has passed.
struct Lane {
    delay: Duration,
    blocked: bool,
    loss_percent: u64,
    bytes_per_second: Option<u32>,
    /// Names the packets that are kept.
    keeps: Option<Keeps>,
    on_the_way: VecDeque<OnTheWay>,
    counts: Counts,
    /// The last one that left, and how long it takes up the wire.
    busy_until: Instant,
    random: u64,
}

struct OnTheWay {
    entered_at: Instant,
    packet: Packet,
    bytes: Vec<u8>,
    is_kept: bool,
}

#[derive(Default)]
struct Wire {
    lanes: [Lane; 2],
    stop: bool,
}

/// The two ends and the wire. All of it goes with this value.
pub(crate) struct Link {
    near: Namespace,
    far: Namespace,
    wire: Arc<Mutex<Wire>>,
    bell: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    pub(crate) const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
    pub(crate) const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));

    /// A link with this delay in each direction.
    pub(crate) fn new(delay: Duration) -> Link {
        let [near, far] = ["wire-near", "wire-far"].map(Namespace::new);
        let ends = [(&near, Link::NEAR), (&far, Link::FAR)].map(|(namespace, address)| {
            let end = namespace.within(|| tun::open("wire0"));
            namespace.ip(&format!(
                "address add {address}/24 dev wire0\nlink set wire0 up"
            ));
            end
        });
        let wire = Arc::<Mutex<Wire>>::default();
        let (bell, rings) = UnixStream::pair().unwrap();
        let carried = wire.clone();
        let thread = std::thread::spawn(move || carrier::carry(&ends, &rings, &carried));
        let link = Link {
            near,
            far,
            wire,
            bell,
            thread: Some(thread),
        };
        link.set_delay(delay);
        link
    }

    /// Does something at the near end.
    pub(crate) fn near<T>(&self, work: impl FnOnce() -> T) -> T {
        self.near.within(work)
    }

    /// Does something at the far end. Sockets made there stay there, whoever uses them.
    pub(crate) fn far<T>(&self, work: impl FnOnce() -> T) -> T {
        self.far.within(work)
    }

    /// A listening socket at the far end.
    pub(crate) fn listener(&self) -> TcpListener {
        self.far(|| TcpListener::bind((Link::FAR, 0)).unwrap())
    }

    /// In both directions, also for what is on its way.
    pub(crate) fn set_delay(&self, delay: Duration) {
        for direction in [Direction::Out, Direction::Back] {
            self.change(direction, |lane| lane.delay = delay);
        }
    }

    /// From the near end to the far one.
    pub(crate) fn delay(&self) -> Duration {
        self.lock().lanes[Direction::Out as usize].delay
    }

    pub(crate) fn set_delay_of(&self, direction: Direction, delay: Duration) {
        self.change(direction, |lane| lane.delay = delay);
    }

    /// From now on nothing enters in this direction; what is on its way arrives.
    pub(crate) fn block(&self, direction: Direction) {
        self.change(direction, |lane| lane.blocked = true);
    }

    pub(crate) fn unblock(&self, direction: Direction) {
        self.change(direction, |lane| lane.blocked = false);
    }

    /// So many of a hundred packets are lost, drawn from the seed.
    pub(crate) fn set_loss(&self, direction: Direction, percent: u64, seed: u64) {
        self.change(direction, |lane| {
            (lane.loss_percent, lane.random) = (percent, seed | 1);
        });
    }

    pub(crate) fn set_bandwidth(&self, direction: Direction, bytes_per_second: Option<u32>) {
        self.change(direction, |lane| lane.bytes_per_second = bytes_per_second);
    }

    /// Keeps the packets of this kind that are on the way or enter, and whatever is behind one, until
    /// [`Link::release`].
    pub(crate) fn hold(
        &self,
        direction: Direction,
        keeps: impl Fn(&Packet) -> bool + Send + 'static,
    ) {
        self.change(direction, |lane| {
            for waiting in &mut lane.on_the_way {
                waiting.is_kept |= keeps(&waiting.packet);
            }
            lane.keeps = Some(Box::new(keeps));
        });
    }

    /// Lets go what is kept, and keeps nothing more.
    pub(crate) fn release(&self, direction: Direction) {
        self.change(direction, |lane| {
            lane.keeps = None;
            for waiting in &mut lane.on_the_way {
                waiting.is_kept = false;
            }
        });
    }

    /// Lets go the first packet that is kept, and goes on keeping.
    pub(crate) fn release_one(&self, direction: Direction) {
        self.change(direction, |lane| {
            if let Some(first) = lane.on_the_way.iter_mut().find(|it| it.is_kept) {
                first.is_kept = false;
            }
        });
    }

    pub(crate) fn counts(&self, direction: Direction) -> Counts {
        self.lock().lanes[direction as usize].counts
    }

    /// Waits until what has been put on the wire is so.
    #[track_caller]
    pub(crate) fn until_entered(
        &self,
        direction: Direction,
        what: &str,
        condition: impl Fn(&Tally) -> bool,
    ) {
        eventually(what, || condition(&self.counts(direction).entered));
    }

    /// Waits until what has been handed to the end's kernel is so.
    #[track_caller]
    pub(crate) fn until_left(
        &self,
        direction: Direction,
        what: &str,
        condition: impl Fn(&Tally) -> bool,
    ) {
        eventually(what, || condition(&self.counts(direction).left));
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Lane)) {
        change(&mut self.lock().lanes[direction as usize]);
        (&self.bell).write_all(&[0]).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Ok(mut wire) = self.wire.lock() {
            wire.stop = true;
        }
        let _ = (&self.bell).write_all(&[0]);
        let ended = self.thread.take().unwrap().join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the carrier panicked"
        );
    }
}

impl Default for Lane {
    fn default() -> Lane {
        Lane {
            delay: Duration::ZERO,
            blocked: false,
            loss_percent: 0,
            bytes_per_second: None,
            keeps: None,
            on_the_way: VecDeque::new(),
            counts: Counts::default(),
            busy_until: Instant::now(),
            random: 1,
        }
    }
}
