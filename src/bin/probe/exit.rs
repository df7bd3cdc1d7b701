//! How a run ends: the exit codes of the contract, and the one line that explains a bad end.
//!
//! A command returns an [`Exit`] when it ran, whatever came out, and a [`Fault`] when it could not.

use std::io;
use std::process::ExitCode;

// What the help of each command says of them.
pub(crate) const HELP_OF_SERVE: &str = "\
Exit codes: 0 all connections ended by themselves, 1 some were reset, 2 usage.";
pub(crate) const HELP_OF_PING: &str = "\
Exit codes: 0 something answered, 1 nothing did, or a gate could not be judged, 2 usage, 3 a gate was breached, 130 and \
143 interrupted.";
pub(crate) const HELP_OF_LOAD: &str = "\
Exit codes: 0 done, 1 no request succeeded, 2 usage, 4 the measurement is invalid, 130 and 143 interrupted.";

pub(crate) const HELP_OF_SHIP: &str = "\
Exit codes: 0 every line is confirmed, 1 no sink was reached and nothing read, or the input or a file failed, 2 usage, \
5 lines are uncertain, undelivered or refused, 130 and 143 interrupted.";

/// The exit codes scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// The run failed: nothing answered, or not all ended by themselves.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A gate was breached.
    Breached = 3,
    /// The measurement is invalid: its figures judge nothing.
    Invalid = 4,
    /// Lines are uncertain, undelivered or refused.
    Undelivered = 5,
    /// SIGINT.
    Interrupted = 130,
    /// SIGTERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not run: one line for stderr, and the code to end with.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Fault {
    /// The command line asks for what cannot be.
    pub(crate) fn usage(text: impl Into<String>) -> Fault {
        Fault {
            exit: Exit::Usage,
            text: text.into(),
        }
    }

    /// It was asked well and did not work.
    pub(crate) fn failed(text: impl Into<String>) -> Fault {
        Fault {
            exit: Exit::Failed,
            text: text.into(),
        }
    }
}

impl From<io::Error> for Fault {
    /// Only output is written with `?`: a reader that has gone (EPIPE) is no news to it.
    fn from(error: io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Fault::failed(""),
            _ => Fault::failed(format!("cannot write the output: {error}")),
        }
    }
}

impl From<taut::Error> for Fault {
    fn from(error: taut::Error) -> Fault {
        match error.source {
            taut::Source::Invalid(why) => Fault::usage(why),
            _ => Fault::failed(error.to_string()),
        }
    }
}
