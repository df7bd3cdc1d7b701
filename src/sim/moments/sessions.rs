//! Lines with a session on them: an engine against a peer whose session and kernel are driven call by call. All that the
//! engine writes is read along, and must be records of that session to the last byte.

mod addresses;
mod breaks;
mod closes;
mod handshakes;
mod idle;
mod writes;

use std::sync::Arc;

use super::{Bench, ms};
use crate::config::Config;
use crate::error::Source;
use crate::event::{ConnectionId, Event, UpstreamId};
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::session::{Session, Sessions};
use crate::sim::kernel::SimSocket;
use crate::sim::random::Chance;
use crate::sim::session::{Book, FakeSession, FakeSessions, Habits, Overheard, Side};
use crate::upstream::Upstream;

/// What sessions are like here, and what they have said.
struct Manner {
    book: Book,
    clients: Arc<dyn Sessions>,
    servers: Arc<FakeSessions>,
}

impl Manner {
    /// Clients' and servers'.
    fn of(clients: &Habits, servers: &Habits) -> Manner {
        let book = Book::default();
        let of = |side, habits: &Habits| FakeSessions::new(side, habits.clone(), 1, &book);
        Manner {
            clients: Arc::new(of(Side::Client, clients)),
            servers: Arc::new(of(Side::Server, servers)),
            book,
        }
    }

    fn plain() -> Manner {
        Manner::with(1, false)
    }

    /// With so many round trips, the last word the server's or not.
    fn with(round_trips: u64, is_twelve: bool) -> Manner {
        let clients = Habits {
            round_trips: round_trips..=round_trips,
            twelve: Chance(if is_twelve { 1_000 } else { 0 }),
            ..Habits::plain()
        };
        Manner::of(&clients, &Habits::plain())
    }
}

/// The engine's peer.
struct Other {
    socket: SimSocket,
    session: FakeSession,
    overheard: Overheard,
    /// What the engine's program has said.
    got: Vec<u8>,
    /// Not yet in the kernel.
    out: Vec<u8>,
    ended: Option<Source>,
}

impl Other {
    fn new(socket: SimSocket, manner: &Manner) -> Other {
        Other {
            socket,
            session: manner.servers.next(),
            overheard: Overheard::new(&manner.book),
            got: Vec::new(),
            out: Vec::new(),
            ended: None,
        }
    }

    fn say(&mut self, program: &[u8]) {
        self.session.seal(program, &mut self.out);
    }

    /// What the session has to say itself.
    fn speak(&mut self) {
        self.session.transmit(&mut self.out);
    }
}

impl Bench {
    /// What has come for the other end is heard, and its session's answer is ready.
    fn hear(&mut self, other: &mut Other) {
        let line = self.got(&other.socket);
        other.overheard.put(&line);
        if other.ended.is_none() && !line.is_empty() {
            let got = &mut other.got;
            let received = other.session.receive(&line, &mut |it| got.extend(it));
            other.ended = received.err();
        }
        other.speak();
    }

    /// So many bytes of what the other end has to say go out.
    fn tell(&mut self, other: &mut Other, bytes_max: usize) {
        let n = other.out.len().min(bytes_max);
        if n > 0 {
            let n = self.peer.write(&other.socket, &other.out[..n]);
            other.out.drain(..n.unwrap_or(0));
        }
    }

    /// Both sides speak until neither has anything to say; what was told meanwhile.
    fn talk(&mut self, other: &mut Other) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            told.extend(self.events(ms(1)));
            self.hear(other);
            if other.out.is_empty() {
                return told;
            }
            self.tell(other, usize::MAX);
        }
    }

    /// A raw connection, whose TCP connection stands.
    fn dialled(&mut self, manner: &Manner) -> (ConnectionId, Other) {
        let (at, core) = (self.at.to_string(), &mut self.engine.core);
        let made = core.connect_through(&at, &Framing::line(), Some(&manner.clients));
        let id = made.unwrap();
        assert_eq!(self.events(ms(1)), []);
        (id, Other::new(self.accepted(), manner))
    }

    /// A raw connection that stands.
    fn talking(&mut self, manner: &Manner) -> (ConnectionId, Other) {
        let (id, mut other) = self.dialled(manner);
        let told = self.talk(&mut other);
        assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
        (id, other)
    }

    /// An upstream of one connection, which stands.
    fn sealed(&mut self, upstream: Upstream, manner: &Manner) -> (UpstreamId, Other) {
        let (upstream, socket) = self.standing(upstream.through(manner));
        let mut other = Other::new(socket, manner);
        assert_eq!(self.talk(&mut other), []);
        (upstream, other)
    }

    fn accepted(&mut self) -> SimSocket {
        self.peer.accept(&self.listener).unwrap().0
    }

    fn close(&mut self, other: Other, reset: bool) {
        self.peer.close(other.socket, reset);
    }
}

impl Upstream {
    fn through(mut self, manner: &Manner) -> Upstream {
        self.sessions = Some(Arc::clone(&manner.clients));
        self
    }
}

fn bench() -> Bench {
    Bench::new(Config::default())
}

/// What a raw connection has ended with.
fn end_of(told: &[Event]) -> Option<crate::error::Error> {
    match told {
        [Event::Closed { error, .. }] => *error,
        other => panic!("{other:?}"),
    }
}
