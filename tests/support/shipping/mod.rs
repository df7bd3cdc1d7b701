//! What the tests of shipping share: numbered lines, framings as a sink reads them, and the fate of each line held
//! against what a sink has read.
//!
//! A line is its number and a filling, always the same number of bytes, so that a sink can stop at any byte of the
//! stream, and an altered line is found.
#![allow(dead_code, unused_imports, reason = "no test binary uses all of it")]

mod fates;
mod plain;
mod served;
mod watched;

use std::time::{Duration, Instant};

use taut::Error;
use taut::ship::Refusal;

pub(crate) use fates::*;
pub(crate) use plain::*;
pub(crate) use served::*;
pub(crate) use watched::*;

/// Longer than any wait of a run that passes: some are of 100,000 lines, and a daemon is started again meanwhile.
pub(crate) const RUN_PATIENCE: Duration = Duration::from_secs(60);

/// Who brings numbered lines to a sink.
pub(crate) trait Sender {
    /// Takes the next line, as soon as there is room.
    fn offer(&mut self, number: u64);

    /// What it does by itself, for so long at most.
    fn turn(&mut self, timeout: Duration);

    /// There are no more lines.
    fn close(&mut self);

    /// Ends when every line's fate is known.
    fn finish(self: Box<Self>) -> Shipped;

    /// Turns until a condition holds.
    #[track_caller]
    fn until(&mut self, what: &str, condition: &mut dyn FnMut() -> bool) {
        let deadline = Instant::now() + RUN_PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "never came: {what}");
            self.turn(Duration::from_millis(1));
        }
    }
}

/// Bytes of every numbered line.
pub(crate) const LINE_BYTES: usize = 150;

/// What is before the number: a header of RFC 5424 that rsyslogd takes as it is.
const HEADER: &str = "<13>1 2026-01-01T00:00:00.000000Z here ship - - - ";

const DIGITS: usize = 8;

/// The line of this number.
pub(crate) fn line_of(number: u64) -> Vec<u8> {
    let mut line = format!("{HEADER}{number:0DIGITS$} ").into_bytes();
    let filling = (b'a'..=b'z').cycle().skip(number as usize % 26);
    line.extend(filling.take(LINE_BYTES - line.len()));
    line
}

/// Which line this is, if it is one, whole and unaltered.
pub(crate) fn number_in(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(HEADER.as_bytes())?.get(..DIGITS)?;
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (line == line_of(number)).then_some(number)
}

/// What a sender says of its lines in the end.
pub(crate) struct Shipped {
    pub(crate) fates: Fates,
    /// Lines that were written again, each time they were.
    pub(crate) resent: u64,
    /// Why connections were lost, or could not be made.
    pub(crate) lost: Vec<Error>,
    pub(crate) refused: Vec<(u64, Refusal)>,
}

/// Whether these are the first bytes of some line.
pub(crate) fn begins_a_line(bytes: &[u8]) -> bool {
    let header = HEADER.as_bytes();
    let Some(rest) = bytes.strip_prefix(header) else {
        return header.starts_with(bytes);
    };
    let Some(digits) = rest.get(..DIGITS) else {
        return rest.iter().all(u8::is_ascii_digit);
    };
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|it| it.parse().ok());
    number.is_some_and(|number| line_of(number).starts_with(bytes))
}

/// How lines lie in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// `LEN SP MSG` (RFC 6587 §3.4.1).
    Octet,
    /// Each ended by LF.
    Lf,
}

impl Framed {
    /// Bytes of a numbered line on the wire.
    pub(crate) fn wire_bytes(self) -> u64 {
        self.wire(&line_of(1)).len() as u64
    }

    pub(crate) fn wire(self, line: &[u8]) -> Vec<u8> {
        match self {
            Framed::Octet => [format!("{} ", line.len()).as_bytes(), line].concat(),
            Framed::Lf => [line, b"\n"].concat(),
        }
    }

    /// The first whole line, and the bytes of it with what frames it.
    pub(crate) fn first(self, bytes: &[u8]) -> Option<(&[u8], usize)> {
        let wanted = match self {
            Framed::Octet => b' ',
            Framed::Lf => b'\n',
        };
        let at = bytes.iter().position(|byte| *byte == wanted)?;
        match self {
            Framed::Octet => {
                let digits = std::str::from_utf8(&bytes[..at]).unwrap();
                let length: usize = digits.parse().expect("a length where one must be");
                let line = bytes.get(at + 1..)?.get(..length)?;
                Some((line, at + 1 + length))
            }
            Framed::Lf => Some((&bytes[..at], at + 1)),
        }
    }
}
