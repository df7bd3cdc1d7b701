//! What a request is promised, checked as it ends.

use super::run::Run;
use crate::error::{Error, Sent, Source};
use crate::event::Event;
use crate::time::Time;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) at: Time,
    pub(super) deadline: Time,
    pub(super) bytes: usize,
    pub(super) ended: Option<Result<(), Error>>,
}

/// A request's line: its tag, and a pattern of its own.
pub(super) fn payload(tag: u64, bytes: usize) -> Vec<u8> {
    let mut line = format!("{tag:08}:").into_bytes();
    line.extend((line.len()..bytes).map(|at| b'a' + ((tag as usize * 7 + at) % 26) as u8));
    line
}

pub(super) fn tag_of(line: &[u8]) -> Option<u64> {
    std::str::from_utf8(line.get(..8)?).ok()?.parse().ok()
}

impl Run {
    pub(super) fn ended(&mut self, event: &Event) {
        self.world.note(&format!("{event:?}"));
        match event {
            Event::Reply { tag, frame, .. } => {
                let expected = payload(*tag, self.asked[*tag as usize].bytes);
                let bytes = self.client.bytes(frame).expect("held until the next turn");
                assert_eq!(bytes, expected, "another's reply for {tag}");
                assert!(self.peer.seen.contains(tag), "{tag} was answered by nobody");
                let last = self.last.insert(frame.connection(), *tag);
                assert!(
                    last.is_none_or(|last| last < *tag),
                    "{tag} answered after {last:?}"
                );
                self.end(*tag, Ok(()));
            }
            Event::Failed { tag, error, .. } => self.end(*tag, Err(*error)),
            other => panic!("an upstream's connections say nothing themselves: {other:?}"),
        }
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
        self.open -= 1;
        let late = now.since(asked.deadline.max(prompt_from));
        assert!(
            late <= self.options.late_max(),
            "{tag} ended {late:?} late: {how:?}"
        );
        let Err(error) = how else { return };
        match error.source {
            Source::Deadline => assert!(now >= asked.deadline, "{tag} ended early: {error}"),
            // Other timeouts are of the connection, and may have begun before.
            Source::Timeout(after) if after == self.options.client.timeouts.wait => {
                let waited = now.since(asked.at);
                assert!(waited >= after, "{tag} waited {waited:?}: {error}");
            }
            _ => {}
        }
        if error.sent == Sent::No {
            assert!(!self.peer.seen.contains(&tag), "{tag} was sent: {error}");
        }
    }

    /// What was said not to have been sent must not turn up later either.
    pub(super) fn never_sent(&self) {
        for (tag, asked) in self.asked.iter().enumerate() {
            if let Some(Err(error)) = asked.ended.filter(|e| e.is_err_and(|e| e.sent == Sent::No)) {
                assert!(
                    !self.peer.seen.contains(&(tag as u64)),
                    "{tag} was sent: {error}"
                );
            }
        }
    }
}
