//! Feeds a stream to a decoder in pieces, as a connection would, and holds each answer to the codec's rules.
//!
//! What comes out is where in the stream each frame lay, so two ways of feeding can be compared to the byte, and a
//! reader that is plainly right can be held against both.

use crate::frame::{Decoded, FrameError, Framing, meter};

/// The most bytes that stand around a payload: the farthest header here, a delimiter.
pub(crate) const AROUND_BYTES_MAX: usize = 16;
/// How often a byte may be looked at, and how many bytes a call may look at again: a delimiter of 16 bytes, twice.
const LOOKS_MAX: usize = 40;

/// What was cut, by its place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Frame { start: usize, end: usize },
    Push { start: usize, end: usize },
    Skip { start: usize, claimed: u64 },
}

impl Cut {
    /// The same, found so many bytes further on.
    pub(super) fn moved(self, by: usize) -> Cut {
        match self {
            Cut::Frame { start, end } => Cut::Frame {
                start: start + by,
                end: end + by,
            },
            Cut::Push { start, end } => Cut::Push {
                start: start + by,
                end: end + by,
            },
            Cut::Skip { start, claimed } => Cut::Skip {
                start: start + by,
                claimed,
            },
        }
    }
}

/// What a stream came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fed {
    pub(crate) cuts: Vec<Cut>,
    pub(crate) error: Option<FrameError>,
    /// Bytes of an unfinished frame; 0 after an error.
    pub(crate) left_over: usize,
    /// There are bytes unfinished, or wrong, that are sure to answer a request.
    pub(crate) begins_reply: bool,
}

/// Feeds the stream in pieces, the sizes of which go round in `pieces`.
pub(crate) fn feed(framing: &Framing, limit: usize, stream: &[u8], pieces: &[usize]) -> Fed {
    let mut decoder = framing.decoder(limit);
    let mut pieces = pieces.iter().cycle();
    let (mut start, mut received, mut wanted_before, mut calls) = (0, 0, 0, 0);
    let (mut cuts, mut failure) = (Vec::new(), None);
    meter::take();
    loop {
        let bytes = &stream[start..received];
        calls += 1;
        let decoded = decoder.decode(bytes);
        check(decoded, limit, bytes.len(), wanted_before);
        wanted_before = 0;
        match decoded {
            Ok(Decoded::Incomplete { .. }) if received == stream.len() => break,
            Ok(Decoded::Incomplete { wanted }) => {
                wanted_before = wanted;
                received = stream.len().min(received + pieces.next().unwrap_or(&1));
            }
            Ok(found) => {
                let Some((cut, end)) = cut(found, start, stream.len()) else {
                    break;
                };
                cuts.push(cut);
                (start, received) = (end, received.max(end));
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    let looks = meter::take();
    let looks_max = LOOKS_MAX * (stream.len() + calls);
    assert!(looks <= looks_max, "{looks} looks in {calls} calls");
    let unfinished = &stream[start..received];
    let begins_reply = !unfinished.is_empty() && decoder.begins_reply(unfinished);
    if let Some(error) = failure {
        for bytes in [unfinished, b"", b"+OK\r\n", &[0; 8]] {
            assert_eq!(decoder.decode(bytes), Err(error), "an error is sticky");
        }
    }
    Fed {
        cuts,
        error: failure,
        left_over: match failure {
            Some(_) => 0,
            None => stream.len() - start,
        },
        begins_reply,
    }
}

/// What was found at `at`, and where it ends in a stream of `length`; nothing, if only behind that.
fn cut(found: Decoded, at: usize, length: usize) -> Option<(Cut, usize)> {
    let (cut, consumed) = match found {
        Decoded::Frame {
            start,
            end,
            consumed,
        } => (Cut::Frame { start, end }, consumed as u64),
        Decoded::Push {
            start,
            end,
            consumed,
        } => (Cut::Push { start, end }, consumed as u64),
        Decoded::Skip {
            claimed, consumed, ..
        } => (Cut::Skip { start: 0, claimed }, consumed),
        Decoded::Incomplete { .. } => return None,
    };
    let fits = consumed <= (length - at) as u64;
    fits.then(|| (cut.moved(at), at + consumed as usize))
}

/// What a codec may say of `length` bytes, having wanted so many the last time.
fn check(decoded: Result<Decoded, FrameError>, limit: usize, length: usize, wanted_before: usize) {
    match decoded {
        Ok(
            Decoded::Frame {
                start,
                end,
                consumed,
            }
            | Decoded::Push {
                start,
                end,
                consumed,
            },
        ) => {
            assert!(start <= end && end <= consumed && consumed <= length && consumed > 0);
            assert!(end - start <= limit, "no frame is over the limit");
            assert!(
                wanted_before <= length,
                "no frame with fewer bytes than were wanted"
            );
        }
        Ok(Decoded::Skip {
            limit: over,
            claimed,
            consumed,
        }) => {
            assert!(over == limit && claimed > limit as u64 && consumed >= claimed);
            assert!(wanted_before <= length);
        }
        Ok(Decoded::Incomplete { wanted }) => {
            assert!(wanted > length && wanted <= limit.saturating_add(AROUND_BYTES_MAX));
            assert!(
                wanted >= wanted_before,
                "what was wanted is never taken back"
            );
        }
        Err(_) => {}
    }
}

/// Feeds the stream whole, byte by byte and in pieces: it comes to the same.
pub(crate) fn feed_every_way(
    framing: &Framing,
    limit: usize,
    stream: &[u8],
    pieces: &[usize],
) -> Fed {
    let whole = feed(framing, limit, stream, &[stream.len().max(1)]);
    assert_eq!(feed(framing, limit, stream, &[1]), whole, "byte by byte");
    assert_eq!(
        feed(framing, limit, stream, pieces),
        whole,
        "in pieces of {pieces:?}"
    );
    whole
}
