//! The race of a name's addresses for one connection: happy eyeballs (RFC 8305).
//!
//! Addresses are tried in the order of their name's (families take turns, §4), after the one that won the last time.
//! The next is tried as soon as one has failed, or `connect_next` after the last was begun while none has
//! answered (§5); a few at a time. The first that stands wins. getaddrinfo answers for both families at once, so there
//! is no answer to wait for (§3).
//!
//! Never: a socket. It says which address is to be tried; who tries it tells what came of it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{Limits, Timeouts};
use crate::error::{Class, Error, Phase, Source};
use crate::time::Time;

/// How a race is run; see the fields of the same names in `Timeouts` and `Limits`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    connect_next: Duration,
    connect_address: Duration,
    connect_attempts_max: usize,
}

impl Rules {
    pub(crate) fn new(timeouts: &Timeouts, limits: &Limits) -> Rules {
        Rules {
            connect_next: timeouts.connect_next,
            connect_address: timeouts.connect_address,
            connect_attempts_max: limits.connect_attempts_max,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Race {
    rules: Rules,
    waiting: VecDeque<SocketAddr>,
    /// With the end of each attempt; the last address of all may use up what the whole connect has left.
    running: Vec<(SocketAddr, Time)>,
    /// Until then the last that was begun runs alone.
    next_at: Time,
    /// What is told when all have failed.
    last_error: Option<Error>,
}

impl Race {
    /// A race of these addresses, each of which is named once, in this order; `favourite` first if it is one of them.
    pub(crate) fn new(
        now: Time,
        addresses: &[SocketAddr],
        favourite: Option<SocketAddr>,
        rules: Rules,
    ) -> Race {
        let favourite = favourite.filter(|address| addresses.contains(address));
        let others = addresses.iter().copied();
        let others = others.filter(|address| Some(*address) != favourite);
        let waiting = favourite.into_iter().chain(others).collect();
        Race {
            rules,
            waiting,
            running: Vec::new(),
            next_at: now,
            last_error: None,
        }
    }

    /// The address that is to be tried now.
    pub(crate) fn poll_attempt(&mut self, now: Time) -> Option<SocketAddr> {
        if self.next_attempt_at() > now {
            return None;
        }
        let address = self.waiting.pop_front()?;
        let end = match self.waiting.is_empty() {
            true => Time::NEVER,
            false => now.after(self.rules.connect_address),
        };
        self.running.push((address, end));
        self.next_at = now.after(self.rules.connect_next);
        Some(address)
    }

    /// An attempt is done with. Where this machine lacks what each needs, no other address does better.
    pub(crate) fn handle_failed(&mut self, now: Time, address: SocketAddr, error: Error) {
        self.running.retain(|(running, _)| *running != address);
        // What only this machine lacks for one of them says less than what another address answered.
        let says_more = error.class != Class::Resource || self.last_error.is_none();
        if says_more {
            self.last_error = Some(error);
        }
        self.next_at = now;
        if error.is_want_for_all_addresses() {
            self.waiting.clear();
        }
    }

    /// An attempt has won, but what is to run on it may still fail: the others are given up, and may be tried after it.
    pub(crate) fn handle_won(&mut self, winner: SocketAddr) {
        while let Some((address, _)) = self.running.pop() {
            if address != winner {
                self.waiting.push_front(address);
            }
        }
    }

    /// Whether another address may be tried after the one that has won.
    pub(crate) fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An attempt that has used up its time, with the error that it failed with.
    pub(crate) fn overdue(&self, now: Time) -> Option<(SocketAddr, Error)> {
        let (address, _) = self.running.iter().find(|(_, end)| *end <= now)?;
        let source = Source::Timeout(self.rules.connect_address);
        Some((*address, Error::new(Phase::Connect, source)))
    }

    /// When it next wants something.
    pub(crate) fn poll_timeout(&self) -> Time {
        let ends = self.running.iter().map(|(_, end)| *end);
        ends.fold(self.next_attempt_at(), Time::min)
    }

    /// No address is left, and none is being tried: with the last error, if there was any address at all.
    pub(crate) fn lost(&self) -> Option<Option<Error>> {
        (self.waiting.is_empty() && self.running.is_empty()).then_some(self.last_error)
    }

    fn next_attempt_at(&self) -> Time {
        let has_room = self.running.len() < self.rules.connect_attempts_max;
        match has_room && !self.waiting.is_empty() {
            true => self.next_at,
            false => Time::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::errno;

    fn v4(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn v6(last: u16) -> SocketAddr {
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 80))
    }

    fn at(ms: u64) -> Time {
        Time::ZERO.after(Duration::from_millis(ms))
    }

    fn race(addresses: &[SocketAddr], favourite: Option<SocketAddr>) -> Race {
        let rules = Rules::new(&Timeouts::default(), &Limits::default());
        Race::new(at(0), addresses, favourite, rules)
    }

    /// ECONNREFUSED.
    fn refused() -> Error {
        Error::new(Phase::Connect, Source::Os(111))
    }

    /// EMFILE.
    fn lacking() -> Error {
        Error::new(Phase::Connect, Source::Os(24))
    }

    /// All addresses in the order in which they are tried when each fails at once.
    fn order(mut race: Race) -> Vec<SocketAddr> {
        let mut tried = Vec::new();
        while let Some(address) = race.poll_attempt(at(0)) {
            tried.push(address);
            race.handle_failed(at(0), address, refused());
        }
        assert_eq!(race.lost(), Some(Some(refused())));
        tried
    }

    #[test]
    fn the_last_winner_goes_first_if_it_is_one_of_them() {
        let addresses = [v6(1), v4(1), v4(2)];
        let no_longer = Some(v4(9));
        assert_eq!(order(race(&addresses, Some(v4(2)))), [v4(2), v6(1), v4(1)]);
        assert_eq!(order(race(&addresses, no_longer)), addresses);
    }

    #[test]
    fn the_next_is_tried_after_a_quarter_of_a_second_or_at_once_when_one_has_failed() {
        let mut race = race(&[v4(1), v4(2), v4(3)], None);
        assert_eq!(race.poll_attempt(at(0)), Some(v4(1)));
        assert_eq!(race.poll_attempt(at(249)), None);
        assert_eq!(race.poll_timeout(), at(250));
        assert_eq!(race.poll_attempt(at(250)), Some(v4(2)));
        race.handle_failed(at(260), v4(1), refused());
        assert_eq!(race.poll_attempt(at(260)), Some(v4(3)));
        assert_eq!(race.lost(), None);
    }

    #[test]
    fn four_are_tried_at_a_time_and_each_but_the_last_has_three_seconds() {
        let mut race = race(&[v4(1), v4(2), v4(3), v4(4), v4(5)], None);
        for n in 1..=4 {
            assert_eq!(race.poll_attempt(at(250 * n)), Some(v4(n as u8)));
        }
        assert_eq!(race.poll_attempt(at(2_000)), None);
        assert_eq!(race.poll_timeout(), at(3_250));
        assert_eq!(race.overdue(at(3_249)), None);
        let (address, error) = race.overdue(at(3_250)).unwrap();
        assert_eq!(address, v4(1));
        race.handle_failed(at(3_250), address, error);
        assert_eq!(race.poll_attempt(at(3_250)), Some(v4(5)));
        for n in 2..=4 {
            let (address, error) = race.overdue(at(60_000)).unwrap();
            assert_eq!((address, error.phase), (v4(n), Phase::Connect));
            race.handle_failed(at(60_000), address, error);
        }
        assert_eq!(race.overdue(at(60_000)), None);
        assert!(race.poll_timeout().is_never());
    }

    #[test]
    fn where_the_machine_lacks_something_no_other_address_is_tried() {
        let mut race = race(&[v4(1), v4(2), v4(3)], None);
        race.poll_attempt(at(0));
        race.poll_attempt(at(250));
        race.handle_failed(at(300), v4(2), lacking());
        assert_eq!(race.poll_attempt(at(900)), None);
        // What is under way may still win.
        assert_eq!(race.lost(), None);
        race.handle_failed(at(1_000), v4(1), refused());
        assert_eq!(race.lost(), Some(Some(refused())));
    }

    /// The race ended, and a container without IPv6 could not connect to `localhost`.
    #[test]
    fn an_address_for_which_there_is_none_of_this_machines_costs_the_others_nothing() {
        for errno in [errno::EADDRNOTAVAIL, errno::EADDRINUSE] {
            let mut race = race(&[v6(1), v4(1)], None);
            assert_eq!(race.poll_attempt(at(0)), Some(v6(1)));
            race.handle_failed(at(0), v6(1), Error::new(Phase::Connect, Source::Os(errno)));
            assert_eq!(race.poll_attempt(at(0)), Some(v4(1)));
        }
    }

    #[test]
    fn what_an_address_answered_is_told_before_what_this_machine_lacks_for_another() {
        let lacking = Error::new(Phase::Connect, Source::Os(errno::EADDRNOTAVAIL));
        for errors in [[refused(), lacking], [lacking, refused()]] {
            let mut race = race(&[v6(1), v4(1)], None);
            for error in errors {
                let address = race.poll_attempt(at(0)).unwrap();
                race.handle_failed(at(0), address, error);
            }
            assert_eq!(race.lost(), Some(Some(refused())));
        }
    }

    #[test]
    fn a_race_without_an_address_is_lost_from_the_start() {
        assert_eq!(race(&[], None).lost(), Some(None));
    }
}
