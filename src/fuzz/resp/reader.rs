//! Reads replies by recursion, over bytes that are all there; knows the rules of the framing and nothing of its codec.
//!
//! A claim is wrong when the bytes up to it, and three for each element that is then still owed, are over the limit.

use super::super::feed::{Cut, Fed};
use super::super::plain::{self, Found, malformed};
use crate::frame::FrameError;

const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) limit: usize,
    pub(super) is_resp3: bool,
    pub(super) skips: bool,
}

/// Why a reply does not end.
enum Stop {
    Unfinished,
    Malformed,
    Oversize(u64),
    /// A string of so many bytes, all of its reply, is over the limit.
    Skip(u64),
}

type Read<T> = Result<T, Stop>;

/// One reply, from its first byte on.
struct Reply<'a> {
    rules: Reader,
    bytes: &'a [u8],
    is_push: bool,
}

impl Reader {
    pub(super) fn read(self, stream: &[u8]) -> Fed {
        let may_be_push = |rest: &[u8]| self.is_resp3 && matches!(rest[0], b'>' | b'|');
        plain::read(stream, |rest| self.find(rest), |rest| !may_be_push(rest))
    }

    fn find(self, bytes: &[u8]) -> Found {
        let mut reply = Reply {
            rules: self,
            bytes,
            is_push: false,
        };
        let (start, limit) = (0, self.limit);
        match reply.element(0, 0, 0) {
            Ok(end) if reply.is_push => Found::Cut(Cut::Push { start, end }, end as u128),
            Ok(end) => Found::Cut(Cut::Frame { start, end }, end as u128),
            Err(Stop::Skip(claimed)) => Found::Cut(Cut::Skip { start, claimed }, claimed.into()),
            Err(Stop::Unfinished) => Found::Nothing,
            Err(Stop::Malformed) => malformed(),
            Err(Stop::Oversize(claimed)) => Found::Wrong(FrameError::Oversize { limit, claimed }),
        }
    }
}

impl Reply<'_> {
    /// Where the element at `at` ends, with `owed` more behind it and `open` arrays around it.
    fn element(&mut self, at: usize, owed: u64, open: usize) -> Read<usize> {
        let kind = *self.bytes.get(at).ok_or(Stop::Unfinished)?;
        match kind {
            b'+' | b'-' => self.line(at, owed),
            b':' => Ok(self.number(at, owed)?.1),
            b'$' => self.string(at, owed, true),
            b'*' => match self.number(at, owed)? {
                (-1, end) => Ok(end),
                (number, end) => self.elements(claim(number)?, end, owed, open),
            },
            _ if !self.rules.is_resp3 => Err(Stop::Malformed),
            b'_' => self.word(at, owed, b""),
            b'#' => self.word(at, owed, b"tf"),
            b',' | b'(' => self.line(at, owed),
            b'!' | b'=' => self.string(at, owed, false),
            b'~' | b'>' | b'%' => {
                if kind == b'>' && open > 0 {
                    return Err(Stop::Malformed);
                }
                self.is_push |= kind == b'>';
                let (number, end) = self.number(at, owed)?;
                let factor = if kind == b'%' { 2 } else { 1 };
                self.elements(claim(number)?.saturating_mul(factor), end, owed, open)
            }
            b'|' => {
                let (number, end) = self.number(at, owed)?;
                let count = claim(number)?.saturating_mul(2);
                let end = self.elements(count, end, owed + 1, open)?;
                self.element(end, owed, open)
            }
            _ => Err(Stop::Malformed),
        }
    }

    /// Where so many elements end that begin at `at`.
    fn elements(&mut self, count: u64, at: usize, owed: u64, open: usize) -> Read<usize> {
        self.fits(at as u64, owed.saturating_add(count))?;
        if count > 0 && open == DEPTH_MAX {
            return Err(Stop::Malformed);
        }
        (0..count)
            .rev()
            .try_fold(at, |at, behind| self.element(at, owed + behind, open + 1))
    }

    fn string(&mut self, at: usize, owed: u64, nullable: bool) -> Read<usize> {
        let (number, end) = self.number(at, owed)?;
        if number == -1 && nullable {
            return Ok(end);
        }
        let whole = (end as u64 + 2).saturating_add(claim(number)?);
        match self.fits(whole, owed) {
            Err(_) if self.rules.skips && at == 0 && whole < u64::MAX => {
                return Err(Stop::Skip(whole));
            }
            fits => fits?,
        }
        match self.bytes.get(whole as usize - 2..whole as usize) {
            None => Err(Stop::Unfinished),
            Some(b"\r\n") => Ok(whole as usize),
            Some(_) => Err(Stop::Malformed),
        }
    }

    fn line(&self, at: usize, owed: u64) -> Read<usize> {
        let rest = &self.bytes[at..];
        let length = rest.iter().position(|byte| b"\r\n".contains(byte));
        self.line_end(at + length.unwrap_or(rest.len()), owed)
    }

    /// A line of nothing, or of one of these letters.
    fn word(&self, at: usize, owed: u64, letters: &[u8]) -> Read<usize> {
        let stop = at + 1 + usize::from(!letters.is_empty());
        self.line_fits(stop, owed)?;
        match self.bytes.get(at + 1..stop) {
            Some([letter]) if !letters.contains(letter) => Err(Stop::Malformed),
            _ => self.line_end(stop, owed),
        }
    }

    fn number(&self, at: usize, owed: u64) -> Read<(i128, usize)> {
        let line = &self.bytes[at + 1..];
        let sign = usize::from(line.starts_with(b"-"));
        let digits = line[sign..].iter().take_while(|byte| byte.is_ascii_digit());
        let length = (sign + digits.count()).min(21);
        self.line_fits(at + 1 + length, owed)?;
        if length == 21 || length == sign && line.len() > sign {
            return Err(Stop::Malformed);
        }
        let end = self.line_end(at + 1 + length, owed)?;
        let text = String::from_utf8_lossy(&line[..length]);
        let number = text.parse().map_err(|_| Stop::Malformed)?;
        // No length is -0.
        let is_negative_zero = sign == 1 && number == 0;
        Ok((if is_negative_zero { i128::MIN } else { number }, end))
    }

    /// The line whose content ends at `stop`.
    fn line_end(&self, stop: usize, owed: u64) -> Read<usize> {
        self.line_fits(stop, owed)?;
        let end = self.bytes.get(stop..).unwrap_or_default();
        match end {
            [b'\r', b'\n', ..] => Ok(stop + 2),
            [] | [b'\r'] => Err(Stop::Unfinished),
            _ => Err(Stop::Malformed),
        }
    }

    fn line_fits(&self, stop: usize, owed: u64) -> Read<()> {
        let over_by_one = (self.rules.limit as u64).saturating_add(1);
        self.fits(stop as u64 + 2, owed)
            .map_err(|_| Stop::Oversize(over_by_one))
    }

    fn fits(&self, end: u64, owed: u64) -> Read<()> {
        let claimed = owed.saturating_mul(3).saturating_add(end);
        // What cannot be counted is over every limit.
        match claimed > self.rules.limit as u64 || claimed == u64::MAX {
            true => Err(Stop::Oversize(claimed)),
            false => Ok(()),
        }
    }
}

/// What a length says: 0 or more.
fn claim(number: i128) -> Read<u64> {
    u64::try_from(number.min(u64::MAX.into())).map_err(|_| Stop::Malformed)
}
