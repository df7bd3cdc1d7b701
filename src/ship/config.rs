//! What a shipper does, and within which bounds.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, refuse};
use crate::error::Error;
use crate::session::Sessions;
#[cfg(feature = "_tls")]
use crate::tls::TlsConfig;

/// When a line counts as delivered. `docs/guarantees.md` says of each what it promises and what it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ack {
    /// The kernel took it. Whatever is in flight when the connection breaks is lost in silence.
    None,
    /// The same, after a look at the line (`MSG_PEEK`) that saw no FIN and no RST.
    Peek,
    /// The peer's TCP acknowledged it, and [`ShipConfig::receive_bytes_max`] beyond it, or the end of the connection
    /// proved that it was read.
    Kernel,
    /// The peer's program has read it: our FIN was acknowledged and the peer's came, with no error and the witness
    /// alive.
    Commit,
    /// The peer's program said so, in RELP.
    Relp,
}

/// What becomes of lines that a break has left in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnUncertain {
    /// They are sent again: each at least once.
    Resend,
    /// They are told as uncertain and not sent again: each at most once.
    Report,
}

/// How a line goes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// The line and a LF (RFC 6587 §3.4.2). A line that holds one itself is refused, or has it escaped as `#012` (as
    /// rsyslog does) with `escapes`.
    Lf {
        /// Whether a LF within a line is written as `#012`; otherwise the line is refused.
        escapes: bool,
    },
    /// `LEN SP MSG` (RFC 6587 §3.4.1): any byte may be in a line, and a receiver drops one that is torn.
    Octet,
    /// A `syslog` frame of RELP. It goes with [`Ack::Relp`], and only with that.
    Relp,
}

/// Settings of a [`Shipper`](super::Shipper). The defaults lose nothing: commit by close, octet counting.
#[derive(Clone, Debug, PartialEq)]
pub struct ShipConfig {
    /// Where lines go, `host:port` or `[v6]:port`: to the first that can be reached. At least one.
    pub sinks: Vec<String>,
    /// When a line counts as delivered. Default: [`Ack::Commit`].
    pub ack: Ack,
    /// What becomes of lines in doubt. Default: [`OnUncertain::Resend`].
    pub on_uncertain: OnUncertain,
    /// How a line goes on the wire. Default: [`Wire::Octet`].
    pub wire: Wire,
    /// Bytes of a line; a longer one is refused. Default: `None`, which is 1 MiB, and 8 KiB with RELP (its servers'
    /// default).
    pub line_bytes_max: Option<usize>,
    /// Bytes of the lines whose fate is open, which are held in memory; then nothing is taken until some are settled.
    /// Default: 64 MiB.
    pub journal_bytes_max: usize,
    /// Lines whose fate is open. Default: 1,048,576.
    pub journal_lines_max: usize,
    /// Bytes that a peer's kernel may have acknowledged and its program not read: 8 MiB by default, since Linux lets an
    /// autotuned receive buffer grow to 6 MiB. A smaller bound is a risk that you state.
    pub receive_bytes_max: u64,
    /// Of an epoch: it is sealed for its commit at so many bytes. Default: 8 MiB.
    pub commit_bytes: u64,
    /// Of an epoch: it is sealed for its commit so long after its first line. Default: 1 s.
    pub commit_after: Duration,
    /// From our FIN to the peer's; after it an epoch has confirmed nothing. While the peer still takes what is queued
    /// before our FIN, it begins anew. Default: 30 s.
    pub commit_timeout: Duration,
    /// Nothing is written while an epoch waits for its commit, so that lines arrive in order across epochs too.
    /// Default: false.
    pub ordered: bool,
    /// A second, idle connection to the sink tells a sink that has closed from one that has died. Default: true.
    pub witness: bool,
    /// How long the witness must outlive an epoch's end. A process that is killed ends its connections one after the
    /// other, and on a busy machine it may be put aside between two of them. An epoch that fills sooner waits for the one before. Default: 5 ms.
    pub witness_grace: Duration,
    /// RELP: frames that are not answered. Default: 128.
    pub window: usize,
    /// How soon after a write the kernel is asked what the peer's TCP acknowledged; it doubles up to
    /// `ack_poll_max` while nothing is. Default: 5 ms.
    pub ack_poll: Duration,
    /// The longest pause between two such questions. Default: 100 ms.
    pub ack_poll_max: Duration,
    /// From [`Shipper::finish`](super::Shipper::finish) with [`Deadline::Standard`](crate::Deadline::Standard) to its
    /// end. Default: 30 s.
    pub drain: Duration,
    /// Connections and their witnesses speak TLS; with octet counting that is RFC 5425. A commit needs the sink's
    /// close_notify then: one that never says it (rsyslogd with GnuTLS) confirms nothing by its end. Each sink's
    /// certificate must be for its host as [`ShipConfig::sinks`] names it. Default: `None`.
    #[cfg(feature = "_tls")]
    pub tls: Option<TlsConfig>,
    /// Of the connections: timeouts, backoff, sockets. `peek` is set by the rung: never with [`Ack::None`]. A sink that
    /// pauses is waited for longer than a server that must answer, for a reset has it read everything twice: the
    /// default's `timeouts.write_stall` is 30 s, and its `socket.user_timeout` 40 s.
    pub client: Config,
}

impl Default for ShipConfig {
    fn default() -> ShipConfig {
        let mut client = Config::default();
        client.timeouts.write_stall = Duration::from_secs(30);
        client.socket.user_timeout = Some(Duration::from_secs(40));
        ShipConfig {
            sinks: Vec::new(),
            ack: Ack::Commit,
            on_uncertain: OnUncertain::Resend,
            wire: Wire::Octet,
            line_bytes_max: None,
            journal_bytes_max: 64 << 20,
            journal_lines_max: 1 << 20,
            receive_bytes_max: 8 << 20,
            commit_bytes: 8 << 20,
            commit_after: Duration::from_secs(1),
            commit_timeout: Duration::from_secs(30),
            ordered: false,
            witness: true,
            witness_grace: Duration::from_millis(5),
            window: 128,
            ack_poll: Duration::from_millis(5),
            ack_poll_max: Duration::from_millis(100),
            drain: Duration::from_secs(30),
            #[cfg(feature = "_tls")]
            tls: None,
            client,
        }
    }
}

impl ShipConfig {
    /// Lines to this sink, by the defaults.
    pub fn to(sink: impl Into<String>) -> ShipConfig {
        ShipConfig {
            sinks: vec![sink.into()],
            ..ShipConfig::default()
        }
    }

    /// Bytes that a line may have.
    pub fn line_bytes_max(&self) -> usize {
        let standard = match self.wire {
            Wire::Relp => 8 << 10,
            Wire::Lf { .. } | Wire::Octet => 1 << 20,
        };
        self.line_bytes_max.unwrap_or(standard)
    }

    /// What runs above TCP, if anything does.
    pub(super) fn sessions(&self) -> Option<Arc<dyn Sessions>> {
        #[cfg(feature = "_tls")]
        return self.tls.as_ref().map(|tls| tls.sessions());
        #[cfg(not(feature = "_tls"))]
        None
    }

    /// Checks every setting; the error names the first that cannot be and says what would be right.
    ///
    /// # Errors
    /// [`Source::Invalid`](crate::Source::Invalid), class local.
    pub fn validate(&self) -> Result<(), Error> {
        let speaks_relp = self.wire == Wire::Relp;
        refuse(&[
            (
                self.sinks.is_empty(),
                "sinks is empty; name at least one, as host:port",
            ),
            (
                (self.ack == Ack::Relp) != speaks_relp,
                "RELP is a framing and an acknowledgement: wire Relp goes with ack Relp, and neither without the other",
            ),
            (
                self.line_bytes_max() == 0,
                "line_bytes_max is 0; a line has at least 1 byte",
            ),
            (
                self.line_bytes_max() > 999_999_999,
                "line_bytes_max is above 999,999,999, the largest length that RELP can say",
            ),
            (
                self.journal_bytes_max < self.line_bytes_max(),
                "journal_bytes_max is below line_bytes_max; the longest line would never fit",
            ),
            (
                self.journal_lines_max == 0,
                "journal_lines_max is 0; at least 1 line must fit",
            ),
            (
                self.ack == Ack::Kernel && self.journal_bytes_max as u64 <= self.receive_bytes_max,
                "journal_bytes_max is not above receive_bytes_max; no line would ever be far enough behind what is acknowledged",
            ),
            (
                self.commit_bytes == 0,
                "commit_bytes is 0; an epoch has at least 1 byte, 8 MiB is usual",
            ),
            (
                self.commit_after.is_zero(),
                "commit_after is 0; an epoch needs time, 1 s is usual",
            ),
            (
                self.commit_timeout.is_zero(),
                "commit_timeout is 0; nothing could be committed, 30 s is usual",
            ),
            (
                self.window == 0,
                "window is 0; at least 1 frame must be unanswered, 128 is usual",
            ),
            (
                self.ack_poll.is_zero() || self.ack_poll_max < self.ack_poll,
                "ack_poll is 0 or above ack_poll_max; 5 ms and 100 ms are usual",
            ),
        ])?;
        self.client.validate()
    }
}
