//! The application heartbeat of an upstream: what is said on a connection that has fallen silent, and which answer is
//! a sign of life.
//!
//! Settings alone: when it is due and when it is missed, each connection says for itself.

use std::sync::Arc;
use std::time::Duration;

use super::refuse;
use crate::error::Error;

/// A frame that asks a silent peer for a sign of life; see [`Upstream::heartbeat`](crate::Upstream::heartbeat).
///
/// ```
/// use std::time::Duration;
/// use taut::{Expect, Framing, Heartbeat, Upstream};
///
/// let ping = Heartbeat::new(b"*1\r\n$4\r\nPING\r\n", Expect::exactly(b"+PONG\r\n"));
/// let ping = Heartbeat { after: Duration::from_secs(5), ..ping };
/// let cache = Upstream::new("127.0.0.1:6379").framing(Framing::resp()).connections(1..=4).heartbeat(ping);
/// ```
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The frame, as it goes over the wire. At least 1 byte.
    pub payload: Arc<[u8]>,
    /// Which frames answer it.
    pub expect: Expect,
    /// A connection is asked when nothing has come in on it for so long; less by up to a tenth, drawn anew each time,
    /// so that a thousand of them are not asked at once. Default: 15 s.
    pub after: Duration,
    /// How long any byte may take to come in then, before the connection is given up. Default: 5 s.
    pub timeout: Duration,
    /// Where replies are matched by id: the id that the heartbeat's reply carries. No request may have it. `None`: the
    /// reply carries no id. Default: `None`.
    pub id: Option<u64>,
}

/// Which frame answers a heartbeat. The frame is judged as its framing tells it: a RESP reply with its type byte and
/// its line end, a line without.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Expect {
    /// Whatever comes in its turn, an error too.
    Any,
    /// These bytes and no others.
    Exactly(Arc<[u8]>),
    /// Whatever begins with these bytes.
    Prefix(Arc<[u8]>),
    /// Whatever this function says yes to.
    Judged(fn(&[u8]) -> bool),
}

impl Heartbeat {
    /// A heartbeat after 15 s of silence, which must bring a byte within 5 s.
    pub fn new(payload: impl AsRef<[u8]>, expect: Expect) -> Heartbeat {
        Heartbeat {
            payload: payload.as_ref().into(),
            expect,
            after: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            id: None,
        }
    }

    pub(crate) fn validate(&self, is_matched_by_id: bool) -> Result<(), Error> {
        refuse(&[
            (
                self.payload.is_empty(),
                "a heartbeat of 0 bytes; give it the frame that the peer answers",
            ),
            (
                self.after.is_zero(),
                "heartbeat.after is zero; give it at least 1 ns, 15 s is usual",
            ),
            (
                self.timeout.is_zero(),
                "heartbeat.timeout is zero; give it at least 1 ns, 5 s is usual",
            ),
            (
                self.id.is_some() && !is_matched_by_id,
                "a heartbeat with an id, where replies come in order; see Upstream::matched_by_id",
            ),
        ])
    }
}

impl Expect {
    /// These bytes and no others.
    pub fn exactly(bytes: impl AsRef<[u8]>) -> Expect {
        Expect::Exactly(bytes.as_ref().into())
    }

    /// Whatever begins with these bytes.
    pub fn prefix(bytes: impl AsRef<[u8]>) -> Expect {
        Expect::Prefix(bytes.as_ref().into())
    }

    /// Whether this frame is an answer; of one that was skipped for its size the bytes are not known.
    pub(crate) fn fits(&self, frame: Option<&[u8]>) -> bool {
        match (self, frame) {
            (Expect::Any, _) => true,
            (_, None) => false,
            (Expect::Exactly(bytes), Some(frame)) => frame == &bytes[..],
            (Expect::Prefix(bytes), Some(frame)) => frame.starts_with(bytes),
            (Expect::Judged(judge), Some(frame)) => judge(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_answer_is_judged_by_what_is_expected() {
        let expectations = [
            (Expect::Any, [true, true, true, true]),
            (Expect::exactly(b"+PONG"), [false, true, false, false]),
            (Expect::prefix(b"+PONG"), [false, true, true, false]),
            (
                Expect::Judged(|frame| !frame.starts_with(b"-")),
                [false, true, true, false],
            ),
        ];
        let frames = [None, Some(&b"+PONG"[..]), Some(b"+PONG!"), Some(b"-ERR")];
        for (expect, fits) in expectations {
            let told = frames.map(|frame| expect.fits(frame));
            assert_eq!(told, fits, "{expect:?}");
        }
    }

    #[test]
    fn a_heartbeat_that_cannot_be_is_refused_by_name() {
        let usual = || Heartbeat::new(b"PING\n", Expect::Any);
        let zero = Duration::ZERO;
        for (heartbeat, word) in [
            (Heartbeat::new(b"", Expect::Any), "0 bytes"),
            (
                Heartbeat {
                    after: zero,
                    ..usual()
                },
                "heartbeat.after",
            ),
            (
                Heartbeat {
                    timeout: zero,
                    ..usual()
                },
                "heartbeat.timeout",
            ),
            (
                Heartbeat {
                    id: Some(1),
                    ..usual()
                },
                "matched_by_id",
            ),
        ] {
            let error = heartbeat.validate(false).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(usual().validate(false), Ok(()));
    }
}
