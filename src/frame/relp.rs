//! RELP: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`. One frame is all of it but the LF, so that whoever reads it sees whom
//! it answers.
//!
//! The header has at most 53 bytes and is read anew until it is whole; its claim is checked before it is used for
//! anything, and remembered, so that a long frame that drips in is not read twice. What a command means is not asked.
//!
//! Where DATALEN is 0, the specification (librelp, `doc/relp.md`) has neither SP nor DATA, and librelp keeps to that on
//! both sides (`relpframe.c`). Teragrep's server does not: its answer to `close` and its `serverclose` end with `0 SP LF`
//! (rlp_03, `RelpFrameImpl.toWriteable`), and so does whatever is empty from gorelp (`relp.go`, `send`). So that one SP
//! is taken, and nothing else that the specification does not allow.

#[cfg(any(test, fuzzing))]
use super::find::meter;
use super::limit::Limit;
use super::{Codec, Decoded, FrameError};

/// Digits of a TXNR or a DATALEN.
const DIGITS_MAX: usize = 9;
/// Letters of a COMMAND.
const LETTERS_MAX: usize = 32;

const TXNR_RULE: &str = "a RELP frame starts with its TXNR: 1 to 9 digits and a space";
const COMMAND_RULE: &str = "a RELP command is 1 to 32 letters and a space";
const DATALEN_RULE: &str =
    "a RELP DATALEN is 1 to 9 digits and a space, or a line feed where it is 0";
const TRAILER_RULE: &str = "no line feed where DATALEN says that the RELP frame ends";

pub(super) struct Relp {
    limit: Limit,
    /// Bytes of the frame that has begun, its LF included; 0 until they are known.
    whole: usize,
}

impl Relp {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, whole: 0 }
    }

    /// The bytes of a frame without its LF, if its header is here.
    fn size(&self, bytes: &[u8]) -> Result<Option<u64>, FrameError> {
        // The header belongs to the frame, so it has to fit; behind the limit there is room for the LF and no more.
        let fits = bytes.len().min(self.limit.bytes.saturating_add(1));
        let size = header_and_data(&bytes[..fits]).map_err(FrameError::Malformed)?;
        if size.is_none() && bytes.len() > self.limit.bytes {
            return Err(FrameError::Oversize {
                limit: self.limit.bytes,
                claimed: self.limit.bytes as u64 + 1,
            });
        }
        Ok(size)
    }
}

impl Codec for Relp {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        if self.whole == 0 {
            let Some(size) = self.size(bytes)? else {
                let wanted = bytes.len() + 1;
                return Ok(Decoded::Incomplete { wanted });
            };
            if size > self.limit.bytes as u64 {
                return self.limit.over(size, Some(size + 1));
            }
            self.whole = size as usize + 1;
        }
        let (end, consumed) = (self.whole - 1, self.whole);
        match bytes.get(end) {
            None => return Ok(Decoded::Incomplete { wanted: consumed }),
            Some(b'\n') => self.whole = 0,
            Some(_) => return Err(FrameError::Malformed(TRAILER_RULE)),
        }
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed,
        })
    }
}

/// A frame of RELP, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RelpFrame<'a> {
    /// Whom it answers; 0 for a hint, which is not answered.
    pub(crate) txnr: u32,
    pub(crate) command: &'a [u8],
    pub(crate) data: &'a [u8],
}

impl<'a> RelpFrame<'a> {
    /// Reads a frame as the codec hands it on: whole, without its LF.
    ///
    /// # Errors
    /// The rule that it breaks. What the codec has handed on breaks none.
    pub(crate) fn parse(frame: &'a [u8]) -> Result<RelpFrame<'a>, &'static str> {
        let (txnr, command, rest) = txnr_and_command(frame)?.ok_or(DATALEN_RULE)?;
        let space = rest.iter().position(|&byte| byte == b' ');
        let (digits, data) = match space {
            Some(space) => (&rest[..space], &rest[space + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        let is_number = (1..=DIGITS_MAX).contains(&digits.len());
        if !is_number || !digits.iter().all(u8::is_ascii_digit) {
            return Err(DATALEN_RULE);
        }
        if value(digits) as usize != data.len() {
            return Err(TRAILER_RULE);
        }
        Ok(RelpFrame {
            txnr,
            command,
            data,
        })
    }
}

/// The bytes of a frame up to its data, and those of its data; `None` while the header is not whole.
fn header_and_data(bytes: &[u8]) -> Result<Option<u64>, &'static str> {
    #[cfg(any(test, fuzzing))]
    meter::add(bytes.len().min(2 * DIGITS_MAX + LETTERS_MAX + 3));
    let Some((_, _, rest)) = txnr_and_command(bytes)? else {
        return Ok(None);
    };
    let Some((data, end)) = number(rest, DATALEN_RULE)? else {
        return Ok(None);
    };
    let before = bytes.len() - rest.len() + end;
    match rest[end] {
        b' ' => Ok(Some(before as u64 + 1 + u64::from(data))),
        b'\n' if data == 0 => Ok(Some(before as u64)),
        _ => Err(DATALEN_RULE),
    }
}

/// A TXNR, the COMMAND, and what stands behind the space that ends it.
type Start<'a> = (u32, &'a [u8], &'a [u8]);

fn txnr_and_command(bytes: &[u8]) -> Result<Option<Start<'_>>, &'static str> {
    let Some((txnr, end)) = number(bytes, TXNR_RULE)? else {
        return Ok(None);
    };
    if bytes[end] != b' ' {
        return Err(TXNR_RULE);
    }
    let rest = &bytes[end + 1..];
    let letters = rest.iter().take(LETTERS_MAX + 1);
    let letters = letters
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    match rest.get(letters) {
        _ if letters > LETTERS_MAX => Err(COMMAND_RULE),
        None => Ok(None),
        Some(b' ') if letters > 0 => Ok(Some((txnr, &rest[..letters], &rest[letters + 1..]))),
        Some(_) => Err(COMMAND_RULE),
    }
}

/// A number of 1 to 9 digits and where it ends; `None` while its end has not come.
fn number(bytes: &[u8], rule: &'static str) -> Result<Option<(u32, usize)>, &'static str> {
    let digits = bytes.iter().take(DIGITS_MAX + 1);
    let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
    match bytes.get(digits) {
        _ if digits > DIGITS_MAX => Err(rule),
        None => Ok(None),
        Some(_) if digits == 0 => Err(rule),
        Some(_) => Ok(Some((value(&bytes[..digits]), digits))),
    }
}

/// The value of at most 9 digits.
fn value(digits: &[u8]) -> u32 {
    let digit = |value: u32, digit: &u8| value * 10 + u32::from(digit - b'0');
    digits.iter().fold(0, digit)
}

#[cfg(test)]
mod tests {
    use super::super::Framing;
    use super::*;

    const LIMIT: usize = 100;

    fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
        Relp::new(Limit::of(LIMIT)).decode(bytes)
    }

    fn frame(end: usize) -> Result<Decoded, FrameError> {
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed: end + 1,
        })
    }

    fn incomplete(wanted: usize) -> Result<Decoded, FrameError> {
        Ok(Decoded::Incomplete { wanted })
    }

    #[test]
    fn a_frame_is_all_of_it_but_its_line_feed() {
        assert_eq!(decode(b"2 rsp 6 200 OK\n3 rsp"), frame(14));
        assert_eq!(decode(b"0 serverclose 0\n"), frame(15));
        assert_eq!(decode(b"0 serverclose 0 \n"), frame(16));
        assert_eq!(decode(b"007 rsp 001 \n\n"), frame(13));
        assert_eq!(decode(b"999999999 rsp 1 \xff\n"), frame(17));
        assert_eq!(decode(b""), incomplete(1));
    }

    #[test]
    fn the_header_is_asked_for_by_the_byte_and_the_rest_at_once() {
        let stream = b"12 rsp 6 200 OK\n";
        for length in 0..9 {
            assert_eq!(decode(&stream[..length]), incomplete(length + 1));
        }
        for length in 9..16 {
            assert_eq!(decode(&stream[..length]), incomplete(16));
        }
    }

    #[test]
    fn the_header_of_a_frame_that_drips_in_is_not_read_again() {
        let header = format!("999999999 {} {:09} ", "x".repeat(32), 1000);
        let stream = [header.as_bytes(), &[b'\n'; 1001]].concat();
        let mut codec = Relp::new(Limit::of(2000));
        let whole = header.len() + 1001;
        assert_eq!(codec.decode(header.as_bytes()), incomplete(whole));
        meter::take();
        for length in header.len()..whole {
            assert_eq!(codec.decode(&stream[..length]), incomplete(whole));
        }
        assert_eq!(
            (codec.decode(&stream), meter::take()),
            (frame(whole - 1), 0)
        );
        assert_eq!(codec.decode(b"1 rsp 0\n"), frame(7), "and is forgotten");
    }

    #[test]
    fn what_breaks_a_rule_is_told_by_the_rule() {
        let letters = |n: usize| ["1 ", &"x".repeat(n), " 0\n"].concat().into_bytes();
        for (bytes, rule) in [
            (&b"x"[..], TXNR_RULE),
            (b" 1 rsp 0\n", TXNR_RULE),
            (b"+1 rsp 0\n", TXNR_RULE),
            (b"1\n", TXNR_RULE),
            (b"1234567890", TXNR_RULE),
            (b"1  0\n", COMMAND_RULE),
            (b"1 r2", COMMAND_RULE),
            (b"1 rsp\n", COMMAND_RULE),
            (&letters(33), COMMAND_RULE),
            (b"1 rsp  ", DATALEN_RULE),
            (b"1 rsp \n", DATALEN_RULE),
            (b"1 rsp 1\n", DATALEN_RULE),
            (b"1 rsp -1", DATALEN_RULE),
            (b"1 rsp 0\r\n", DATALEN_RULE),
            (b"1 rsp 1234567890", DATALEN_RULE),
            (b"1 rsp 0 x", TRAILER_RULE),
            (b"1 rsp 2 abc", TRAILER_RULE),
        ] {
            let refused = Err(FrameError::Malformed(rule));
            assert_eq!(decode(bytes), refused, "{}", bytes.escape_ascii());
        }
        assert_eq!(decode(&letters(32)), frame(36));
    }

    #[test]
    fn the_limit_counts_the_header_and_not_the_line_feed() {
        let decode = |bytes: &[u8]| Relp::new(Limit::of(10)).decode(bytes);
        let oversize = |claimed| Err(FrameError::Oversize { limit: 10, claimed });
        assert_eq!(decode(b"1 rsp 2 ab\n"), frame(10));
        assert_eq!(decode(b"1 rsp 3 "), oversize(11));
        assert_eq!(decode(b"1 rsp 999999999 "), oversize(11));
        assert_eq!(decode(b"1 rsp 999 "), oversize(10 + 999));
        assert_eq!(decode(b"12345 rs 0\n"), frame(10));
        assert_eq!(decode(b"12345 rs 0 "), oversize(11));
        assert_eq!(decode(b"12345 rsp "), incomplete(11));
        assert_eq!(decode(b"12345 rsp 0"), oversize(11));
    }

    #[test]
    fn a_frame_over_the_limit_is_skipped_with_its_line_feed() {
        let framing = Framing::relp().frame_bytes_max(10).skip_oversize();
        let skip = Decoded::Skip {
            limit: 10,
            claimed: 1009,
            consumed: 1010,
        };
        let mut decoder = framing.decoder(1);
        assert_eq!(decoder.decode(b"1 rsp 999 "), Ok(skip));
        assert_eq!(decoder.decode(b"2 rsp 0\n"), frame(7));
    }

    #[test]
    fn a_frame_falls_into_its_parts() {
        let parts = |txnr, command, data| {
            Ok(RelpFrame {
                txnr,
                command,
                data,
            })
        };
        let rsp: &[u8] = b"rsp";
        assert_eq!(
            RelpFrame::parse(b"12 rsp 3 a b"),
            parts(12, rsp, &b"a b"[..])
        );
        assert_eq!(RelpFrame::parse(b"1 rsp 0"), parts(1, rsp, b""));
        assert_eq!(RelpFrame::parse(b"1 rsp 0 "), parts(1, rsp, b""));
        for (frame, rule) in [
            (&b""[..], DATALEN_RULE),
            (b"1 rsp ", DATALEN_RULE),
            (b"1 rsp 0x", DATALEN_RULE),
            (b"1 rsp 1234567890 ", DATALEN_RULE),
            (b"1 rsp 1", TRAILER_RULE),
            (b"1 rsp 1 ab", TRAILER_RULE),
            (b"1 rsp 0 a", TRAILER_RULE),
            (b"x rsp 0", TXNR_RULE),
            (b"1 r-p 0", COMMAND_RULE),
        ] {
            assert_eq!(RelpFrame::parse(frame), Err(rule));
        }
    }
}
