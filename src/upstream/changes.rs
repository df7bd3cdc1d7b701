//! What the program is told of the state of an upstream: that it is up or down, and what its breaker does.
//!
//! A flapping server must not fill the queue of events: of each kind of state at most one change waits, the latest,
//! and the next is handed out only when the program has pulled the one before ([`Changes::handle_pulled`]). A state
//! that was left and come back to in between is not told.

use crate::error::Error;
use crate::time::Time;

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A connection stands again, or for the first time.
    Up,
    /// No connection stands, and none can be made for now.
    Down { error: Error, retry_at: Time },
    /// Requests are refused at once, until then.
    BreakerOpen { until: Time },
    /// Requests are let through again.
    BreakerClosed,
}

impl Change {
    /// What it is a state of: the connections, or the breaker.
    fn is_of_breaker(self) -> bool {
        matches!(self, Change::BreakerOpen { .. } | Change::BreakerClosed)
    }
}

/// One kind of state.
#[derive(Debug, Default)]
struct Told {
    /// What was handed out last.
    last: Option<Change>,
    /// It has not been pulled yet.
    is_unpulled: bool,
    /// What has come since.
    next: Option<Change>,
}

/// One kind of state, told to whoever does not keep others waiting.
#[derive(Debug, Default)]
struct Noted {
    last: Option<Change>,
    next: Option<Change>,
}

#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Of the connections, and of the breaker.
    kinds: [Told; 2],
    /// The same as a log has it.
    noted: [Noted; 2],
    /// Something is to be noted: asked after each reply, so it costs one look when there is nothing.
    is_news: bool,
    is_asked_for: bool,
    /// Something was put or pulled since [`Changes::handle_told`]. It is asked after each reply, so the kinds are not
    /// looked through for it (some 100 instructions a request).
    has_news: bool,
}

impl Changes {
    /// What the program has asked to be told of, or not.
    pub(super) fn new(is_asked_for: bool) -> Changes {
        Changes {
            is_asked_for,
            ..Changes::default()
        }
    }

    /// The state has changed.
    pub(super) fn put(&mut self, change: Change) {
        self.has_news = true;
        self.noted[usize::from(change.is_of_breaker())].next = Some(change);
        self.is_news = true;
        if self.is_asked_for {
            self.kinds[usize::from(change.is_of_breaker())].next = Some(change);
        }
    }

    /// Whether there may be something to tell or to note.
    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// All that could be told and noted was.
    pub(super) fn handle_told(&mut self) {
        self.has_news = false;
    }

    /// What is to be told now.
    pub(super) fn poll(&mut self) -> Option<Change> {
        let kinds = self.kinds.iter_mut();
        kinds.filter(|kind| !kind.is_unpulled).find_map(|kind| {
            let next = kind.next.take()?;
            let is_as_before = kind.last.is_some_and(|last| is_alike(last, next));
            kind.is_unpulled = !is_as_before;
            kind.last = Some(next);
            (!is_as_before).then_some(next)
        })
    }

    /// What is to be noted now, of a state other than that noted before.
    pub(super) fn poll_noted(&mut self) -> Option<Change> {
        if !self.is_news {
            return None;
        }
        let news = self.noted.iter_mut().find_map(|kind| {
            let next = kind.next.take()?;
            let is_as_before = kind.last.is_some_and(|last| is_alike(last, next));
            kind.last = Some(next);
            (!is_as_before).then_some(next)
        });
        self.is_news = news.is_some();
        news
    }

    /// The program has pulled what was told of this kind.
    pub(super) fn handle_pulled(&mut self, change_is_of_breaker: bool) {
        self.has_news = true;
        self.kinds[usize::from(change_is_of_breaker)].is_unpulled = false;
    }
}

/// Whether both say the same state.
fn is_alike(a: Change, b: Change) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Phase, Source};

    const DOWN: Change = Change::Down {
        error: Error {
            class: crate::error::Class::Transient,
            phase: Phase::Connect,
            sent: crate::error::Sent::No,
            source: Source::Eof,
        },
        retry_at: Time::ZERO,
    };

    #[test]
    fn one_change_of_a_kind_waits_to_be_pulled_and_the_latest_follows() {
        let mut changes = Changes::new(true);
        changes.put(Change::Up);
        assert_eq!(changes.poll(), Some(Change::Up));
        changes.put(DOWN);
        assert_eq!(changes.poll(), None, "the one before is to be pulled first");
        changes.put(Change::BreakerClosed);
        assert_eq!(changes.poll(), Some(Change::BreakerClosed), "another kind");
        changes.handle_told();
        assert!(!changes.has_news());
        changes.handle_pulled(false);
        assert!(changes.has_news(), "the next of that kind may be told");
        assert_eq!(changes.poll(), Some(DOWN));
        assert_eq!(changes.poll(), None);
    }

    #[test]
    fn each_change_is_noted_whether_the_program_asked_or_pulls() {
        let mut changes = Changes::new(false);
        for change in [Change::Up, DOWN, Change::Up] {
            changes.put(change);
            assert_eq!(changes.poll(), None);
            assert_eq!(changes.poll_noted(), Some(change));
            changes.put(change);
            assert_eq!(changes.poll_noted(), None, "it is so already");
        }
    }

    #[test]
    fn a_state_that_was_left_and_come_back_to_is_not_told() {
        let mut changes = Changes::new(true);
        changes.put(Change::Up);
        assert_eq!(changes.poll(), Some(Change::Up));
        changes.put(DOWN);
        changes.put(Change::Up);
        changes.handle_pulled(false);
        assert_eq!(changes.poll(), None);
    }
}
