//! The client's side of RELP on one connection: what is asked in which order, and what an answer answers.
//!
//! ```text
//!          open                  rsp 200, offers                close                rsp
//!   Idle ────────▶ Opening ──────────────────────▶ Ready ─────────────▶ Closing ──────────▶ Closed
//!                     │                              │                                         ▲
//!                     └──────────────────────────────┴───── serverclose ───────────────────────┘
//! ```
//!
//! It has no socket, no clock and no line: the driver sends, and gives it each frame that came. What was sent and not
//! answered is known here by its number alone, in memory that does not grow with it. The protocol is librelp's
//! `doc/relp.md`, and what its server (rsyslog) does where that is silent.

mod answers;
#[cfg(test)]
mod tests;

use std::fmt;

use super::wire::put_number;
use crate::frame::RelpFrame;
use answers::Answers;

/// The number of `open`: a connection starts with 1.
const OPEN_TXNR: u32 = 1;
/// What we can do. Version 0 is what librelp itself speaks (`RELP_CURR_PROTOCOL_VERSION`).
const OFFERS: &str = concat!(
    "relp_version=0\nrelp_software=taut,",
    env!("CARGO_PKG_VERSION"),
    "\ncommands=syslog"
);
/// Bytes of a server's own words that are kept: HUMAN-TEXT has at most 80 by the specification.
const WORDS_BYTES_MAX: usize = 80;

/// One connection's session.
#[derive(Debug)]
pub(crate) struct Session {
    state: State,
    answers: Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was asked.
    Idle,
    /// `open` is not answered.
    Opening,
    /// Lines may go.
    Ready,
    /// `close` went out under this number: nothing follows it.
    Closing { txnr: u32 },
    /// `close` is answered, or the server closes: nothing goes out. Answers that are on their way still count.
    Closed,
}

/// What a frame from the server meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that matters here: a hint of a kind that is not known.
    Nothing,
    /// The session is open: lines may go.
    Ready,
    /// The server has taken this line, or does not want it. Each number is answered once.
    Answered {
        /// Which, as [`Session::next_txnr`] gave it.
        txnr: u32,
        /// Whether it was taken: the code is 200.
        accepted: bool,
        /// The answer's code.
        code: u32,
    },
    /// The server is about to close; what is not answered by the end of the connection is in doubt.
    ServerClose,
    /// Our `close` is answered: there is nothing more to wait for.
    CloseAnswered,
}

/// Why a session cannot go on; its connection has to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RelpError {
    /// The server does not speak RELP as it should; the text says which rule is broken.
    Malformed(&'static str),
    /// The server can do too little of it for us; the text says what is missing.
    Incompatible(&'static str),
    /// The server answered `open` with another code than 200.
    Refused {
        /// The code.
        code: u32,
        /// The server's own words, at most 80 bytes of them, escaped.
        words: String,
    },
}

impl RelpError {
    /// The error in words that are known beforehand, for [`Source::Malformed`](crate::Source::Malformed).
    pub(crate) fn rule(&self) -> &'static str {
        match self {
            RelpError::Malformed(rule) | RelpError::Incompatible(rule) => rule,
            RelpError::Refused { .. } => {
                "the server refused the RELP session: open is answered 200"
            }
        }
    }
}

impl fmt::Display for RelpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelpError::Malformed(rule) | RelpError::Incompatible(rule) => f.write_str(rule),
            RelpError::Refused { code, words } => {
                write!(f, "the server refused the RELP session: {code} {words}")
            }
        }
    }
}

impl Session {
    pub(crate) fn new() -> Session {
        Session {
            state: State::Idle,
            answers: Answers::from(OPEN_TXNR + 1),
        }
    }

    /// Puts `open`, the first frame of a connection. Lines have to wait for its answer.
    pub(crate) fn open(&mut self, into: &mut Vec<u8>) {
        debug_assert_eq!(self.state, State::Idle, "a session is opened once");
        put_frame(OPEN_TXNR, b"open", OFFERS.as_bytes(), into);
        self.state = State::Opening;
    }

    /// The number for the next `syslog` frame, which has to go out before any other; from 2, one after the other, as
    /// the server demands.
    ///
    /// `None` when no line may go on this connection: not yet, or not any more.
    pub(crate) fn next_txnr(&mut self) -> Option<u32> {
        match self.state {
            State::Ready => self.answers.ask(),
            State::Idle | State::Opening | State::Closing { .. } | State::Closed => None,
        }
    }

    /// Puts `close`, behind which nothing goes out; says whether its answer is to be waited for. A session that is not
    /// ready has nothing to leave: nothing is put.
    pub(crate) fn close(&mut self, into: &mut Vec<u8>) -> bool {
        if self.state != State::Ready {
            return matches!(self.state, State::Closing { .. });
        }
        let txnr = self.answers.last();
        put_frame(txnr, b"close", b"", into);
        self.state = State::Closing { txnr };
        true
    }

    /// Whether lines may go.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether it has ended: our `close` is answered, or the server closes.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether it is ready and has no numbers left: time to leave, and to connect anew.
    pub(crate) fn is_used_up(&self) -> bool {
        self.is_ready() && self.answers.is_used_up()
    }

    /// Lines that were numbered and are not answered.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unanswered(&self) -> u32 {
        self.answers.unanswered()
    }

    /// Takes one frame from the server, whole and without its LF, as [`Framing::relp`](crate::Framing::relp) cuts it.
    ///
    /// # Errors
    /// When the session cannot go on. It is not to be asked again after that.
    pub(crate) fn handle_frame(&mut self, frame: &[u8]) -> Result<Heard, RelpError> {
        let RelpFrame {
            txnr,
            command,
            data,
        } = RelpFrame::parse(frame).map_err(RelpError::Malformed)?;
        match (txnr, command) {
            (0, b"rsp") => Err(RelpError::Malformed(
                "a RELP answer of TXNR 0: hints have none",
            )),
            (_, b"rsp") => self.handle_answer(txnr, data),
            (0, b"serverclose") => Ok(self.handle_serverclose()),
            // Hints may be of any kind, and are for whoever knows them.
            (0, _) => Ok(Heard::Nothing),
            _ => Err(RelpError::Malformed(
                "a RELP command from a server: it sends answers, and hints of TXNR 0",
            )),
        }
    }

    fn handle_serverclose(&mut self) -> Heard {
        // Behind our own `close` its answer may still come: some servers send both, in either order.
        if !matches!(self.state, State::Closing { .. }) {
            self.state = State::Closed;
        }
        Heard::ServerClose
    }

    fn handle_answer(&mut self, txnr: u32, data: &[u8]) -> Result<Heard, RelpError> {
        match self.state {
            State::Opening if txnr == OPEN_TXNR => self.handle_opened(data),
            // What it says does not matter; librelp and logstash say nothing at all (`rsp 0`).
            State::Closing { txnr: close } if txnr == close => {
                self.state = State::Closed;
                Ok(Heard::CloseAnswered)
            }
            _ => {
                let code = Answer::parse(data)?.code;
                self.answers.take(txnr).map_err(RelpError::Malformed)?;
                Ok(Heard::Answered {
                    txnr,
                    accepted: code == 200,
                    code,
                })
            }
        }
    }

    fn handle_opened(&mut self, data: &[u8]) -> Result<Heard, RelpError> {
        let Answer {
            code,
            words,
            offers,
        } = Answer::parse(data)?;
        if code != 200 {
            let words = &words[..words.len().min(WORDS_BYTES_MAX)];
            let words = words.escape_ascii().to_string();
            return Err(RelpError::Refused { code, words });
        }
        check_offers(offers)?;
        self.state = State::Ready;
        Ok(Heard::Ready)
    }
}

/// The data of a `rsp`: `CODE [SP WORDS] [LF OFFERS]`.
struct Answer<'a> {
    code: u32,
    words: &'a [u8],
    offers: &'a [u8],
}

impl Answer<'_> {
    fn parse(data: &[u8]) -> Result<Answer<'_>, RelpError> {
        let mut parts = data.splitn(2, |&byte| byte == b'\n');
        let (line, offers) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
        let (code, words) = match line.split_at_checked(3) {
            Some((code, [])) if is_digits(code) => (code, &line[3..]),
            Some((code, [b' ', words @ ..])) if is_digits(code) => (code, words),
            _ => {
                return Err(RelpError::Malformed(
                    "a RELP answer starts with a code of 3 digits, and a space if words follow",
                ));
            }
        };
        let digit = |code: u32, digit: &u8| code * 10 + u32::from(digit - b'0');
        Ok(Answer {
            code: code.iter().fold(0, digit),
            words,
            offers,
        })
    }
}

fn is_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

/// Offers are lines: `NAME [= VALUE *(, VALUE)]`. Those that are not known are let be.
///
/// A version is demanded by the specification, but by no client: librelp's own takes its absence (`relpSessCBrspOpen`),
/// relppy's server sends none, and logstash-input-relp has a SP where the LF before it belongs, so that it stands among
/// the words.
fn check_offers(offers: &[u8]) -> Result<(), RelpError> {
    let mut takes_syslog = false;
    for offer in offers.split(|&byte| byte == b'\n') {
        let mut parts = offer.splitn(2, |&byte| byte == b'=');
        let (name, values) = (parts.next(), parts.next().unwrap_or(b""));
        let mut values = values.split(|&byte| byte == b',');
        match name {
            Some(b"relp_version") if !values.all(|value| matches!(value, b"0" | b"1")) => {
                return Err(RelpError::Incompatible(
                    "the server speaks another version of RELP than 0 and 1",
                ));
            }
            Some(b"commands") => takes_syslog |= values.any(|value| value == b"syslog"),
            _ => {}
        }
    }
    if !takes_syslog {
        return Err(RelpError::Incompatible(
            "the server does not offer the RELP command syslog",
        ));
    }
    Ok(())
}

/// Appends `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. Numbers have no leading zeros: logstash-input-relp takes a 0 that
/// leads for all of DATALEN.
pub(crate) fn put_frame(txnr: u32, command: &[u8], data: &[u8], into: &mut Vec<u8>) {
    // Two numbers of 9 digits, three SP and a LF.
    into.reserve(command.len() + data.len() + 22);
    put_number(u64::from(txnr), into);
    into.push(b' ');
    into.extend_from_slice(command);
    into.push(b' ');
    put_number(data.len() as u64, into);
    if !data.is_empty() {
        into.push(b' ');
        into.extend_from_slice(data);
    }
    into.push(b'\n');
}
