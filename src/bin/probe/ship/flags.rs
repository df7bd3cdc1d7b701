//! The flags of `probe ship`, and the words they are given in.
//!
//! Which of them go together is settled in `plan`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use taut::Peek;
use taut::ship::{Ack, OnUncertain};

use super::syslog::SyslogArgs;
use crate::link::{LinkArgs, Switch};
use crate::peer;
use crate::report::OutputArgs;
use crate::target::Target;
use crate::units;

/// `probe ship`.
#[derive(Args, Debug)]
pub(crate) struct ShipArgs {
    /// host:port, [v6]:port, tcp://host:port or tls://host:port; of several, the first that can be reached.
    #[arg(value_name = "TARGET", required = true)]
    pub(crate) targets: Vec<Target>,
    /// How a line goes on the wire. Default: octet, or relp with --ack relp.
    #[arg(long, value_enum, value_name = "FRAMING")]
    pub(crate) framing: Option<FramingName>,
    /// When a line counts as delivered. Default: commit, or relp with --framing relp.
    #[arg(long, value_enum, value_name = "RUNG")]
    pub(crate) ack: Option<AckName>,
    /// What becomes of lines that a break has left in doubt. Default: resend.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) on_uncertain: Option<OnUncertainName>,
    /// Read lines from this file. Default: stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Write here which lines are uncertain, undelivered or refused: `FROM-TO STATE` a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) uncertain: Option<PathBuf>,
    /// Seal an epoch for its commit at so many bytes, or so long after its first line; both with a comma.
    /// Default: 8MiB,1s.
    #[arg(long, value_name = "BYTES|DURATION", value_parser = commit_every)]
    pub(crate) commit_every: Option<CommitEvery>,
    /// Write nothing while an epoch waits for its commit: the order holds across epochs too.
    #[arg(long)]
    pub(crate) ordered: bool,
    /// A second, idle connection tells a sink that has closed from one that has died. Default: on.
    #[arg(long, value_enum, value_name = "SWITCH")]
    pub(crate) witness: Option<Switch>,
    /// RELP: frames that are not answered. Default: 128.
    #[arg(long, value_name = "N", value_parser = units::small_count)]
    pub(crate) window: Option<usize>,
    /// The longest line, with what --syslog puts before it; a longer one is refused. Default: 1MiB, with RELP 8KiB.
    #[arg(long, value_name = "BYTES", value_parser = units::bytes_in_memory)]
    pub(crate) max_line: Option<usize>,
    /// Keep lines in this directory until they are settled: they survive the end of this process, and the next run with
    /// the same directory ships them first.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,
    /// Of the spool; then reading waits.
    #[arg(long, value_name = "BYTES", default_value = "1GiB", requires = "spool", value_parser = units::bytes)]
    pub(crate) spool_max: u64,
    /// Lines whose fate is open are held in so many bytes of memory; then reading waits.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = units::bytes_in_memory)]
    pub(crate) journal: usize,
    /// What a peer's kernel may have acknowledged and its program not read; a smaller bound is a risk. Default: 8MiB.
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    pub(crate) receive_bound: Option<u64>,
    /// What is left is given up so long after a signal, or, after the last line, when nothing moves for so long.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::duration_above_zero)]
    pub(crate) drain: Duration,
    /// How long a sink may take nothing, or not answer, or, after our FIN, not end.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = units::duration_above_zero)]
    pub(crate) timeout: Duration,
    /// Look at the line before a write: always, or idle:DURATION (after such a quiet). Default: as the rung has it.
    #[arg(long, value_name = "WHEN", value_parser = peer::peek)]
    pub(crate) peek: Option<Peek>,
    #[command(flatten)]
    pub(crate) syslog: SyslogArgs,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `--framing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FramingName {
    /// The line and a LF.
    Lf,
    /// Octet counting, LEN SP MSG (RFC 6587): a torn line is dropped by the receiver, and any byte may be in one.
    Octet,
    /// RELP: the peer's program answers each line.
    Relp,
}

/// `--ack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AckName {
    /// The kernel took it.
    None,
    /// The same, after a look that saw no FIN and no RST.
    Peek,
    /// The peer's TCP acknowledged it, and --receive-bound beyond it.
    Kernel,
    /// The peer's program read it: it closed after our FIN.
    Commit,
    /// The peer's program said so, in RELP.
    Relp,
}

/// `--on-uncertain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnUncertainName {
    /// They are sent again: at least once.
    Resend,
    /// They are told and not sent again: at most once.
    Report,
}

impl FramingName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            FramingName::Lf => "lf",
            FramingName::Octet => "octet",
            FramingName::Relp => "relp",
        }
    }
}

impl AckName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            AckName::None => "none",
            AckName::Peek => "peek",
            AckName::Kernel => "kernel",
            AckName::Commit => "commit",
            AckName::Relp => "relp",
        }
    }
}

impl From<AckName> for Ack {
    fn from(name: AckName) -> Ack {
        match name {
            AckName::None => Ack::None,
            AckName::Peek => Ack::Peek,
            AckName::Kernel => Ack::Kernel,
            AckName::Commit => Ack::Commit,
            AckName::Relp => Ack::Relp,
        }
    }
}

impl From<OnUncertainName> for OnUncertain {
    fn from(name: OnUncertainName) -> OnUncertain {
        match name {
            OnUncertainName::Resend => OnUncertain::Resend,
            OnUncertainName::Report => OnUncertain::Report,
        }
    }
}

/// `--commit-every`: whichever comes first; what is not said stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitEvery {
    pub(crate) bytes: Option<u64>,
    pub(crate) after: Option<Duration>,
}

fn commit_every(text: &str) -> Result<CommitEvery, String> {
    let mut every = CommitEvery::default();
    for part in text.split(',') {
        let twice = match (units::bytes(part), units::duration_above_zero(part)) {
            (Ok(_), Ok(_)) => {
                return Err(format!(
                    "{part} may be megabytes or minutes: say {part}B or a number of seconds"
                ));
            }
            (Ok(bytes), Err(_)) => every.bytes.replace(bytes).is_some(),
            (Err(_), Ok(after)) => every.after.replace(after).is_some(),
            (Err(_), Err(_)) => {
                return Err(
                    "it is bytes above 0, a duration above 0, or both, such as 8MiB,1s".into(),
                );
            }
        };
        if twice {
            return Err(
                "it is one number of bytes and one duration at most, such as 8MiB,1s".into(),
            );
        }
    }
    Ok(every)
}

/// What these words are as flags; the first is the command's name.
#[cfg(test)]
pub(super) fn parsed<A: clap::Args>(words: &str) -> Result<A, clap::Error> {
    let command = A::augment_args(clap::Command::new("ship"));
    let matches = command.try_get_matches_from(words.split_whitespace())?;
    A::from_arg_matches(&matches)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_bounded_by_bytes_or_time_or_both() {
        let every = |bytes, seconds: Option<u64>| {
            Ok(CommitEvery {
                bytes,
                after: seconds.map(Duration::from_secs),
            })
        };
        assert_eq!(commit_every("64KiB"), every(Some(65_536), None));
        assert_eq!(commit_every("2s"), every(None, Some(2)));
        assert_eq!(commit_every("8MiB,1s"), every(Some(8 << 20), Some(1)));
        assert_eq!(commit_every("1s,8mb"), every(Some(8_000_000), Some(1)));
        for text in ["", "0", "0s", "8MiB,", "8MiB,64KiB", "1s,2s", "often"] {
            assert!(
                commit_every(text).unwrap_err().contains("8MiB,1s"),
                "{text}"
            );
        }
        assert!(commit_every("5m").unwrap_err().contains("5mB"));
    }
}
