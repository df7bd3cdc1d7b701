//! The plain reader of RELP frames: it tries each beginning of the stream, from the shortest, and asks of each whether a
//! header can begin so.

use crate::frame::FrameError;
use crate::fuzz::feed::{Cut, Fed};
use crate::fuzz::plain::{self, Found, malformed};

/// Cuts the whole stream.
pub(super) fn read(limit: usize, skips: bool, stream: &[u8]) -> Fed {
    plain::read(stream, |rest| find(limit, skips, rest), |_| true)
}

/// What the beginning of a frame is.
enum Header {
    /// Part of a header.
    Open,
    /// A header, and the bytes of the frame from its start to its LF.
    Whole(u64),
    /// Nothing that a header could begin with.
    Wrong,
}

fn find(limit: usize, skips: bool, rest: &[u8]) -> Found {
    let oversize = |claimed| Found::Wrong(FrameError::Oversize { limit, claimed });
    for length in 1..=rest.len() {
        let size = match header(&rest[..length]) {
            Header::Wrong => return malformed(),
            Header::Open if length > limit => return oversize(limit as u64 + 1),
            Header::Open => continue,
            Header::Whole(size) => size,
        };
        if size > limit as u64 {
            let skip = Cut::Skip {
                start: 0,
                claimed: size,
            };
            return match skips {
                true => Found::Cut(skip, u128::from(size) + 1),
                false => oversize(size),
            };
        }
        let end = size as usize;
        return match rest.get(end) {
            None => Found::Nothing,
            Some(b'\n') => Found::Cut(Cut::Frame { start: 0, end }, end as u128 + 1),
            Some(_) => malformed(),
        };
    }
    Found::Nothing
}

fn header(bytes: &[u8]) -> Header {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let fields: Vec<&str> = text.split(' ').collect();
    let fits = |field: &str, most: usize, belongs: fn(&char) -> bool| {
        field.chars().all(|letter| belongs(&letter)) && field.len() <= most
    };
    let digits = |field: &str| fits(field, 9, char::is_ascii_digit);
    let letters = |field: &str| fits(field, 32, char::is_ascii_alphabetic);
    let nothing = |datalen: &str| datalen.parse() == Ok(0_u64);
    let is_part = match fields[..] {
        [txnr] => digits(txnr),
        [txnr, command] => digits(txnr) && !txnr.is_empty() && letters(command),
        [.., datalen] if fields.len() == 3 => match datalen.strip_suffix('\n') {
            Some(datalen) if digits(datalen) && nothing(datalen) => {
                return Header::Whole(text.chars().count() as u64 - 1);
            }
            _ => !fields[1].is_empty() && digits(datalen),
        },
        [_, _, datalen, ""] if !datalen.is_empty() => {
            let data: u64 = datalen.parse().unwrap();
            return Header::Whole(text.chars().count() as u64 + data);
        }
        _ => false,
    };
    match is_part {
        true => Header::Open,
        false => Header::Wrong,
    }
}
