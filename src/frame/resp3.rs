//! What RESP3 adds to RESP2: more types, attributes, and pushes.
//!
//! An attribute is no element: it stands before the element it speaks of and belongs to it, so both are one frame. A
//! push answers no request; it stands between replies and never within one. Streamed types (`$?`, `*?`) are refused:
//! their length is not known before their end.

use super::FrameError;
use super::resp::{Resp, Step, claim, line_end};

impl Resp {
    pub(super) fn version_3(limit: usize) -> Self {
        let mut codec = Self::new(limit);
        codec.is_resp3 = true;
        codec
    }

    /// Walks an element of a type that RESP2 does not have.
    pub(super) fn element_of_3(&mut self, kind: u8, bytes: &[u8]) -> Result<Step, FrameError> {
        match kind {
            b'_' => self.word(bytes, b"", "a RESP3 null is _ CR LF"),
            b'#' => self.word(bytes, b"tf", "a RESP3 boolean is #t or #f"),
            b',' | b'(' => self.text(bytes),
            b'!' | b'=' => self.bulk(bytes, false),
            b'~' => self.aggregate(bytes, 1),
            b'%' => self.aggregate(bytes, 2),
            b'|' => self.attribute(bytes),
            b'>' => self.push(bytes),
            _ => Err(FrameError::Malformed(
                "unknown RESP3 type byte: a reply starts with one of + - : $ * _ # , ( ! = % ~ | >",
            )),
        }
    }

    /// A line of nothing, or of one byte out of a few.
    fn word(&self, bytes: &[u8], letters: &[u8], rule: &'static str) -> Result<Step, FrameError> {
        let start = self.position + 1;
        let stop = start + usize::from(!letters.is_empty());
        self.line_fits(stop)?;
        let letter = bytes.get(start).filter(|_| stop > start);
        if letter.is_some_and(|letter| !letters.contains(letter)) {
            return Err(FrameError::Malformed(rule));
        }
        Ok(line_end(bytes, stop, rule)?.map_or(Step::Wants(bytes.len() + 1), Step::Whole))
    }

    /// A set, or a map with two elements for each it counts.
    fn aggregate(&self, bytes: &[u8], factor: u64) -> Result<Step, FrameError> {
        Ok(match self.count(bytes, factor)? {
            None => Step::Wants(bytes.len() + 1),
            Some((0, end)) => Step::Whole(end),
            Some((elements, end)) => Step::Opens {
                elements: self.holds(elements, self.owed - 1, end)?,
                end,
            },
        })
    }

    fn attribute(&self, bytes: &[u8]) -> Result<Step, FrameError> {
        let Some((elements, end)) = self.count(bytes, 2)? else {
            return Ok(Step::Wants(bytes.len() + 1));
        };
        let elements = self.holds(elements, self.owed, end)?;
        Ok(Step::Precedes { elements, end })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<Step, FrameError> {
        if self.depth > 0 {
            return Err(FrameError::Malformed(
                "a RESP3 push within a reply: it stands between replies",
            ));
        }
        self.is_push = true;
        self.aggregate(bytes, 1)
    }

    /// The elements a header claims, and where it ends.
    fn count(&self, bytes: &[u8], factor: u64) -> Result<Option<(u64, usize)>, FrameError> {
        let Some((number, end)) = self.number(bytes)? else {
            return Ok(None);
        };
        Ok(Some((claim(number)?.saturating_mul(factor), end)))
    }
}
