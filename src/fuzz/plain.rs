//! The frame of every plain reader: it sees the whole stream, looks at what is left of it anew each time, and remembers
//! nothing.

use super::feed::{Cut, Fed};
use crate::frame::FrameError;

/// What a plain reader finds at the start of the bytes.
pub(super) enum Found {
    /// A cut, and how many bytes it uses up: they need not have come.
    Cut(Cut, u128),
    Nothing,
    Wrong(FrameError),
}

/// Which rule was broken is the codec's own to say.
const SOME_RULE: &str = "some rule";

/// Cuts the whole stream. `begins_reply` is asked of the bytes that are left over, or wrong.
pub(super) fn read(
    stream: &[u8],
    find: impl Fn(&[u8]) -> Found,
    begins_reply: impl Fn(&[u8]) -> bool,
) -> Fed {
    let (mut cuts, mut start) = (Vec::new(), 0);
    let error = loop {
        let rest = &stream[start..];
        match find(rest) {
            Found::Cut(cut, consumed) if consumed <= rest.len() as u128 => {
                cuts.push(cut.moved(start));
                start += consumed as usize;
            }
            Found::Cut(..) | Found::Nothing => break None,
            Found::Wrong(error) => break Some(error),
        }
    };
    let rest = &stream[start..];
    Fed {
        cuts,
        error,
        left_over: if error.is_some() { 0 } else { rest.len() },
        begins_reply: !rest.is_empty() && begins_reply(rest),
    }
}

pub(super) fn malformed() -> Found {
    Found::Wrong(FrameError::Malformed(SOME_RULE))
}

/// The same, with the broken rule not named.
pub(super) fn without_rule(mut fed: Fed) -> Fed {
    if let Some(FrameError::Malformed(rule)) = &mut fed.error {
        *rule = SOME_RULE;
    }
    fed
}
