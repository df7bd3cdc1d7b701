//! What is asked and what is expected: the request's bytes, the check of a reply.
//!
//! A request is made once, before the run, framed as its protocol wants it; the loop only sends it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use regex::bytes::Regex;

use crate::exit::Fault;
use crate::proto::Proto;

/// The largest payload.
const PAYLOAD_BYTES_MAX: usize = 1 << 30;

/// Where the request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    Text(&'a [u8]),
    File(&'a Path),
    Size(usize),
    Smallest,
}

/// The bytes of a request.
pub(crate) fn request(proto: Proto, asked: Asked<'_>) -> Result<Vec<u8>, Fault> {
    let payload = match asked {
        Asked::Text(text) => text.to_vec(),
        Asked::File(path) => read_beginning(path, PAYLOAD_BYTES_MAX + 1).map_err(|error| {
            Fault::usage(format!(
                "cannot read --send-file {}: {error}",
                path.display()
            ))
        })?,
        Asked::Size(size) => proto.filled(size),
        Asked::Smallest => proto.smallest(),
    };
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Fault::usage("the payload is larger than 1GiB"));
    }
    proto.frame(payload)
}

/// At most so many bytes of a file, which may have no end (/dev/zero).
fn read_beginning(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes written as text with the escapes `\r \n \t \0 \\ \xNN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Escaped(pub(crate) Vec<u8>);

impl FromStr for Escaped {
    type Err = String;

    fn from_str(text: &str) -> Result<Escaped, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            if first != b'\\' {
                bytes.push(first);
                continue;
            }
            let (byte, used) = match after {
                [b'r', ..] => (b'\r', 1),
                [b'n', ..] => (b'\n', 1),
                [b't', ..] => (b'\t', 1),
                [b'0', ..] => (0, 1),
                [b'\\', ..] => (b'\\', 1),
                [b'x', high, low, ..] => (hex(*high)? << 4 | hex(*low)?, 3),
                _ => return Err(r"the escapes are \r \n \t \0 \\ \xNN".into()),
            };
            bytes.push(byte);
            rest = &after[used..];
        }
        Ok(Escaped(bytes))
    }
}

fn hex(digit: u8) -> Result<u8, String> {
    match (digit as char).to_digit(16) {
        Some(value) => Ok(value as u8),
        None => Err(r"\x is followed by two hexadecimal digits, such as \x0a".into()),
    }
}

/// What a reply must be: this text (a line ending at its end does not count), or what this regex finds.
#[derive(Clone, Debug)]
pub(crate) enum Expect {
    Text(Vec<u8>),
    Regex(Regex),
}

impl Expect {
    pub(crate) fn matches(&self, reply: &[u8]) -> bool {
        match self {
            Expect::Text(text) => without_line_ending(reply) == text.as_slice(),
            Expect::Regex(regex) => regex.is_match(reply),
        }
    }
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Expect, String> {
        let inner = text
            .strip_prefix('/')
            .and_then(|rest| rest.strip_suffix('/'));
        match inner {
            Some(pattern) => match Regex::new(pattern) {
                Ok(regex) => Ok(Expect::Regex(regex)),
                // The last line says what is wrong; those before it draw where.
                Err(error) => {
                    let text = error.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    Err(format!(
                        "in the regex: {}",
                        last.trim_start_matches("error: ")
                    ))
                }
            },
            None => {
                let Escaped(bytes) = text.parse()?;
                Ok(Expect::Text(without_line_ending(&bytes).to_vec()))
            }
        }
    }
}

fn without_line_ending(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn framed(proto: &str, asked: Asked<'_>) -> Vec<u8> {
        request(proto.parse().unwrap(), asked).unwrap()
    }

    #[test]
    fn each_protocol_has_its_smallest_request() {
        assert_eq!(framed("line", Asked::Smallest), b"ping\n");
        assert_eq!(framed("resp", Asked::Smallest), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(framed("fixed:3", Asked::Smallest), b"xxx");
        let len32 = framed("len32", Asked::Smallest);
        assert_eq!((len32.len(), &len32[..4]), (68, &[0, 0, 0, 64][..]));
    }

    #[test]
    fn a_payload_is_framed_once() {
        assert_eq!(framed("line", Asked::Text(b"get a")), b"get a\n");
        assert_eq!(framed("line", Asked::Text(b"get a\r\n")), b"get a\r\n");
        assert_eq!(framed("resp", Asked::Text(b"PING")), b"PING\r\n");
        assert_eq!(framed("len32", Asked::Text(b"ab")), b"\0\0\0\x02ab");
        assert_eq!(
            framed("resp", Asked::Size(2)),
            b"*2\r\n$4\r\nECHO\r\n$2\r\nxx\r\n"
        );
        assert!(request(Proto::Fixed(4), Asked::Text(b"")).is_err());
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let bytes = read_beginning(Path::new("/dev/zero"), 10).unwrap();
        assert_eq!(bytes, [0; 10]);
    }

    #[test]
    fn protocols_are_read_and_refused() {
        assert_eq!("fixed:64".parse(), Ok(Proto::Fixed(64)));
        assert_eq!("fixed:1KiB".parse(), Ok(Proto::Fixed(1024)));
        for text in ["fixed", "fixed:0", "fixed:x", "http", "line:1", ""] {
            assert!(text.parse::<Proto>().is_err(), "{text}");
        }
    }

    #[test]
    fn escapes_are_read() {
        let Escaped(bytes) = r"a\r\n\t\0\\\x7f\xC3\xa4".parse().unwrap();
        assert_eq!(bytes, b"a\r\n\t\0\\\x7f\xc3\xa4");
        for text in [r"\", r"\q", r"\x1", r"\xg0"] {
            assert!(
                text.parse::<Escaped>().unwrap_err().contains(r"\x"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_reply_is_compared_with_text_or_regex() {
        let expect: Expect = "+PONG".parse().unwrap();
        assert!(expect.matches(b"+PONG\r\n") && expect.matches(b"+PONG"));
        assert!(!expect.matches(b"+PONG!") && !expect.matches(b""));
        let expect: Expect = "/^:[0-9]+/".parse().unwrap();
        assert!(expect.matches(b":12\r\n") && !expect.matches(b"12"));
        let why = "/(/".parse::<Expect>().unwrap_err();
        assert!(!why.contains('\n') && why.contains("unclosed"), "{why}");
    }
}
