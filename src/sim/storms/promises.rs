//! What a request is promised, checked as it ends, and once more at the end of the run.

use std::time::Duration;

use super::dialect::{Dialect, Spoken, is_idempotent};
use super::run::Run;
use super::wire::Left;
use crate::engine::{Outcome as Answer, Submission, Terms};
use crate::error::table::is_listed;
use crate::error::{Error, Sent, Source};
use crate::event::{ConnectionId, Event, Frame, RequestId, UpstreamId};
use crate::sim::random::Chance;
use crate::time::Time;
use crate::upstream::BreakerState;

/// What a kernel says of a connection that its peer has reset.
pub(super) const RESETS: [i32; 2] = [libc::ECONNRESET, libc::EPIPE];

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) party: usize,
    pub(super) at: Time,
    pub(super) deadline: Time,
    pub(super) bytes: usize,
    /// Where it is known: not of what came through the mailbox.
    pub(super) request: Option<RequestId>,
    /// The fallback took it as it was made.
    pub(super) is_handed_over: bool,
    /// The program took it back, and that ended it.
    pub(super) is_cancelled: bool,
    pub(super) ended: Option<Result<(), Error>>,
}

impl Run {
    /// Makes a request, or has another thread make it.
    pub(super) fn ask(&mut self, party: usize, bytes: usize, after: Duration) {
        let tag = self.asked.len() as u64;
        let mut line = super::dialect::payload(tag, bytes);
        line.push(b'\n');
        let (at, deadline) = (self.world.now(), self.world.now().after(after));
        let is_idempotent = is_idempotent(tag);
        let terms = Terms { tag, is_idempotent };
        let handed_over = self.handed_over(party);
        let made = match self.random.happens(self.options.by_mailbox) {
            true => self.submit(party, line, deadline, terms).map(|()| None),
            false => {
                let upstream = self.upstreams[party];
                let core = &mut self.client.core;
                core.request(upstream, &line, terms, |_, _, _| deadline)
                    .map(Some)
            }
        };
        self.world
            .note(&format!("ask {tag} until {deadline:?}: {made:?}"));
        // A full queue is an answer too, and the request never was.
        let (request, ended) = match made {
            Ok(request) => (request, None),
            Err(error) => {
                let is_refused = self.is_refused(party, &error, &[]);
                assert!(error.is_full() || is_refused, "{error}");
                self.is_over_its_rate(party, &error);
                (None, Some(Err(error)))
            }
        };
        self.open += usize::from(ended.is_none());
        self.asked.push(Asked {
            party,
            at,
            deadline,
            bytes,
            request,
            is_handed_over: self.handed_over(party) > handed_over,
            is_cancelled: false,
            ended,
        });
    }

    /// Whether it is an open breaker that fails a request; it must be open then, or have been before this turn.
    pub(super) fn is_refused(&self, party: usize, error: &Error, were_open: &[bool]) -> bool {
        let is_refused = matches!(error.source, Source::BreakerOpen { .. });
        let is_open = self.any_in_chain(party, |it| {
            were_open.get(it) == Some(&true) || self.is_breaker_open(it)
        });
        assert!(!is_refused || is_open, "{error}");
        is_refused
    }

    pub(super) fn is_breaker_open(&self, party: usize) -> bool {
        let stats = self.client.core.upstream_stats(self.upstreams[party]);
        stats.map(|stats| stats.breaker) != Some(BreakerState::Closed)
    }

    fn submit(
        &mut self,
        party: usize,
        payload: Vec<u8>,
        until: Time,
        terms: Terms,
    ) -> Result<(), Error> {
        let is_told_apart = self.random.happens(Chance(500));
        let wakes = self.client.core.mailbox().put(Submission {
            upstream: self.upstreams[party],
            payload,
            deadline: Some(until),
            terms,
            reply_to: is_told_apart.then(|| self.answers.0.clone()),
        })?;
        if wakes {
            self.client.core.kernel.wake();
        }
        Ok(())
    }

    /// An event of the client.
    pub(super) fn told(&mut self, event: &Event) {
        assert!(!self.is_drained, "after the end: {event:?}");
        match *event {
            Event::Reply {
                request,
                tag,
                frame,
            } => {
                let bytes = self.hold(frame);
                self.asked[tag as usize].request = Some(request);
                self.is_its_reply(tag, frame.connection(), &bytes);
                self.end(tag, Ok(()));
            }
            Event::Failed {
                request,
                tag,
                error,
            } => {
                self.asked[tag as usize].request = Some(request);
                self.end(tag, Err(error));
            }
            Event::Push {
                upstream,
                connection,
                frame,
            } => self.pushed(upstream, connection, frame),
            Event::BreakerOpen { upstream, .. } => {
                assert!(self.open_breakers.insert(upstream), "it is open already");
            }
            Event::BreakerClosed { upstream } => {
                assert!(self.open_breakers.remove(&upstream), "it was not open");
            }
            Event::Draining { left } => assert!(left > 0, "then it has ended"),
            Event::Drained { .. } => self.is_drained = true,
            Event::Up { upstream } => {
                assert_ne!(self.up.insert(upstream, true), Some(true), "it was up");
                self.has_shaken_hands(upstream);
            }
            Event::Down { upstream, .. } => {
                assert_ne!(self.up.insert(upstream, false), Some(false), "it was down");
            }
            _ => self.told_of_stream(event),
        }
    }

    /// A request of another thread has ended.
    pub(super) fn answered_elsewhere(&mut self, answer: Answer) {
        let Answer { tag, result } = answer;
        if let Ok(bytes) = &result {
            // On which connection it came is not said: that of its request, when that has left.
            match self.wire.places.get(&tag) {
                Some(place) => self.is_content(tag, place.token, bytes),
                None => assert_ne!(self.left(tag), Left::Nothing, "{tag} has not left"),
            }
        }
        self.end(tag, result.map(|_| ()));
    }

    /// The bytes of a frame that was just pulled; they are looked at again before the next turn.
    pub(super) fn hold(&mut self, frame: Frame) -> Vec<u8> {
        let bytes = self.client.bytes(&frame).expect("held until the next turn");
        let bytes = bytes.to_vec();
        self.held.push((frame, bytes.clone()));
        bytes
    }

    /// It came where its request went, behind the replies before it, and it is the right one.
    fn is_its_reply(&mut self, tag: u64, connection: ConnectionId, bytes: &[u8]) {
        let Some(place) = self.wire.places.get(&tag).copied() else {
            // Whoever says what answers nothing may say it while a part of this has left.
            assert_ne!(self.left(tag), Left::Nothing, "{tag} has not left");
            let is_rude = self.is_rude_at(connection.token());
            return assert!(is_rude, "{tag} was answered by nobody");
        };
        assert_eq!(connection.token(), place.token, "{tag} went elsewhere");
        self.went_its_way(tag, place.token);
        let dialect = self.options.parties[self.asked[tag as usize].party].dialect;
        let last = self.answered.insert(connection, place.nth);
        let is_behind = last.is_none_or(|last| last < place.nth);
        assert!(is_behind || dialect == Dialect::ById, "{tag} overtook");
        self.is_content(tag, place.token, bytes);
    }

    fn is_content(&self, tag: u64, token: u64, bytes: &[u8]) {
        let expected = self.reply_to(tag);
        if let Some(peer) = self.peer_at(token) {
            if self.is_rude_at(token) {
                return;
            }
            assert!(peer.seen.contains(&tag), "{tag} was answered by nobody");
        }
        assert_eq!(bytes, expected.payload, "another's reply for {tag}");
    }

    fn reply_to(&self, tag: u64) -> Spoken {
        let asked = &self.asked[tag as usize];
        let party = &self.options.parties[asked.party];
        party
            .dialect
            .reply(tag, asked.bytes, party.skips_above_bytes.is_some())
    }

    fn port_of(&self, token: u64) -> u16 {
        let tap = self.client.core.kernel.tap.as_ref();
        tap.map_or(0, |tap| tap.streams[&token].local.port())
    }

    /// Pushes of a connection: each once, and in order where nothing overtakes.
    fn pushed(&mut self, upstream: UpstreamId, connection: ConnectionId, frame: Frame) {
        let bytes = self.hold(frame);
        let party = self.upstreams.iter().position(|it| *it == upstream);
        let party = party.expect("an upstream of this client");
        let dialect = self.options.parties[party].dialect;
        if self.is_rude_at(connection.token()) {
            return;
        }
        assert!(dialect.has_pushes(), "{dialect:?} has none");
        let before = self.pushes.entry(connection).or_default();
        let nth = match dialect {
            Dialect::ById => (0..1_000).find(|nth| dialect.push(*nth).payload == bytes),
            _ => Some(before.len() as u64),
        };
        let nth = nth.expect("a push that was sent");
        assert_eq!(bytes, dialect.push(nth).payload, "not the next push");
        assert!(!before.contains(&nth), "push {nth} came twice");
        before.push(nth);
    }

    fn end(&mut self, tag: u64, how: Result<(), Error>) {
        let now = self.world.now();
        // Of a loop that is stalled, promptness is asked only when it no longer is.
        let prompt_from = if self.options.is_prompt() {
            Time::ZERO
        } else {
            self.healed_at
        };
        let asked = &mut self.asked[tag as usize];
        assert_eq!(asked.ended, None, "request {tag} ended twice");
        asked.ended = Some(how);
        let is_cancel = how.is_err_and(|error| error.source == Source::Cancelled);
        assert_eq!(is_cancel, asked.is_cancelled, "{tag} ended with {how:?}");
        self.open -= 1;
        let late = now.since(asked.deadline.max(prompt_from));
        let late_max = self.options.late_max();
        assert!(late <= late_max, "{tag} ended {late:?} late: {how:?}");
        match how {
            Ok(()) => assert!(self.may_be_told(tag), "{tag} is over the limit"),
            Err(error) => {
                // One that was made again says what was sent of it before, whatever it ends with.
                let last = match error.sent {
                    Sent::Maybe if is_idempotent(tag) => error.of_request(error.phase, Sent::No),
                    _ => error,
                };
                let is_listed = is_listed(&error) || is_listed(&last);
                assert!(is_listed, "{tag}: not in docs/errors.md: {error}");
                self.is_not_early(tag, &error);
                self.is_true(tag, &error);
            }
        }
    }

    fn is_not_early(&self, tag: u64, error: &Error) {
        let now = self.world.now();
        let asked = &self.asked[tag as usize];
        let waited = now.since(asked.at);
        match error.source {
            Source::Deadline => assert!(now >= asked.deadline, "{tag} ended early: {error}"),
            // Other timeouts are of the connection, and may have begun before.
            Source::Timeout(after) if after == self.options.client.timeouts.wait => {
                assert!(waited >= after, "{tag} waited {waited:?}: {error}");
            }
            _ => {}
        }
    }

    /// Whether the reply is not longer than may be told.
    fn may_be_told(&self, tag: u64) -> bool {
        let party = &self.options.parties[self.asked[tag as usize].party];
        let limit = party.skips_above_bytes.unwrap_or(usize::MAX);
        self.asked[tag as usize].bytes <= limit || self.is_rude(tag)
    }

    fn is_rude(&self, tag: u64) -> bool {
        let token = self.wire.token_of(tag, &self.sizes());
        token.is_some_and(|token| self.is_rude_at(token))
    }

    /// Whether its peer said on a connection what answers nothing.
    fn is_rude_at(&self, token: u64) -> bool {
        let peer = self.peer_at(token);
        peer.is_some_and(|peer| peer.rude_to.contains(&self.port_of(token)))
    }

    /// `sent` says what the kernel was given: nothing, some, or so much that the answer has begun.
    fn is_true(&self, tag: u64, error: &Error) {
        let seen = self.peers_of(tag).map(|peer| peer.seen.contains(&tag));
        let was_seen = seen.reduce(|one, other| one || other);
        match (error.sent, self.left(tag)) {
            (_, Left::Unclear) => {}
            (Sent::No, left) => {
                assert_eq!(left, Left::Nothing, "{tag} was sent: {error}");
                assert_ne!(was_seen, Some(true), "{tag} came: {error}");
            }
            (_, left) => assert_eq!(left, Left::Some, "{tag} was not sent: {error}"),
        }
        if error.sent == Sent::Yes && !self.is_rude(tag) {
            assert_ne!(was_seen, Some(false), "{tag} came to nobody: {error}");
        }
        if let Source::Oversize { .. } = error.source
            && error.sent == Sent::Yes
            && !self.is_rude(tag)
        {
            let skips = self.options.parties[self.asked[tag as usize].party].skips_above_bytes;
            let whole = self.reply_to(tag).payload.len();
            assert!(skips.is_none_or(|limit| whole > limit), "{tag}: {error}");
        }
    }

    fn left(&self, tag: u64) -> Left {
        self.wire.left(tag, &self.sizes())
    }

    /// Of each request, by tag.
    fn sizes(&self) -> Vec<usize> {
        self.asked.iter().map(|asked| asked.bytes).collect()
    }

    /// What ended with its connection's end in peace did so in this turn, and there was a FIN; what was lost with a
    /// connection that was reset is told as the kernel told it first.
    pub(super) fn was_ended_so(&self, tag: u64, error: &Error) {
        if let (Some(tap), Source::Os(errno)) = (&self.client.core.kernel.tap, error.source)
            && RESETS.contains(&errno)
        {
            let is_so = tap.ended.iter().any(|ended| ended.died_of == Some(errno));
            assert!(is_so, "{tag}: no connection was lost so: {error}");
        }
        let is_eof = error.source == Source::Eof && !self.has_rude_peer(tag);
        let Some(tap) = self.client.core.kernel.tap.as_ref().filter(|_| is_eof) else {
            return;
        };
        let has_fin = tap.ended.iter().any(|ended| ended.has_fin);
        assert!(has_fin, "{tag}: nobody ended it: {error}");
    }

    /// Parting words on its connection, or on any where it is not known on which it would have gone: of such an end
    /// it is told that the peer has gone, and not how.
    fn has_rude_peer(&self, tag: u64) -> bool {
        let mut peers = self.peers_of(tag).peekable();
        peers.peek().is_none()
            || match self.wire.token_of(tag, &self.sizes()) {
                Some(token) => self.is_rude_at(token),
                None => peers.any(|peer| !peer.rude_to.is_empty()),
            }
    }
}
