//! How a line goes on the wire, and which lines cannot.
//!
//! A line is any bytes without an end of line of their own. It is carried byte for byte or refused; only where the
//! program has asked for it is a LF within it written as `#012`. It knows no socket and no connection.

use super::config::Wire;
use super::event::Refusal;
use super::relp;
use crate::frame::find;

/// The longest line that RELP's DATALEN of 9 digits can say.
const RELP_BYTES_MAX: usize = 999_999_999;

impl Wire {
    /// Whether this line can be carried.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn check(&self, line: &[u8], line_bytes_max: usize) -> Result<(), Refusal> {
        let limit = match self {
            Wire::Relp => line_bytes_max.min(RELP_BYTES_MAX),
            Wire::Lf { .. } | Wire::Octet => line_bytes_max,
        };
        if line.len() > limit {
            return Err(Refusal::Oversize {
                bytes: line.len(),
                limit,
            });
        }
        match self {
            Wire::Lf { escapes: false } if find(line, b'\n').is_some() => Err(Refusal::EmbeddedLf),
            // RFC 6587 §3.4.1: MSG-LEN = NONZERO-DIGIT *DIGIT.
            Wire::Octet if line.is_empty() => Err(Refusal::Empty),
            Wire::Lf { .. } | Wire::Octet | Wire::Relp => Ok(()),
        }
    }

    /// Appends the framed line, which [`Self::check`] has let pass. `txnr` is for RELP, and nothing to the others.
    pub(crate) fn put(&self, line: &[u8], txnr: u32, into: &mut Vec<u8>) {
        debug_assert_eq!(self.check(line, usize::MAX), Ok(()));
        match self {
            Wire::Lf { escapes } => {
                into.reserve(line.len() + 1);
                if *escapes {
                    put_escaped(line, into);
                } else {
                    into.extend_from_slice(line);
                }
                into.push(b'\n');
            }
            Wire::Octet => {
                into.reserve(line.len() + DIGITS_MAX + 1);
                put_number(line.len() as u64, into);
                into.push(b' ');
                into.extend_from_slice(line);
            }
            Wire::Relp => relp::put_frame(txnr, b"syslog", line, into),
        }
    }

    /// Bytes that a line of so many may take on the wire.
    pub(crate) fn bytes_max(&self, line_bytes: usize) -> usize {
        let escaped = match self {
            Wire::Lf { escapes: true } => line_bytes.saturating_mul(4),
            Wire::Lf { escapes: false } | Wire::Octet | Wire::Relp => line_bytes,
        };
        escaped.saturating_add(AROUND_BYTES_MAX)
    }
}

/// What goes around a line: two numbers of at most 20 digits, a word of RELP, spaces and a LF.
const AROUND_BYTES_MAX: usize = 64;

/// The line with `#012` for each LF, as rsyslog writes a control character: `#` and three octal digits.
fn put_escaped(line: &[u8], into: &mut Vec<u8>) {
    let mut rest = line;
    while let Some(at) = find(rest, b'\n') {
        into.extend_from_slice(&rest[..at]);
        into.extend_from_slice(b"#012");
        rest = &rest[at + 1..];
    }
    into.extend_from_slice(rest);
}

/// Digits of the largest `u64`.
const DIGITS_MAX: usize = 20;

/// Appends the decimal digits of a number.
pub(super) fn put_number(number: u64, into: &mut Vec<u8>) {
    let (mut digits, mut start, mut rest) = ([0; DIGITS_MAX], DIGITS_MAX, number);
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests;
