//! The breaker beside a model that keeps a plain list of all that ended and looks through it from end to end: whatever
//! happens, both are in the same state, make legal moves only, and lease to one trial at a time.

use proptest::prelude::*;

use super::super::trials::LATE_MAX;
use super::super::*;
use super::made;

/// What it should be: every end of a request with its time, looked through from end to end.
struct Model {
    rules: Breaker,
    state: BreakerState,
    ends: Vec<(u128, bool)>,
    connects: u32,
    breaches: u32,
    until: Time,
    for_connects: bool,
    /// Those that are heard; of more than so many late ones the newest is not.
    trials: Vec<u64>,
    lease: Option<(u64, Time)>,
}

impl Model {
    fn new(rules: Breaker) -> Model {
        Model {
            rules,
            state: BreakerState::Closed,
            ends: Vec::new(),
            connects: 0,
            breaches: 0,
            until: Time::ZERO,
            for_connects: false,
            trials: Vec::new(),
            lease: None,
        }
    }

    fn bucket(&self, now: Time) -> u128 {
        now.since(Time::ZERO).as_nanos() / (self.rules.window.as_nanos() / 10)
    }

    fn admits(&self, now: Time) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open => now >= self.until,
            BreakerState::HalfOpen => self.lease.is_none_or(|(_, until)| now >= until),
        }
    }

    /// Whether enough has failed; of ended requests only those of the last ten parts of the window.
    fn is_too_much(&self, now: Time) -> bool {
        let present = self.bucket(now);
        let recent = self.ends.iter().filter(|(bucket, _)| bucket + 10 > present);
        let (ended, failed) = (recent.clone().count(), recent.filter(|it| it.1).count());
        let share = failed * 100 >= ended * self.rules.failed_percent as usize;
        ended >= self.rules.requests_min as usize && share
            || self.connects >= self.rules.connect_failures
            || self.breaches >= self.rules.protocol_errors
    }

    fn handle(&mut self, now: Time, happened: Happened) -> BreakerState {
        use BreakerState::{Closed, HalfOpen, Open};
        let (is_closed, bucket) = (self.state == Closed, self.bucket(now));
        let mut fails = false;
        match happened {
            Happened::Made { request } => {
                match self.state {
                    Closed => return Closed,
                    Open => self.trials.clear(),
                    HalfOpen => {}
                }
                if self.trials.len() > LATE_MAX {
                    self.trials.pop();
                }
                self.trials.push(request.0);
                self.lease = Some((request.0, now.after(self.rules.lease)));
                return HalfOpen;
            }
            Happened::Connected => {
                self.connects = 0;
                if self.state == Open && self.for_connects {
                    (self.trials, self.lease) = (Vec::new(), None);
                    return HalfOpen;
                }
            }
            Happened::Ended { request, end } => {
                if end == End::Answered {
                    self.breaches = 0;
                }
                let counts = matches!(end, End::Answered | End::Failed);
                if is_closed && counts {
                    self.ends.push((bucket, end == End::Failed));
                }
                fails = end == End::Failed;
                if self.state == HalfOpen && self.trials.contains(&request.0) {
                    self.trials.retain(|it| *it != request.0);
                    match end {
                        End::Answered => {
                            self.connects = 0;
                            return Closed;
                        }
                        End::Failed | End::Unconnected => return Open,
                        End::Unjudged if self.lease.is_some_and(|it| it.0 == request.0) => {
                            self.lease = None;
                        }
                        End::Unjudged => {}
                    }
                }
            }
            Happened::TimedOut => {
                fails = true;
                if is_closed {
                    self.ends.push((bucket, true));
                }
            }
            Happened::BrokeProtocol => (fails, self.breaches) = (true, self.breaches + 1),
            Happened::ConnectFailed => {
                (fails, self.connects) = (true, self.connects + 1);
                if self.state == HalfOpen && self.connects >= self.rules.connect_failures {
                    return Open;
                }
            }
        }
        match is_closed && fails && self.is_too_much(now) {
            true => Open,
            false => self.state,
        }
    }
}

fn happened() -> impl Strategy<Value = (u8, u64, u64)> {
    (
        0u8..14,
        0u64..10,
        prop_oneof![Just(0), 0u64..50, 0u64..1_500],
    )
}

proptest! {
    /// Legal moves only, one lease at a time, and each exactly when a plain look at everything says so.
    #[test]
    fn it_moves_as_a_plain_account_says(
        steps in prop::collection::vec(happened(), 1..400),
        random in any::<u64>(),
    ) {
        use BreakerState::{Closed, HalfOpen, Open};
        let rules = Breaker {
            window: Duration::from_millis(1_000),
            requests_min: 5,
            connect_failures: 3,
            first_pause_max: Duration::from_millis(100),
            pause_max: Duration::from_millis(700),
            lease: Duration::from_millis(300),
            ..Breaker::default()
        };
        let mut circuit = Circuit::new(rules);
        let mut model = Model::new(rules);
        let (mut now, mut newest, mut leases) = (Time::ZERO, 10, Vec::<(u64, Time)>::new());
        let mut handed_over = Vec::new();
        for (what, which, pause) in steps {
            now = now.after(Duration::from_millis(pause));
            prop_assert_eq!(circuit.admit(now).is_ok(), model.admits(now));
            let request = RequestId(newest - which);
            // Those that another upstream hands over have odd numbers.
            let is_older = request.0 % 2 == 1 && !handed_over.contains(&request);
            let happened = match what {
                0..4 if circuit.admit(now).is_err() => continue,
                0 | 1 if is_older => {
                    handed_over.push(request);
                    Happened::Made { request }
                }
                0..4 => {
                    newest += 2;
                    made(newest)
                }
                4..6 => Happened::Ended { request, end: End::Answered },
                6..9 => Happened::Ended { request, end: End::Failed },
                9 => Happened::Ended { request, end: End::Unjudged },
                10 => Happened::Ended { request, end: End::Unconnected },
                11 => [Happened::Connected, Happened::TimedOut][which as usize % 2],
                12 => Happened::BrokeProtocol,
                _ => Happened::ConnectFailed,
            };
            let before = circuit.state();
            let has_moved = circuit.handle(now, random, happened);
            let after = circuit.state();
            let expected = model.handle(now, happened);
            prop_assert_eq!(after, expected, "{:?} after {:?}", before, happened);
            prop_assert_eq!(has_moved, before != after);
            let is_legal = matches!(
                (before, after),
                (Closed, Closed | Open) | (Open, Open | HalfOpen) | (HalfOpen, _)
            );
            prop_assert!(is_legal, "{:?} to {:?}", before, after);
            if has_moved && after == Open {
                let until = circuit.open_until().unwrap();
                prop_assert!(until > now && until <= now.after(rules.pause_max));
                (model.until, model.for_connects) = (until, model.connects >= rules.connect_failures);
                (model.ends, model.breaches) = (Vec::new(), 0);
            }
            model.state = after;
            // Of those that were let through half open, at most one holds a lease.
            if after == HalfOpen && let Happened::Made { request } = happened {
                leases.retain(|(_, until)| *until > now);
                prop_assert!(leases.is_empty(), "{:?} beside {:?}", request, leases);
                leases.push((request.0, now.after(rules.lease)));
            }
            match (after, happened) {
                (HalfOpen, Happened::Ended { request, .. }) => leases.retain(|it| it.0 != request.0),
                (HalfOpen, _) => {}
                _ => leases.clear(),
            }
        }
    }
}
