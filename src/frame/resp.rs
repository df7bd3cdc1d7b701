//! RESP2, the replies of Redis and its kin: one frame is one whole top-level reply.
//!
//! It checks where elements end, never what they mean. It remembers the element it stopped in and how many are still
//! owed, so a large array that drips in is not walked twice. What must always hold: the bytes walked and the least that
//! is still owed fit in the limit. So a claim is refused when it is read, and nothing is ever set aside for one.
//!
//! The bound of 32 levels is for whoever reads the payload by recursion; the codec itself needs none.

use super::find::find_either;
#[cfg(test)]
use super::find::meter;
use super::{Codec, Decoded, FrameError};

/// Arrays within arrays that may be open at once. An empty array opens no level.
const DEPTH_MAX: usize = 32;
/// The smallest element there is: `+\r\n`.
const ELEMENT_BYTES_MIN: u64 = 3;
/// The longest number: `-9223372036854775808`.
const NUMBER_BYTES_MAX: usize = 20;

pub(super) struct Resp {
    limit: usize,
    /// Where the next element starts; everything before it is whole.
    position: usize,
    /// How far the line of that element has been searched for its end.
    scanned: usize,
    /// Elements still to come, the one at `position` included.
    owed: usize,
    /// Arrays that are open.
    depth: usize,
    /// What `owed` falls to when an open array is whole, for each but the outermost, which ends at 0. Flat replies do
    /// without; once made it is kept.
    floors: Option<Box<[usize; DEPTH_MAX - 1]>>,
}

/// Whether an element could be walked to its end.
enum Step {
    /// It ends here.
    Whole(usize),
    /// An array of this many elements opens; its header ends at `end`.
    Opens { elements: usize, end: usize },
    /// This many bytes are needed before another look.
    Wants(usize),
}

impl Resp {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            position: 0,
            scanned: 0,
            owed: 1,
            depth: 0,
            floors: None,
        }
    }

    /// Walks the element at `position`.
    fn element(&mut self, bytes: &[u8]) -> Result<Step, FrameError> {
        match bytes.get(self.position) {
            Some(b'+' | b'-') => self.text(bytes),
            Some(b':') => self.integer(bytes),
            Some(b'$') => self.bulk(bytes),
            Some(b'*') => self.array(bytes),
            Some(_) => Err(FrameError::Malformed(
                "unknown RESP2 type byte: a reply starts with one of + - : $ *",
            )),
            None => Ok(Step::Wants(bytes.len() + 1)),
        }
    }

    fn text(&mut self, bytes: &[u8]) -> Result<Step, FrameError> {
        let from = self.scanned.max(self.position + 1).min(bytes.len());
        let stop =
            find_either(&bytes[from..], b'\r', b'\n').map_or(bytes.len(), |index| from + index);
        self.scanned = stop;
        self.line_fits(stop)?;
        match line_end(
            bytes,
            stop,
            "a line feed inside a RESP2 line: a line ends with CR LF",
        )? {
            Some(end) => Ok(Step::Whole(end)),
            None => Ok(Step::Wants(bytes.len() + 1)),
        }
    }

    fn integer(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        Ok(self
            .number(bytes)?
            .map_or(Step::Wants(bytes.len() + 1), |(_, end)| Step::Whole(end)))
    }

    fn bulk(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        let (length, end) = match self.number(bytes)? {
            None => return Ok(Step::Wants(bytes.len() + 1)),
            Some((-1, end)) => return Ok(Step::Whole(end)),
            Some((length, end)) => (claim(length)?, end),
        };
        self.fits(
            (end as u64 + 2).saturating_add(length),
            self.owed as u64 - 1,
        )?;
        let body_end = end + length as usize;
        match bytes.get(body_end..body_end + 2) {
            None => Ok(Step::Wants(body_end + 2)),
            Some(b"\r\n") => Ok(Step::Whole(body_end + 2)),
            Some(_) => Err(FrameError::Malformed(
                "no CR LF where the length of a RESP2 bulk string says it ends",
            )),
        }
    }

    fn array(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        let (elements, end) = match self.number(bytes)? {
            None => return Ok(Step::Wants(bytes.len() + 1)),
            Some((-1 | 0, end)) => return Ok(Step::Whole(end)),
            Some((elements, end)) => (claim(elements)?, end),
        };
        self.fits(end as u64, (self.owed as u64 - 1).saturating_add(elements))?;
        if self.depth == DEPTH_MAX {
            return Err(FrameError::Malformed(
                "RESP2 arrays nested too deep: at most 32 levels",
            ));
        }
        Ok(Step::Opens {
            elements: elements as usize,
            end,
        })
    }

    /// The number in the line at `position` and where that line ends. Read anew each time: it is short.
    fn number(&self, bytes: &[u8]) -> Result<Option<(i128, usize)>, FrameError> {
        let start = self.position + 1;
        let line = &bytes[start..bytes.len().min(start + NUMBER_BYTES_MAX + 1)];
        let sign = usize::from(line.starts_with(b"-"));
        let (mut magnitude, mut length) = (0, sign);
        while let Some(digit @ b'0'..=b'9') = line.get(length) {
            magnitude = magnitude * 10 + i128::from(digit - b'0');
            length += 1;
        }
        #[cfg(test)]
        meter::add(length + 1);

        self.line_fits(start + length)?;
        if length > NUMBER_BYTES_MAX {
            return Err(FrameError::Malformed(
                "a RESP2 number is too long: at most 20 characters",
            ));
        }
        if length == sign && length < line.len() {
            return Err(FrameError::Malformed(
                "a RESP2 number has no digits: an optional - and digits belong there",
            ));
        }
        let foreign =
            "a foreign byte in a RESP2 number: only an optional - and digits belong there";
        let end = line_end(bytes, start + length, foreign)?;
        let number = if sign == 1 { -magnitude } else { magnitude };
        Ok(end.map(|end| (number, end)))
    }

    /// A line whose end is not before `stop`: what is certain of it must fit.
    fn line_fits(&self, stop: usize) -> Result<(), FrameError> {
        let limit = self.limit as u64;
        // How much of a line is here depends on how it was cut; that it is over the limit by one byte does not.
        self.fits(stop as u64 + 2, self.owed as u64 - 1)
            .map_err(|_| FrameError::Oversize {
                limit: self.limit,
                claimed: limit.saturating_add(1),
            })
    }

    /// Bytes up to `end`, and `owed` elements behind them, must fit.
    fn fits(&self, end: u64, owed: u64) -> Result<(), FrameError> {
        let claimed = owed.saturating_mul(ELEMENT_BYTES_MIN).saturating_add(end);
        if claimed > self.limit as u64 {
            return Err(FrameError::Oversize {
                limit: self.limit,
                claimed,
            });
        }
        Ok(())
    }

    /// The element at `position` is over, or an array's header is: on to the next.
    fn advance(&mut self, end: usize) {
        self.position = end;
        self.scanned = 0;
        self.owed -= 1;
    }

    fn open(&mut self, elements: usize) {
        if self.depth > 0 {
            let floors = self
                .floors
                .get_or_insert_with(|| Box::new([0; DEPTH_MAX - 1]));
            floors[self.depth - 1] = self.owed;
        }
        self.depth += 1;
        self.owed += elements;
    }

    fn close_whole_arrays(&mut self) {
        while let Some(outer) = self.depth.checked_sub(2)
            && let Some(floors) = &self.floors
            && self.owed == floors[outer]
        {
            self.depth -= 1;
        }
    }
}

impl Codec for Resp {
    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, FrameError> {
        while self.owed > 0 {
            match self.element(bytes)? {
                Step::Whole(end) => {
                    self.advance(end);
                    self.close_whole_arrays();
                }
                Step::Opens { elements, end } => {
                    self.advance(end);
                    self.open(elements);
                }
                Step::Wants(wanted) => return Ok(Decoded::Incomplete { wanted }),
            }
            debug_assert!(
                self.fits(self.position as u64, self.owed as u64).is_ok(),
                "what is owed fits in the limit"
            );
        }
        let end = self.position;
        (self.position, self.owed, self.depth) = (0, 1, 0);
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed: end,
        })
    }
}

/// The length or count a header claims, as large as a `u64` can say it.
fn claim(number: i128) -> Result<u64, FrameError> {
    u64::try_from(number.min(u64::MAX.into())).map_err(|_| {
        FrameError::Malformed("a negative RESP2 length: it is 0 or more, or -1 for null")
    })
}

/// Where the line whose content ends at `stop` is over, if its CR LF is here. `foreign` says what any other byte is.
fn line_end(bytes: &[u8], stop: usize, foreign: &'static str) -> Result<Option<usize>, FrameError> {
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(b'\n')) => Ok(Some(stop + 2)),
        (Some(b'\r'), Some(_)) => Err(FrameError::Malformed(
            "a carriage return without its line feed: a RESP2 line ends with CR LF",
        )),
        (Some(_), _) => Err(FrameError::Malformed(foreign)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_replies_allocate_nothing_and_the_stack_is_kept() {
        let mut codec = Resp::new(100);
        for _ in 0..2 {
            assert_eq!(codec.decode(b"*2\r\n:1\r\n$1\r\na\r\n"), frame(15));
        }
        assert!(codec.floors.is_none());
        assert_eq!(codec.decode(b"*1\r\n*1\r\n:1\r\n"), frame(12));
        assert!(codec.floors.is_some());
        assert_eq!(codec.decode(b"*2\r\n*1\r\n:1\r\n:2\r\n"), frame(16));
    }

    fn frame(end: usize) -> Result<Decoded, FrameError> {
        Ok(Decoded::Frame {
            start: 0,
            end,
            consumed: end,
        })
    }
}
