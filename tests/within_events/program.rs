//! A program that does drawn things between events, and books what it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use taut::server::{Server, ServerConfig, Service, Stopper};
use taut::{
    Breaker, Client, Config, ConnectionId, Event, Frame, Peek, RequestId, Upstream, UpstreamId,
};

use super::peers::{Manners, Peers};
use super::random::Random;
use super::support::{PATIENCE, ms};

/// What has happened in all runs: a kind that never does proves nothing.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(super) replies: usize,
    pub(super) failures: usize,
    pub(super) calls: usize,
    pub(super) connected: usize,
    pub(super) closed: usize,
    pub(super) half_closed: usize,
    pub(super) writable: usize,
    pub(super) frames: usize,
    pub(super) answered_from_split: usize,
    pub(super) refused: usize,
    pub(super) dropped: usize,
}

impl Seen {
    pub(crate) fn is_all(&self, seeds: u64) -> bool {
        let all = [
            self.replies,
            self.failures,
            self.calls,
            self.connected,
            self.closed,
            self.frames,
            self.refused,
        ];
        let rare = [
            self.half_closed,
            self.writable,
            self.answered_from_split,
            self.dropped,
        ];
        all.iter().all(|count| *count as u64 >= seeds) && rare.iter().all(|count| *count > 0)
    }
}

/// Where a raw connection is, as far as the program was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Connected,
    HalfClosed,
    Closed,
}

pub(super) struct Program<'a> {
    pub(super) client: Client,
    pub(super) random: Random,
    pub(super) raw_peers: Peers,
    pub(super) echo_peers: Peers,
    pub(super) echo: UpstreamId,
    pub(super) shout: UpstreamId,
    pub(super) raw: BTreeMap<ConnectionId, Told>,
    /// Requests that have not ended, with the reply that is theirs.
    pub(super) open: BTreeMap<RequestId, Vec<u8>>,
    pub(super) made: u64,
    /// Calls that were cut short by events, and go on as requests.
    pub(super) calls_left: usize,
    /// Frames pulled since the last turn, with their bytes.
    pub(super) held: Vec<(Frame, Vec<u8>)>,
    pub(super) given_up: Vec<Frame>,
    pub(super) seen: &'a mut Seen,
}

fn config(random: &mut Random) -> Config {
    let mut config = Config {
        // What the library refuses by itself is not what is asked here.
        breaker: Breaker::off(),
        half_close: random.once_in(2),
        peek: random.of(&[Peek::Always, Peek::Always, Peek::Never, Peek::Idle(ms(1))]),
        ..Config::default()
    };
    let limits = &mut config.limits;
    limits.events_max = random.of(&[1, 3, 16_384]);
    limits.turn_frames_max = random.of(&[1, 4, 256]);
    limits.unpulled_bytes_max = random.of(&[1, 100, 256 << 10]);
    limits.read_bytes = random.of(&[64, 1_000, 16 << 10]);
    limits.send_queue_bytes_max = random.of(&[64, 4_000, 1 << 20]);
    limits.connections_max = random.of(&[8, 64]);
    limits.waiting_requests_max = random.of(&[4, 1_024]);
    config.timeouts.linger = ms(20);
    config
}

fn shouting() -> (String, Stopper, std::thread::JoinHandle<()>) {
    let config = ServerConfig {
        service: Service::Shout,
        ..ServerConfig::default()
    };
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
    let (address, stopper) = (server.local_addr().to_string(), server.stopper());
    let thread = std::thread::spawn(move || server.run().unwrap());
    (address, stopper, thread)
}

pub(crate) fn run(seed: u64, rounds: usize, seen: &mut Seen) {
    let (target, stopper, server) = shouting();
    let mut random = Random::new(seed);
    let raw_peers = Peers::new(Manners::Any);
    let echo_peers = Peers::new(Manners::Echo);
    let mut client = Client::new(config(&mut random)).unwrap();
    let echo = Upstream::new(echo_peers.target()).connections(2).depth(3);
    let echo = client.add(echo).unwrap();
    let shout = client.add(Upstream::new(target).depth(4)).unwrap();
    let mut program = Program {
        client,
        random,
        raw_peers,
        echo_peers,
        echo,
        shout,
        raw: BTreeMap::new(),
        open: BTreeMap::new(),
        made: 0,
        calls_left: 0,
        held: Vec::new(),
        given_up: Vec::new(),
        seen,
    };
    for _ in 0..rounds {
        program.round();
    }
    if program.random.once_in(4) {
        // In the midst of whatever there is: nothing of it may stay.
        program.seen.dropped += 1;
    } else {
        program.end();
    }
    drop(program);
    stopper.stop();
    server.join().unwrap();
}

impl Program<'_> {
    fn round(&mut self) {
        self.turn(Duration::from_micros(200));
        while let Some(event) = self.client.next_event() {
            let connection = raw_of(&event);
            self.book(event);
            for _ in 0..self.random.below(4) {
                self.act(connection);
            }
            self.check_frames();
            if self.random.once_in(20) {
                break;
            }
        }
        for _ in 0..self.random.below(4) {
            self.act(None);
        }
        self.raw_peers.act(&mut self.random);
        self.echo_peers.act(&mut self.random);
    }

    fn turn(&mut self, wait: Duration) {
        self.client.turn(Some(wait)).unwrap();
        self.give_up_frames();
    }

    /// A turn has passed: the frames pulled before it are no more.
    pub(super) fn give_up_frames(&mut self) {
        self.given_up.clear();
        self.given_up
            .extend(self.held.drain(..).map(|(frame, _)| frame));
    }

    /// Everything that must end does.
    fn end(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let is_over = |told: &Told| *told == Told::Closed;
        while !self.open.is_empty() || self.calls_left > 0 || !self.raw.values().all(is_over) {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?} {:?}",
                self.open,
                self.raw
            );
            self.turn(ms(1));
            while let Some(event) = self.client.next_event() {
                self.book(event);
            }
            for (connection, told) in &self.raw {
                if !is_over(told) {
                    let _ = self.client.abort(*connection);
                }
            }
            self.raw_peers.act(&mut self.random);
            self.echo_peers.act(&mut self.random);
        }
        for upstream in [self.echo, self.shout] {
            let stats = self.client.upstream_stats(upstream).unwrap();
            assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        }
    }

    fn book(&mut self, event: Event) {
        if let Some(connection) = raw_of(&event) {
            return self.book_raw(connection, event);
        }
        match event {
            Event::Reply { request, frame, .. } => {
                let expected = self.ended(request);
                let bytes = self.client.bytes(&frame).to_vec();
                assert_eq!(bytes, expected, "{request} has another's reply");
                self.held.push((frame, bytes));
                self.seen.replies += 1;
            }
            Event::Failed { request, .. } => {
                self.ended(request);
                self.seen.failures += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// A request has ended, which it does once. Returns the reply that is its own.
    fn ended(&mut self, request: RequestId) -> Vec<u8> {
        self.open.remove(&request).unwrap_or_else(|| {
            assert!(self.calls_left > 0, "{request} ended twice");
            self.calls_left -= 1;
            b"CALLED".to_vec()
        })
    }

    fn book_raw(&mut self, connection: ConnectionId, event: Event) {
        let told = self.raw.get_mut(&connection).expect("one of ours");
        assert_ne!(*told, Told::Closed, "after its end: {event:?}");
        match event {
            Event::Connected { .. } => {
                assert_eq!(std::mem::replace(told, Told::Connected), Told::Nothing);
                self.seen.connected += 1;
            }
            Event::Closed { .. } => {
                *told = Told::Closed;
                self.seen.closed += 1;
            }
            Event::HalfClosed { .. } => {
                assert_eq!(std::mem::replace(told, Told::HalfClosed), Told::Connected);
                self.seen.half_closed += 1;
            }
            Event::Writable { .. } => {
                assert_ne!(*told, Told::Nothing);
                self.seen.writable += 1;
            }
            Event::Frame { frame, .. } => {
                assert_eq!(*told, Told::Connected);
                self.held.push((frame, self.client.bytes(&frame).to_vec()));
                self.seen.frames += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// What was pulled since the last turn stands still, whatever was done meanwhile; what was before is gone or the same.
    fn check_frames(&self) {
        for (frame, bytes) in &self.held {
            assert_eq!(self.client.bytes(frame), bytes);
        }
        for frame in &self.given_up {
            if let Some(bytes) = self.client.try_bytes(frame) {
                assert_eq!(bytes.len(), frame.len());
            }
        }
    }
}

/// The raw connection that an event is of.
fn raw_of(event: &Event) -> Option<ConnectionId> {
    match event {
        Event::Connected { connection, .. }
        | Event::Frame { connection, .. }
        | Event::Writable { connection }
        | Event::HalfClosed { connection }
        | Event::Closed { connection, .. } => Some(*connection),
        _ => None,
    }
}
