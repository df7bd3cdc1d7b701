//! Ten thousand connections at once, and thousands that come and go: all told, sockets and memory back to the base
//! (fault list 39).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use taut::{Client, ConnectionId, Event, Framing};

use crate::common::{assert_nothing_is_left, server, sockets_of};
use crate::counting::live;
use crate::probe::Serving;
use crate::support::namespaces::Link;
use crate::support::*;

/// mio's poll(2) backend looks at each of its sockets in each turn.
pub(crate) const AT_ONCE: usize = if cfg!(mio_unsupported_force_poll_poll) {
    2_000
} else {
    10_000
};

/// Connections being made at a time: less than a backlog.
pub(crate) const CONNECTING_MAX: usize = 500;

/// Two crowds at a time are more than this process may have descriptors for.
pub(crate) fn only_crowd() -> MutexGuard<'static, ()> {
    static CROWDED: Mutex<()> = Mutex::new(());
    CROWDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bundled server in a process of its own, for each end of so many connections needs a descriptor.
pub(crate) fn echo(link: &Link, arguments: &[&str]) -> Serving {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = AT_ONCE as u64 + 2_000;
    assert!(
        hard >= wanted,
        "{wanted} descriptors are needed, {hard} allowed: see `ulimit -H -n`"
    );
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
    }
    let at = server().to_string();
    let all = [
        &["echo", "--listen", &at, "--max-connections", "20k"],
        arguments,
    ];
    link.far.within(|| Serving::start(&all.concat()))
}

/// What one connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Connecting,
    Asked,
    Answered,
    Ending,
}

/// Connections that each connect, say a line of their own, get it back and wait; each event of each is told once.
struct Crowd {
    client: Client,
    target: String,
    lives: BTreeMap<ConnectionId, (usize, Life)>,
    begun: usize,
    connecting: usize,
    answered: usize,
    closed: usize,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd {
            client: client_with(|it| {
                it.limits.pool_bytes_max = 256 << 10;
                // A busy machine serves thousands of ends one after the other.
                it.timeouts.linger = Duration::from_secs(30);
            }),
            target: server().to_string(),
            lives: BTreeMap::new(),
            begun: 0,
            connecting: 0,
            answered: 0,
            closed: 0,
        }
    }

    fn begin(&mut self) {
        let connection = self.client.connect(&self.target, Framing::line()).unwrap();
        let life = (self.begun, Life::Connecting);
        assert_eq!(
            self.lives.insert(connection, life),
            None,
            "a name used twice"
        );
        self.begun += 1;
        self.connecting += 1;
    }

    /// Half of them by our FIN, the other half by our RST.
    fn end(&mut self, connection: ConnectionId) {
        let (number, life) = self.lives.get_mut(&connection).unwrap();
        assert_eq!(*life, Life::Answered);
        *life = Life::Ending;
        match *number % 2 {
            0 => self.client.close(connection).unwrap(),
            _ => self.client.abort(connection).unwrap(),
        }
    }

    /// One turn, and what it told. The connections that were answered.
    fn turn(&mut self) -> Vec<ConnectionId> {
        let mut answered = Vec::new();
        turn(&mut self.client, ms(100));
        while let Some(event) = self.client.next_event() {
            match event {
                Event::Connected { connection, .. } => {
                    let (number, life) = self.lives.get_mut(&connection).unwrap();
                    assert_eq!(std::mem::replace(life, Life::Asked), Life::Connecting);
                    self.connecting -= 1;
                    let line = format!("line {number}\n");
                    self.client.send(connection, line.as_bytes()).unwrap();
                }
                Event::Frame { connection, frame } => {
                    let (number, life) = self.lives.get_mut(&connection).unwrap();
                    assert_eq!(std::mem::replace(life, Life::Answered), Life::Asked);
                    let line = format!("line {number}");
                    assert_eq!(self.client.bytes(&frame), line.as_bytes());
                    self.answered += 1;
                    answered.push(connection);
                }
                Event::Closed {
                    connection, error, ..
                } => {
                    let (number, life) = self.lives.remove(&connection).unwrap();
                    assert_eq!(life, Life::Ending, "number {number}: {error:?}");
                    // An abort tells that the program itself closed it.
                    assert_eq!(error.is_none(), number % 2 == 0, "{error:?}");
                    self.closed += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        answered
    }

    /// All of them stand at once, are answered and end.
    fn all_at_once(&mut self, count: usize, link: &Link) {
        let (deadline, all) = (Instant::now() + Duration::from_secs(60), self.begun + count);
        let mut stand = Vec::new();
        while stand.len() < count {
            while self.begun < all && self.connecting < CONNECTING_MAX {
                self.begin();
            }
            stand.extend(self.turn());
            assert!(Instant::now() < deadline, "{} stand", stand.len());
        }
        assert_eq!(self.client.connections(), count);
        assert_eq!(sockets_of(&link.near), count);
        for connection in stand {
            self.end(connection);
        }
        while self.closed < all {
            self.turn();
            assert!(Instant::now() < deadline, "{} ended", self.closed);
        }
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn ten_thousand_connections_stand_answer_and_end_and_leave_nothing() {
    let _alone = only_crowd();
    let link = Link::new("crowd");
    link.near
        .sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let _serving = echo(&link, &[]);
    let _inside = link.near.enter();
    let mut crowd = Crowd::new();
    let calm = Calm::begins();
    let ((), first) = live(|| crowd.all_at_once(AT_ONCE, &link));
    let ((), second) = live(|| crowd.all_at_once(AT_ONCE, &link));
    println!(
        "twice {AT_ONCE} connections in {:?}; the thread holds {first} bytes more after the first time, {second} more \
         after the second",
        calm.lasts()
    );
    calm.ends(2 * 3 * AT_ONCE);
    // Slots and lists keep their room for the next; the second time they need hardly more (how many events come at once
    // is chance).
    assert!(
        first < 2 * 1024 * AT_ONCE as isize,
        "{first} bytes are kept"
    );
    assert!(second < first / 8, "{second} bytes more are kept");
    let ((), dropped) = live(|| assert_nothing_is_left(crowd.client, &link.near));
    println!("{dropped} bytes given back with the client");
    assert!(first + second + dropped < (64 << 10));
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn connections_that_come_and_go_by_the_thousand_leave_nothing() {
    const LIVES: usize = 5_000;
    const STANDING: usize = 50;
    let link = Link::new("churn");
    let _serving = echo(&link, &[]);
    let _inside = link.near.enter();
    let mut crowd = Crowd::new();
    let mut come_and_go = |count: usize| {
        let (deadline, all) = (
            Instant::now() + Duration::from_secs(60),
            crowd.begun + count,
        );
        while crowd.closed < all {
            while crowd.begun < all && crowd.lives.len() < STANDING {
                crowd.begin();
            }
            for connection in crowd.turn() {
                crowd.end(connection);
            }
            // One that has ended keeps its slot until the turn after.
            assert!(crowd.client.connections() <= 2 * STANDING);
            assert!(Instant::now() < deadline, "{} ended", crowd.closed);
        }
    };
    come_and_go(LIVES / 10);
    let calm = Calm::begins();
    let ((), more) = live(|| come_and_go(LIVES));
    println!("{LIVES} lives in {:?}, {more} bytes more", calm.lasts());
    calm.ends(3 * LIVES);
    assert!(more < (64 << 10), "{more} bytes more after {LIVES} lives");
    assert_eq!((crowd.answered, crowd.closed), (crowd.begun, crowd.begun));
    assert_nothing_is_left(crowd.client, &link.near);
}
