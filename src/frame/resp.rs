//! RESP, the replies of Redis and its kin: one frame is one whole top-level reply. What version 3 adds is in `resp3`.
//!
//! It checks where elements end, never what they mean. It remembers the element it stopped in and how many are still
//! owed, so a large array that drips in is not walked twice. What must always hold: the bytes walked and the least that
//! is still owed fit in the limit. So a claim is refused when it is read, and nothing is ever set aside for one.
//!
//! The bound of 32 levels is for whoever reads the payload by recursion; the codec itself needs none.

use super::find::find_either;
#[cfg(any(test, fuzzing))]
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
    /// A string over the limit that is a reply of its own is skipped.
    pub(super) skips: bool,
    /// The types of version 3 are known too.
    pub(super) is_resp3: bool,
    /// What is being walked answers no request.
    pub(super) is_push: bool,
    /// Where the next element starts; everything before it is whole.
    pub(super) position: usize,
    /// How far the line of that element has been searched for its end.
    scanned: usize,
    /// Elements still to come, the one at `position` included.
    pub(super) owed: usize,
    /// Arrays that are open.
    pub(super) depth: u8,
    /// What `owed` falls to when an open array is whole. Flat replies do without, for they end at 0; once made it is
    /// kept.
    floors: Option<Box<[usize; DEPTH_MAX]>>,
}

/// Whether an element could be walked to its end.
pub(super) enum Step {
    /// It ends here.
    Whole(usize),
    /// An array of this many elements opens; its header ends at `end`.
    Opens { elements: usize, end: usize },
    /// So many elements come first that are not counted as one, and then the element itself.
    Precedes { elements: usize, end: usize },
    /// The reply is over the limit and is to be skipped.
    Skips(Decoded),
    /// This many bytes are needed before another look.
    Wants(usize),
}

impl Resp {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            skips: false,
            is_resp3: false,
            is_push: false,
            position: 0,
            scanned: 0,
            owed: 1,
            depth: 0,
            floors: None,
        }
    }

    /// The same, with strings over the limit skipped or not.
    pub(super) fn skipping(mut self, skips: bool) -> Self {
        self.skips = skips;
        self
    }

    /// Walks the element at `position`.
    fn element(&mut self, bytes: &[u8]) -> Result<Step, FrameError> {
        match bytes.get(self.position) {
            Some(b'+' | b'-') => self.text(bytes),
            Some(b':') => self.integer(bytes),
            Some(b'$') => self.bulk(bytes, true),
            Some(b'*') => self.array(bytes),
            Some(&kind) if self.is_resp3 => self.element_of_3(kind, bytes),
            Some(_) => Err(FrameError::Malformed(
                "unknown RESP2 type byte: a reply starts with one of + - : $ *",
            )),
            None => Ok(Step::Wants(bytes.len() + 1)),
        }
    }

    pub(super) fn text(&mut self, bytes: &[u8]) -> Result<Step, FrameError> {
        let from = self.scanned.max(self.position + 1).min(bytes.len());
        let stop =
            find_either(&bytes[from..], b'\r', b'\n').map_or(bytes.len(), |index| from + index);
        self.scanned = stop;
        self.line_fits(stop)?;
        match line_end(
            bytes,
            stop,
            "a line feed inside a RESP line: a line ends with CR LF",
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

    /// A string whose length is told first; -1 is null, where there may be one.
    pub(super) fn bulk(&self, bytes: &[u8], nullable: bool) -> Result<Step, FrameError> {
        let (length, end) = match self.number(bytes)? {
            None => return Ok(Step::Wants(bytes.len() + 1)),
            Some((-1, end)) if nullable => return Ok(Step::Whole(end)),
            Some((length, end)) => (claim(length)?, end),
        };
        let whole = (end as u64 + 2).saturating_add(length);
        if let Err(oversize) = self.fits(whole, self.owed as u64 - 1) {
            return self.over(oversize, whole);
        }
        let body_end = end + length as usize;
        match bytes.get(body_end..body_end + 2) {
            None => Ok(Step::Wants(body_end + 2)),
            Some(b"\r\n") => Ok(Step::Whole(body_end + 2)),
            Some(_) => Err(FrameError::Malformed(
                "no CR LF where the length of a RESP string says it ends",
            )),
        }
    }

    /// A string over the limit: an error, unless it is all of the reply and may be skipped.
    #[cold]
    fn over(&self, oversize: FrameError, whole: u64) -> Result<Step, FrameError> {
        if !self.skips || self.position > 0 || whole == u64::MAX {
            return Err(oversize);
        }
        Ok(Step::Skips(Decoded::Skip {
            limit: self.limit,
            claimed: whole,
            consumed: whole,
        }))
    }

    fn array(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        let (elements, end) = match self.number(bytes)? {
            None => return Ok(Step::Wants(bytes.len() + 1)),
            Some((-1 | 0, end)) => return Ok(Step::Whole(end)),
            Some((elements, end)) => (claim(elements)?, end),
        };
        let elements = self.holds(elements, self.owed - 1, end)?;
        Ok(Step::Opens { elements, end })
    }

    /// Whether so many elements may open here, behind which so many more are owed.
    pub(super) fn holds(
        &self,
        elements: u64,
        owed: usize,
        end: usize,
    ) -> Result<usize, FrameError> {
        self.fits(end as u64, (owed as u64).saturating_add(elements))?;
        if elements > 0 && usize::from(self.depth) == DEPTH_MAX {
            return Err(FrameError::Malformed(
                "RESP arrays nested too deep: at most 32 levels",
            ));
        }
        Ok(elements as usize)
    }

    /// The number in the line at `position` and where that line ends. Read anew each time: it is short.
    pub(super) fn number(&self, bytes: &[u8]) -> Result<Option<(i128, usize)>, FrameError> {
        let start = self.position + 1;
        let line = &bytes[start..bytes.len().min(start + NUMBER_BYTES_MAX + 1)];
        let sign = usize::from(line.starts_with(b"-"));
        let (mut magnitude, mut length) = (0, sign);
        while let Some(digit @ b'0'..=b'9') = line.get(length) {
            magnitude = magnitude * 10 + i128::from(digit - b'0');
            length += 1;
        }
        #[cfg(any(test, fuzzing))]
        meter::add(length + 1);

        self.line_fits(start + length)?;
        if length > NUMBER_BYTES_MAX {
            return Err(FrameError::Malformed(
                "a RESP number is too long: at most 20 characters",
            ));
        }
        if length == sign && length < line.len() {
            return Err(FrameError::Malformed(
                if self.is_resp3 && line.starts_with(b"?") {
                    "a streamed RESP3 type (a length of ?): only types whose length is told first are taken"
                } else {
                    "a RESP number has no digits: an optional - and digits belong there"
                },
            ));
        }
        let foreign = "a foreign byte in a RESP number: only an optional - and digits belong there";
        let end = line_end(bytes, start + length, foreign)?;
        let number = match (sign, magnitude) {
            // -0 is a number, but no length: as far below zero as any.
            (1, 0) => i128::MIN,
            (1, _) => -magnitude,
            _ => magnitude,
        };
        Ok(end.map(|end| (number, end)))
    }

    /// A line whose end is not before `stop`: what is certain of it must fit.
    pub(super) fn line_fits(&self, stop: usize) -> Result<(), FrameError> {
        let limit = self.limit as u64;
        // How much of a line is here depends on how it was cut; that it is over the limit by one byte does not.
        self.fits(stop as u64 + 2, self.owed as u64 - 1)
            .map_err(|_| FrameError::Oversize {
                limit: self.limit,
                claimed: limit.saturating_add(1),
            })
    }

    /// Bytes up to `end`, and `owed` elements behind them, must fit. What is too large to be counted fits in no limit.
    fn fits(&self, end: u64, owed: u64) -> Result<(), FrameError> {
        let claimed = owed.saturating_mul(ELEMENT_BYTES_MIN).saturating_add(end);
        if claimed > self.limit as u64 || claimed == u64::MAX {
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

    /// So many elements come before anything else that is owed.
    fn open(&mut self, elements: usize) {
        if elements == 0 {
            return;
        }
        if self.owed > 0 || self.depth > 0 || self.floors.is_some() {
            let floors = self.floors.get_or_insert_with(|| Box::new([0; DEPTH_MAX]));
            floors[usize::from(self.depth)] = self.owed;
        }
        self.depth += 1;
        self.owed += elements;
    }

    fn close_whole_arrays(&mut self) {
        while let Some(outer) = self.depth.checked_sub(1)
            && let Some(floors) = &self.floors
            && self.owed == floors[usize::from(outer)]
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
                Step::Precedes { elements, end } => {
                    self.position = end;
                    self.open(elements);
                }
                Step::Skips(skip) => return Ok(skip),
                Step::Wants(wanted) => return Ok(Decoded::Incomplete { wanted }),
            }
            debug_assert!(
                self.fits(self.position as u64, self.owed as u64).is_ok(),
                "what is owed fits in the limit"
            );
        }
        let (start, end, consumed) = (0, self.position, self.position);
        (self.position, self.owed, self.depth) = (0, 1, 0);
        Ok(match std::mem::take(&mut self.is_push) {
            false => Decoded::Frame {
                start,
                end,
                consumed,
            },
            true => Decoded::Push {
                start,
                end,
                consumed,
            },
        })
    }

    fn begins_reply(&self, bytes: &[u8]) -> bool {
        !self.is_resp3 || !matches!(bytes.first(), Some(b'>' | b'|') | None)
    }
}

/// The length or count a header claims, as large as a `u64` can say it.
pub(super) fn claim(number: i128) -> Result<u64, FrameError> {
    u64::try_from(number.min(u64::MAX.into())).map_err(|_| {
        FrameError::Malformed("a negative RESP length: it is 0 or more, or -1 for null")
    })
}

/// Where the line whose content ends at `stop` is over, if its CR LF is here. `foreign` says what any other byte is.
pub(super) fn line_end(
    bytes: &[u8],
    stop: usize,
    foreign: &'static str,
) -> Result<Option<usize>, FrameError> {
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r'), Some(b'\n')) => Ok(Some(stop + 2)),
        (Some(b'\r'), Some(_)) => Err(FrameError::Malformed(
            "a carriage return without its line feed: a RESP line ends with CR LF",
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
