//! What is done to a Redis server and to its connections while it is asked.

use std::time::Duration;

use crate::random::Random;
use crate::redis::{Answer, Control, Redis};
use crate::traffic::Traffic;

/// One harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// Nobody asks, for about as long as the server's own idle limit of a second (it looks every 100 ms and counts
    /// whole seconds).
    Quiet,
    /// `CLIENT KILL ID` of one connection.
    KillsOne,
    /// `CLIENT KILL TYPE normal`.
    KillsAll,
    /// SIGKILL; a moment later another process is there.
    Killed,
    /// `SHUTDOWN NOSAVE`; the same.
    ShutDown,
    /// `DEBUG SLEEP`: it does nothing for a while, and then all of it.
    Sleeps,
    /// `CLIENT PAUSE`: it reads, and answers later.
    Pauses,
}

fn ms(millis: usize) -> Duration {
    Duration::from_millis(millis as u64)
}

impl Harm {
    /// Done while traffic goes on.
    #[track_caller]
    pub(crate) fn is_done(
        self,
        redis: &mut Redis,
        control: &mut Control,
        traffic: &mut Traffic,
        random: &mut Random,
    ) {
        // The server may have ended this one too.
        *control = redis.control();
        traffic.leave_under_way();
        match self {
            Harm::Quiet => traffic.rest(ms(900 + random.below(1_200))),
            Harm::KillsOne => {
                let others = control.others();
                if !others.is_empty() {
                    let id = random.of(&others).to_string();
                    control.ask(&["CLIENT", "KILL", "ID", &id]);
                }
            }
            Harm::KillsAll => {
                control.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
            }
            Harm::Killed => {
                redis.kill();
                traffic.go_on(ms(random.below(60)));
                redis.start_again();
            }
            Harm::ShutDown => {
                control.say(&["SHUTDOWN", "NOSAVE"]);
                redis.until_ended();
                traffic.go_on(ms(random.below(60)));
                redis.start_again();
            }
            Harm::Sleeps => {
                control.say(&["DEBUG", "SLEEP", "0.2"]);
                traffic.go_on(ms(250));
                assert_eq!(control.hear(), Answer::Text("OK".to_owned()));
            }
            Harm::Pauses => {
                let length = (20 + random.below(200)).to_string();
                control.ask(&["CLIENT", "PAUSE", &length, "ALL"]);
                traffic.go_on(ms(random.below(250)));
            }
        }
    }
}
