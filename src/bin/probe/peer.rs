//! How the peer is talked to: the flags that ping and load share, and the library's settings that follow from them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use taut::{Breaker, Config, Limits, Peek, Timeouts};

use crate::exit::Fault;
use crate::link::LinkArgs;
use crate::payload::{self, Asked, Escaped, Expect};
use crate::proto::Proto;
use crate::units;

/// How the peer is talked to.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection and protocol")]
pub(crate) struct PeerArgs {
    /// How replies are framed: line, len16, len32, delim:BYTES, fixed:N or resp.
    #[arg(long, value_name = "PROTO", default_value = "line")]
    pub(crate) proto: Proto,
    /// The request, with the escapes \r \n \t \0 \\ \xNN. Default: the protocol's smallest.
    #[arg(
        long,
        value_name = "TEXT",
        group = "payload",
        allow_hyphen_values = true
    )]
    pub(crate) send: Option<Escaped>,
    /// The request, from a file.
    #[arg(long, value_name = "FILE", group = "payload")]
    pub(crate) send_file: Option<PathBuf>,
    /// A request of so many bytes of payload.
    #[arg(long, value_name = "BYTES", group = "payload", value_parser = units::bytes_in_memory)]
    pub(crate) size: Option<usize>,
    /// What each reply must be: a text, or /a regex/.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) expect: Option<Expect>,
    /// A whole request, the wait for a connection included.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = units::duration_above_zero)]
    pub(crate) timeout: Duration,
    /// Look at the line before a write: always, idle:DURATION (after such a quiet) or never.
    #[arg(long, value_name = "WHEN", default_value = "always", value_parser = peek)]
    pub(crate) peek: Peek,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
}

impl PeerArgs {
    /// The bytes of the request.
    pub(crate) fn request(&self) -> Result<Vec<u8>, Fault> {
        let asked = match (&self.send, &self.send_file, self.size) {
            (Some(Escaped(text)), ..) => Asked::Text(text),
            (_, Some(path), _) => Asked::File(path),
            (.., Some(size)) => Asked::Size(size),
            _ => Asked::Smallest,
        };
        payload::request(self.proto, asked)
    }

    /// The largest reply: the library's default, or what such a request may be answered with.
    pub(crate) fn frame_bytes_max(&self, request: &[u8]) -> usize {
        let fixed = match self.proto {
            Proto::Fixed(bytes) => bytes,
            _ => 0,
        };
        // 2^31 - 1 is all that the library allows.
        let twice = (2 * request.len()).min((1 << 31) - 1);
        (64 << 20).max(twice).max(fixed)
    }

    /// The library's settings. A request ends by its own deadline, so the timeouts of its parts are no shorter.
    pub(crate) fn config(&self, request: &[u8], connections: usize, window: usize) -> Config {
        let part = self.timeout.max(Duration::from_secs(5));
        let day = Duration::from_secs(24 * 3600);
        let defaults = Limits::default();
        let base = self.link.config(part);
        let window_bytes = window.saturating_mul(request.len());
        Config {
            timeouts: Timeouts {
                first_byte: part,
                read_stall: part,
                request: self.timeout,
                wait: self.timeout,
                idle: part.max(day),
                ..base.timeouts
            },
            limits: Limits {
                connections_max: defaults.connections_max.max(connections),
                send_queue_bytes_max: defaults.send_queue_bytes_max.max(window_bytes),
                events_max: defaults.events_max.max(window),
                waiting_requests_max: defaults.waiting_requests_max.max(2 * window),
                waiting_bytes_max: defaults
                    .waiting_bytes_max
                    .max(window_bytes.saturating_mul(2)),
                ..defaults
            },
            // What it measures is the peer: a request that was never made says nothing of it.
            breaker: Breaker::off(),
            peek: self.peek,
            ..base
        }
    }
}

pub(crate) fn peek(text: &str) -> Result<Peek, String> {
    match text.split_once(':') {
        None if text == "always" => Ok(Peek::Always),
        None if text == "never" => Ok(Peek::Never),
        Some(("idle", quiet)) => Ok(Peek::Idle(units::duration(quiet)?)),
        _ => Err("it is always, never or idle:DURATION, such as idle:10ms".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_look_before_a_write_is_always_never_or_after_a_quiet() {
        assert_eq!(peek("never"), Ok(Peek::Never));
        assert_eq!(peek("idle:5ms"), Ok(Peek::Idle(Duration::from_millis(5))));
        assert!(peek("sometimes").is_err());
    }
}
