//! The raw connections of a client's program: what it does with them, and what each is promised.
//!
//! `Connected` at most once and first, then frames without a gap, then `Closed` once and nothing more;
//! `written` is what the kernel took; what was told is what came, and all of it where the peer ended in
//! peace.

use std::time::Duration;

use super::guests::name_of_stream;
use super::promises::RESETS;
use super::run::Run;
use super::sealed::Sealer;
use super::tape::{Script, Tape};
use crate::error::table::is_listed;
use crate::error::{Error, Source};
use crate::event::{ConnectionId, Event, Frame};
use crate::sim::random::Chance;
use crate::sim::tap::Stream as Tapped;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Stream {
    opened_at: Time,
    /// All that was queued on it.
    queued: Vec<u8>,
    is_connected: bool,
    is_half_closed: bool,
    is_over: bool,
    /// The program has ended it.
    is_closing: bool,
    /// How often `Writable` may still be told.
    writables: u32,
    script: Script,
    /// Frames told, and bytes of the stream that they took.
    frames: usize,
    told_bytes: usize,
    /// Bytes of what was skipped, which offsets do not count.
    skipped_bytes: usize,
    acts_left: u64,
    next_act: Time,
}

impl Stream {
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Run {
    /// Opens one more connection, now and then.
    pub(super) fn open_stream(&mut self) {
        let options = &self.options.streams;
        if self.streams_made >= options.count || !self.random.happens(Chance(500)) {
            return;
        }
        let address = self.hosts[self.upstreams.len()].address;
        let target = match self.streams_made.checked_rem(options.names) {
            Some(number) => format!("{}:{}", name_of_stream(number), address.port()),
            None => address.to_string(),
        };
        let framing = options.tape.framing();
        let now = self.world.now();
        let sealer = self.sealer.as_ref().filter(|it| it.seals(None));
        let sessions = sealer.map(Sealer::clients);
        let core = &mut self.client.core;
        let made = core.connect_through(&target, &framing, sessions.as_ref());
        self.world.note(&format!("connect: {made:?}"));
        let id = match made {
            Ok(id) => id,
            Err(error) => return assert!(error.is_full(), "{error}"),
        };
        self.streams_made += 1;
        let stream = Stream {
            opened_at: now,
            queued: Vec::new(),
            is_connected: false,
            is_half_closed: false,
            is_over: false,
            is_closing: false,
            writables: 0,
            script: Script::default(),
            frames: 0,
            told_bytes: 0,
            skipped_bytes: 0,
            acts_left: self.random.within(0..=6),
            next_act: now,
        };
        let before = self.streams.insert(id, stream);
        assert!(before.is_none(), "{id} was another's");
    }

    /// When the program wants to do something of itself.
    pub(super) fn next_act(&self) -> Time {
        let live = self.streams.values().filter(|stream| !stream.is_closing);
        live.map(|stream| stream.next_act)
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// What the program does now.
    pub(super) fn act(&mut self) {
        let now = self.world.now();
        let is_due = |stream: &Stream| !stream.is_closing && stream.next_act <= now;
        let due = self.streams.iter().filter(|(_, stream)| is_due(stream));
        let due: Vec<ConnectionId> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.act_on(id, now);
        }
    }

    fn act_on(&mut self, id: ConnectionId, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.acts_left == 0 {
            // It is left to its peer, to a timeout, or to the end of the run.
            stream.next_act = Time::NEVER;
            return;
        }
        stream.acts_left -= 1;
        let pause = self.random.within(self.options.pause_nanos.clone());
        stream.next_act = now.after(Duration::from_nanos(1 + pause));
        let core = &mut self.client.core;
        match self.random.within(0..=9) {
            0 => {
                stream.is_closing = true;
                let _ = core.close(id);
            }
            1 => {
                stream.is_closing = true;
                let _ = core.abort(id);
            }
            2 => stream.writables += u32::from(core.notify_writable(id).is_ok()),
            _ => {
                let bytes = self.random.within(self.options.streams.send_bytes.clone());
                let from = stream.queued.len();
                let bytes: Vec<u8> = (from..from + bytes as usize).map(pattern).collect();
                match core.send(id, &bytes) {
                    Ok(()) => stream.queued.extend(bytes),
                    Err(error) => stream.writables += u32::from(error.is_full()),
                }
            }
        }
    }

    /// The program ends all of them.
    pub(super) fn end_streams(&mut self) {
        for (id, stream) in &mut self.streams {
            stream.is_closing = true;
            let _ = self.client.core.close(*id);
        }
    }

    /// A drain has closed all of them.
    pub(super) fn streams_are_drained(&mut self) {
        for stream in self.streams.values_mut() {
            stream.is_closing = true;
        }
    }

    /// An event of a raw connection.
    pub(super) fn told_of_stream(&mut self, event: &Event) {
        let Some(id) = event.connection() else {
            panic!("of nobody: {event:?}");
        };
        if let Event::Frame { frame, .. } = event {
            self.hold(*frame);
        }
        let tap = self.client.core.kernel.tap.as_ref();
        let tapped = tap.and_then(|tap| tap.streams.get(&id.token()));
        let Some(stream) = self.streams.get_mut(&id) else {
            panic!("an upstream's connections say nothing themselves: {event:?}");
        };
        assert!(!stream.is_over, "after its end: {event:?}");
        let is_first = matches!(event, Event::Connected { .. } | Event::Closed { .. });
        assert!(
            stream.is_connected || is_first,
            "before it stood: {event:?}"
        );
        match *event {
            Event::Connected { .. } => {
                assert!(!stream.is_connected, "{id} stands twice");
                let is_over = tapped.is_none_or(super::sealed::is_over);
                assert!(is_over, "{id} stands before its handshake is over");
                stream.is_connected = true;
                let port = tapped.map_or(0, |tapped| tapped.local.port());
                let options = &self.options.streams;
                stream.script = options.tape.script(port, options.bytes);
            }
            Event::Frame { frame, .. } => {
                let bytes = self.held.last().map(|(_, bytes)| &bytes[..]);
                let tape = self.options.streams.tape;
                stream.is_next(tape, frame, bytes.unwrap_or_default());
            }
            Event::Skipped { bytes, .. } => stream.is_next_skipped(bytes),
            Event::Writable { .. } => {
                assert!(stream.writables > 0, "{id}: nobody asked");
                stream.writables -= 1;
            }
            Event::HalfClosed { .. } => {
                assert!(!stream.is_half_closed, "{id} was half closed twice");
                assert!(self.options.client.half_close, "not allowed");
                stream.is_half_closed = true;
            }
            Event::Closed { error, written, .. } => {
                stream.is_over = true;
                stream.is_closing = true;
                let is_known = error.is_none_or(|error| is_listed(&error));
                assert!(is_known, "not in docs/errors.md: {error:?}");
                stream.ends_well(tapped, error, written);
                let timeouts = self.options.client.timeouts;
                let lived = self.world.now().since(stream.opened_at);
                if let Some(Source::Timeout(after)) = error.map(|error| error.source) {
                    assert!(lived >= after, "{id} was given up after {lived:?}");
                    assert!(stream.is_connected || after <= timeouts.connect);
                }
            }
            _ => panic!("not of a raw connection: {event:?}"),
        }
    }
}

impl Stream {
    /// The next of what its peer says, where the last one ended.
    fn is_next(&mut self, tape: Tape, frame: Frame, bytes: &[u8]) {
        let (start, end, consumed) = match tape {
            Tape::Raw => {
                let end = self.told_bytes + bytes.len();
                (self.told_bytes, end, end)
            }
            _ => {
                let told = self.script.frames.get(self.frames);
                let told = told.expect("no more was said");
                assert!(!told.is_skipped, "a frame over the limit was told");
                (told.start, told.end, told.consumed)
            }
        };
        let said = self.script.bytes.get(start..end);
        assert_eq!(Some(bytes), said, "not what comes next");
        let place = frame.offset as usize + self.skipped_bytes;
        assert!(
            place == start || self.skipped_bytes > 0 && place <= start + self.skipped_bytes,
            "at {} instead of {start}",
            frame.offset
        );
        self.told_bytes = consumed;
        self.frames += 1;
    }

    fn is_next_skipped(&mut self, bytes: u64) {
        let told = self.script.frames.get(self.frames);
        let told = told.expect("no more was said");
        assert!(told.is_skipped, "a frame within the limit was skipped");
        assert_eq!(bytes as usize, told.end - told.start);
        self.skipped_bytes += told.consumed - self.told_bytes;
        self.told_bytes = told.consumed;
        self.frames += 1;
    }

    fn ends_well(&self, tapped: Option<&Tapped>, error: Option<Error>, written: u64) {
        let Some(tapped) = tapped else {
            return assert_eq!(written, 0, "it never had a socket");
        };
        let left = &tapped.written;
        assert_eq!(written, left.len() as u64, "not what the kernel took");
        assert!(self.queued.starts_with(left), "not what was queued");
        let Some(ended) = tapped.ended.filter(|_| self.is_connected) else {
            return assert!(error.is_some(), "it ended in peace without standing");
        };
        let delivered = ended.delivered_bytes as usize;
        assert!(self.told_bytes <= delivered, "more was told than came");
        match error.map(|error| error.source) {
            None => {
                assert!(ended.has_fin, "nobody ended it");
                assert_eq!(left.len(), self.queued.len(), "not all was written");
                assert_eq!(self.told_bytes, delivered, "not all was told");
            }
            Some(Source::Eof) => {
                assert!(ended.has_fin, "nobody ended it");
                assert_eq!(self.told_bytes, delivered, "not all was told");
            }
            Some(Source::Truncated { received }) => {
                let tail = delivered - self.told_bytes;
                assert_eq!(received as usize, tail, "of the last frame");
            }
            Some(Source::Os(errno)) if RESETS.contains(&errno) => {
                assert_eq!(ended.unread_bytes, 0, "what was said last was not read");
                assert_eq!(ended.died_of, Some(errno), "not what the kernel told first");
            }
            _ => {}
        }
    }
}

fn pattern(at: usize) -> u8 {
    b'A' + (at % 23) as u8
}
