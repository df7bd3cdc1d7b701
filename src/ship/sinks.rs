//! Which sink is tried next, and when: the first in order whose pause is over.
//!
//! The pauses are those of the upstreams ([`Backoff`]: full jitter, a doubling ceiling, reset by stable uptime), each
//! sink has its own, and a sink that has proved to read lines begins anew. There is no breaker besides: nothing fails
//! fast here, since lines wait in the journal; the pause is what protects the sink.
//!
//! Until a connection has stood, sinks that were not tried go before those that failed: so it is known before the first
//! line whether any can be reached.

use std::sync::Arc;

use crate::config::Reconnect;
use crate::error::Class;
use crate::session::{Sessions, WithHost};
use crate::time::Time;
use crate::upstream::{Backoff, Failing, split_target};

#[derive(Debug)]
pub(super) struct Sinks {
    targets: Vec<String>,
    /// What runs above TCP with each, where anything does.
    sessions: Option<Vec<Arc<dyn Sessions>>>,
    pauses: Vec<Backoff>,
    rules: Reconnect,
    /// Those that are known never to say TLS's close_notify.
    untold: Vec<usize>,
    /// So many of the first were tried.
    tried: usize,
    /// A connection to one of them has stood.
    has_stood: bool,
}

impl Sinks {
    pub(super) fn new(
        targets: Vec<String>,
        sessions: Option<&Arc<dyn Sessions>>,
        rules: Reconnect,
    ) -> Sinks {
        let pauses = targets.iter().map(|_| Backoff::new()).collect();
        let with_each = |it| targets.iter().map(|target| with_host(it, target)).collect();
        Sinks {
            sessions: sessions.map(with_each),
            targets,
            pauses,
            rules,
            untold: Vec::new(),
            tried: 0,
            has_stood: false,
        }
    }

    /// None has stood, and some were not tried.
    pub(super) fn is_to_be_explored(&self) -> bool {
        !self.has_stood && self.tried < self.targets.len()
    }

    /// A connection to it is begun, or its witness could not be made.
    pub(super) fn handle_begun(&mut self, sink: usize) {
        self.tried = self.tried.max(sink + 1);
    }

    /// The sink that may be tried now.
    ///
    /// # Errors
    /// None may be: when the first pause is over.
    pub(super) fn next(&self, now: Time) -> Result<usize, Time> {
        if self.is_to_be_explored() {
            return Ok(self.tried);
        }
        let ready = self.pauses.iter().position(|it| it.until() <= now);
        let first = self.pauses.iter().map(Backoff::until).min();
        ready.ok_or(first.unwrap_or(Time::NEVER))
    }

    pub(super) fn target(&self, sink: usize) -> &str {
        &self.targets[sink]
    }

    /// What runs above TCP with it: with its own host, whichever address is connected to.
    pub(super) fn sessions(&self, sink: usize) -> Option<&Arc<dyn Sessions>> {
        self.sessions.as_ref().map(|all| &all[sink])
    }

    /// A connection to it stands.
    pub(super) fn handle_connected(&mut self, sink: usize, now: Time) {
        self.has_stood = true;
        self.pauses[sink].handle_connected(now);
    }

    /// It has read lines: whatever failed before is past.
    pub(super) fn handle_progress(&mut self, sink: usize, now: Time) {
        let until = self.pauses[sink].until();
        if until <= now {
            self.pauses[sink] = Backoff::new();
            self.pauses[sink].handle_connected(now);
        }
    }

    /// It never says TLS's close_notify: its name, where that is to be told.
    pub(super) fn handle_untold(&mut self, sink: usize) -> Option<&str> {
        let is_new = !self.untold.contains(&sink);
        if is_new {
            self.untold.push(sink);
        }
        is_new.then(|| self.targets[sink].as_str())
    }

    /// A connection to it was lost, or could not be made.
    pub(super) fn handle_failed(&mut self, sink: usize, now: Time, class: Class, random: u64) {
        let pause = &mut self.pauses[sink];
        pause.count(now, class, Failing::All, false, &self.rules);
        pause.pause(now, class, Failing::All, random, &self.rules);
    }
}

fn with_host(sessions: &Arc<dyn Sessions>, target: &str) -> Arc<dyn Sessions> {
    let host = split_target(target).map_or(target, |(host, _)| host);
    Arc::new(WithHost {
        sessions: sessions.clone(),
        host: host.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(ms))
    }

    #[test]
    fn the_first_sink_in_order_whose_pause_is_over_is_next() {
        let targets = ["a:1", "b:2"].map(str::to_owned).to_vec();
        let mut sinks = Sinks::new(targets, None, Reconnect::default());
        sinks.handle_connected(0, at(0));
        assert_eq!(sinks.next(at(0)), Ok(0));
        sinks.handle_failed(0, at(0), Class::Transient, u64::MAX);
        assert_eq!(sinks.next(at(0)), Ok(1));
        sinks.handle_failed(1, at(1), Class::Transient, u64::MAX);
        let Err(until) = sinks.next(at(1)) else {
            panic!("both have failed");
        };
        assert!(until > at(99) && until <= at(100), "{until:?}");
        assert_eq!(sinks.next(at(100)), Ok(0));
    }

    /// However short the pause of one that failed is.
    #[test]
    fn each_sink_is_tried_once_before_one_is_tried_again_until_one_has_stood() {
        let targets = ["a:1", "b:2", "c:3"].map(str::to_owned).to_vec();
        let mut sinks = Sinks::new(targets, None, Reconnect::default());
        for sink in 0..3 {
            assert!(sinks.is_to_be_explored());
            assert_eq!(sinks.next(at(0)), Ok(sink));
            sinks.handle_begun(sink);
            sinks.handle_failed(sink, at(0), Class::Transient, 0);
        }
        assert!(!sinks.is_to_be_explored());
        assert_eq!(sinks.next(at(1)), Ok(0));
    }

    #[test]
    fn a_sink_that_reads_begins_anew() {
        let mut sinks = Sinks::new(vec!["a:1".to_owned()], None, Reconnect::default());
        sinks.handle_connected(0, at(0));
        for _ in 0..10 {
            sinks.handle_failed(0, at(0), Class::Transient, u64::MAX);
        }
        assert!(sinks.next(at(9_000)).is_err());
        sinks.handle_progress(0, at(20_000));
        sinks.handle_failed(0, at(20_000), Class::Transient, u64::MAX);
        assert_eq!(sinks.next(at(20_100)), Ok(0));
    }
}
