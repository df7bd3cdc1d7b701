//! Requests whose replies nobody could mix up, and Redis as the witness of what became of them.
//!
//! Request `n` adds `n + 1` to a key of its own: the reply can only be its own, and the key tells afterwards whether it
//! was done never, once or twice. Some requests echo many bytes instead, so that replies come in pieces. Every end is
//! booked when it is told, and a second one, or one of a request that was never made, fails the test.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taut::{
    Client, Config, Deadline, Error, Event, RequestId, RequestOptions, Sent, Source, Upstream,
    UpstreamId,
};

use crate::random::Random;
use crate::redis::{Answer, Control, Redis, command};
use crate::support::{PATIENCE, eventually, ms, turn};

/// Requests that are kept under way, as far as there is anything to ask.
const UNDER_WAY: usize = 40;

/// The longest text that is echoed: more than a socket takes at a time.
const ECHO_BYTES_MAX: usize = 200_000;

/// A request is made, and made again twice at most.
const TRIES_MAX: u64 = 3;

/// What a request asks for.
#[derive(Clone, Debug)]
enum Question {
    /// Adds its number and one to a key of its own.
    Add,
    /// The same text back.
    Echo { bytes: usize },
    /// Speaks RESP3 from here on, on whichever connection it comes to.
    Hello,
    /// Tells of each key that changes, on the same terms.
    Tracking,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Replied,
    /// Redis answered that it is still loading, and did nothing.
    Loading,
    Failed(Error),
}

struct Asked {
    question: Question,
    /// It may be made again though part of it had left (and adds twice then, which is what tells).
    is_idempotent: bool,
    ended: Option<Ended>,
}

/// How the requests of a test ended, each as Redis says it may have.
#[allow(dead_code, reason = "printed")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) asked: usize,
    pub(crate) replies: usize,
    pub(crate) loading: usize,
    pub(crate) refused: usize,
    pub(crate) cancelled: usize,
    /// Added more than once, by those that may.
    pub(crate) again: usize,
    pub(crate) not_sent: usize,
    pub(crate) maybe_sent: usize,
    /// Of those that add, how many Redis did.
    pub(crate) maybe_and_done: usize,
    pub(crate) surely_sent: usize,
    pub(crate) pushes: u64,
    pub(crate) losses: u64,
}

pub(crate) struct Traffic {
    client: Client,
    upstream: UpstreamId,
    random: Random,
    asked: Vec<Asked>,
    under_way: BTreeMap<RequestId, u64>,
    refused: usize,
    pushes: u64,
    wants_pushes: bool,
}

impl Traffic {
    pub(crate) fn new(upstream: Upstream, wants_pushes: bool) -> Traffic {
        let mut config = Config::default();
        config.timeouts.wait = ms(400);
        config.reconnect.first_pause_max = ms(20);
        config.reconnect.pause_max = ms(100);
        config.breaker.first_pause_max = ms(50);
        config.breaker.pause_max = ms(200);
        let mut client = Client::new(config).unwrap();
        let upstream = client.add(upstream).unwrap();
        Traffic {
            client,
            upstream,
            random: Random::new(11),
            asked: Vec::new(),
            under_way: BTreeMap::new(),
            refused: 0,
            pushes: 0,
            wants_pushes,
        }
    }

    /// Makes so many requests, and waits for room only.
    #[track_caller]
    pub(crate) fn ask(&mut self, requests: usize) {
        for _ in 0..requests {
            let deadline = Instant::now() + PATIENCE;
            while self.under_way.len() >= UNDER_WAY {
                assert!(Instant::now() < deadline, "none of them ends");
                self.turn(ms(20));
            }
            self.make();
        }
    }

    /// A few more, handed to the kernel: whatever happens now happens to them.
    pub(crate) fn leave_under_way(&mut self) {
        self.ask(8);
        self.client.flush();
    }

    /// Goes on asking for so long.
    pub(crate) fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.under_way.len() < UNDER_WAY {
                self.make();
            }
            self.turn(ms(1));
        }
    }

    /// Asks for nothing for so long.
    pub(crate) fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(rest) = end.checked_duration_since(Instant::now()) {
            self.turn(rest.min(ms(100)));
        }
    }

    /// Asks until one more has been answered, and all others have ended.
    #[track_caller]
    pub(crate) fn until_served(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let is_answer = |asked: &Asked| matches!(asked.ended, Some(Ended::Replied));
        loop {
            assert!(Instant::now() < deadline, "it serves nobody");
            let from = self.asked.len();
            self.make();
            while !self.under_way.is_empty() {
                assert!(Instant::now() < deadline, "some do not end");
                self.turn(ms(20));
            }
            if self.asked[from..].iter().any(is_answer) {
                return;
            }
        }
    }

    fn make(&mut self) {
        let number = self.asked.len() as u64;
        let question = self.draw();
        let payload = question.payload(number);
        // Some are too late when the server takes its time: their replies come all the same.
        let deadline = match self.random.once_in(4) {
            true => ms(30 + self.random.below(150) as u64),
            false => PATIENCE,
        };
        let deadline = Deadline::after(deadline);
        let is_idempotent = self.random.once_in(4);
        let mut options = RequestOptions::new().deadline(deadline).tag(number);
        if is_idempotent {
            options = options.idempotent();
        }
        let request = self.client.request_with(self.upstream, &payload, options);
        // One that was refused was not queued: that is an end as well, and no event follows.
        self.refused += usize::from(request.is_err());
        self.asked.push(Asked {
            question,
            is_idempotent,
            ended: request.err().map(Ended::Failed),
        });
        match request {
            Ok(request) => {
                let before = self.under_way.insert(request, number);
                assert_eq!(before, None, "{request} was named before");
                self.take_one_back();
            }
            Err(_) => self.turn(ms(1)),
        }
    }

    /// Now and then one of those under way is taken back.
    fn take_one_back(&mut self) {
        if self.random.once_in(30) {
            let all: Vec<RequestId> = self.under_way.keys().copied().collect();
            // It ends by an event, or has one waiting already.
            self.client.cancel(self.random.of(&all));
        }
    }

    fn draw(&mut self) -> Question {
        if self.wants_pushes && self.random.once_in(8) {
            return match self.random.once_in(2) {
                true => Question::Hello,
                false => Question::Tracking,
            };
        }
        if self.random.once_in(6) {
            let bytes = self.random.below(ECHO_BYTES_MAX);
            return Question::Echo { bytes };
        }
        Question::Add
    }

    fn turn(&mut self, timeout: Duration) {
        turn(&mut self.client, timeout);
        while let Some(event) = self.client.next_event() {
            self.book(event);
        }
    }

    fn book(&mut self, event: Event) {
        let (request, tag) = match event {
            Event::Reply { request, tag, .. } | Event::Failed { request, tag, .. } => {
                (request, tag)
            }
            Event::Push { .. } => {
                self.pushes += 1;
                return;
            }
            _ => return,
        };
        let number = self.under_way.remove(&request);
        let number = number.unwrap_or_else(|| panic!("{request} ended twice, or was never made"));
        assert_eq!(tag, number);
        let asked = &mut self.asked[number as usize];
        asked.ended = Some(match event {
            Event::Reply { frame, .. } => {
                let reply = self.client.bytes(&frame);
                asked.question.check(number, asked.is_idempotent, reply)
            }
            Event::Failed { error, .. } => Ended::Failed(error),
            _ => unreachable!("one of both"),
        });
    }

    /// Holds what was told against what Redis did. All requests have ended.
    #[track_caller]
    pub(crate) fn judge(self, redis: &Redis) -> Outcomes {
        let mut outcomes = Outcomes {
            asked: self.asked.len(),
            refused: self.refused,
            pushes: self.pushes,
            losses: self.client.upstream_stats(self.upstream).unwrap().losses,
            ..Outcomes::default()
        };
        drop(self.client);
        let mut control = redis.control();
        // What the client left in the server's kernel has been read then, or never will be.
        eventually("only the witness", || control.others().is_empty());
        for (number, asked) in (0..).zip(&self.asked) {
            let ended = asked.ended.expect("each has ended");
            outcomes.count(ended);
            if matches!(asked.question, Question::Add) {
                let times = times_done(&mut control, number);
                let what =
                    format!("request {number} was done {times} times and ended as {ended:?}");
                assert!(
                    may_have_been_done(times, ended, asked.is_idempotent),
                    "{what}"
                );
                outcomes.again += usize::from(times > 1);
                let is_maybe = matches!(ended, Ended::Failed(error) if error.sent == Sent::Maybe);
                outcomes.maybe_and_done += usize::from(is_maybe) * times as usize;
            }
        }
        outcomes
    }
}

impl Outcomes {
    fn count(&mut self, ended: Ended) {
        *match ended {
            Ended::Replied => &mut self.replies,
            Ended::Loading => &mut self.loading,
            Ended::Failed(error) if error.source == Source::Cancelled => &mut self.cancelled,
            Ended::Failed(error) => match error.sent {
                Sent::No => &mut self.not_sent,
                Sent::Maybe => &mut self.maybe_sent,
                Sent::Yes => &mut self.surely_sent,
            },
        } += 1;
    }
}

impl Question {
    fn payload(&self, number: u64) -> Vec<u8> {
        match self {
            Question::Add => command(&["INCRBY", &key(number), &(number + 1).to_string()]),
            Question::Echo { bytes } => command(&["ECHO", &text(number, *bytes)]),
            Question::Hello => command(&["HELLO", "3"]),
            Question::Tracking => command(&["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "n:"]),
        }
    }

    /// Whether the reply is one to this question and to no other.
    #[track_caller]
    fn check(&self, number: u64, is_idempotent: bool, reply: &[u8]) -> Ended {
        if reply.starts_with(b"-LOADING") {
            return Ended::Loading;
        }
        let is_right = match self {
            Question::Add => {
                let tries = if is_idempotent { TRIES_MAX } else { 1 };
                let sum = |times| format!(":{}\r\n", times * (number + 1));
                (1..=tries).any(|times| reply == sum(times).as_bytes())
            }
            Question::Echo { bytes } => {
                let text = text(number, *bytes);
                reply == format!("${}\r\n{text}\r\n", text.len()).as_bytes()
            }
            Question::Hello => reply.starts_with(b"%") && contains(reply, b"redis"),
            // It is an error to ask for the same twice.
            Question::Tracking => reply == b"+OK\r\n" || contains(reply, b"overlaps"),
        };
        let begins = &reply[..reply.len().min(60)];
        assert!(
            is_right,
            "request {number}, {self:?}, got another's reply: {}",
            begins.escape_ascii()
        );
        Ended::Replied
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

fn key(number: u64) -> String {
    format!("n:{number}")
}

fn text(number: u64, bytes: usize) -> String {
    format!("{number} {}", "x".repeat(bytes))
}

/// Whether what was told of a request allows that it was done so many times.
fn may_have_been_done(times: u64, ended: Ended, is_idempotent: bool) -> bool {
    let most = if is_idempotent { TRIES_MAX } else { 1 };
    match ended {
        Ended::Replied => (1..=most).contains(&times),
        // The last of several tries may be the one that was not done.
        Ended::Loading => times < most,
        Ended::Failed(error) => match error.sent {
            Sent::No => times == 0,
            Sent::Maybe => times <= most,
            Sent::Yes => (1..=most).contains(&times),
        },
    }
}

/// How often Redis added.
#[track_caller]
fn times_done(control: &mut Control, number: u64) -> u64 {
    match control.ask(&["GET", &key(number)]) {
        Answer::Nil => 0,
        Answer::Text(sum) => {
            let sum: u64 = sum.parse().unwrap();
            assert_eq!(sum % (number + 1), 0, "request {number} has another's sum");
            sum / (number + 1)
        }
        Answer::Error(error) => panic!("GET: {error}"),
    }
}
