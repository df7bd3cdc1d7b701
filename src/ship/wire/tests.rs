//! Lines as they went in, read by plain readers that share nothing with what wrote them.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LF: Wire = Wire::Lf { escapes: false };
const ESCAPED: Wire = Wire::Lf { escapes: true };

fn put(wire: Wire, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (line, txnr) in lines.iter().zip(2..) {
        let before = stream.len();
        wire.put(line, txnr, &mut stream);
        assert!(stream.len() - before <= wire.bytes_max(line.len()));
    }
    stream
}

/// What stands before the first `mark`, and what behind it.
fn cut(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|&byte| byte == mark).unwrap();
    (&bytes[..at], &bytes[at + 1..])
}

fn number(digits: &[u8]) -> usize {
    let canonical = digits == b"0" || !digits.starts_with(b"0");
    assert!(canonical, "no leading zeros: {}", digits.escape_ascii());
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

fn read_octet(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let (length, rest) = cut(stream, b' ');
        let (line, rest) = rest.split_at(number(length));
        lines.push(line.to_vec());
        stream = rest;
    }
    lines
}

fn read_lf(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let (line, rest) = cut(stream, b'\n');
        lines.push(line.to_vec());
        stream = rest;
    }
    lines
}

fn read_relp(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let (txnr, rest) = cut(stream, b' ');
        assert_eq!(number(txnr), lines.len() + 2);
        let rest = rest.strip_prefix(b"syslog ").unwrap();
        let is_empty = rest.starts_with(b"0\n");
        let (length, rest) = cut(rest, if is_empty { b'\n' } else { b' ' });
        let (line, rest) = rest.split_at(number(length));
        lines.push(line.to_vec());
        stream = if is_empty {
            rest
        } else {
            rest.strip_prefix(b"\n").unwrap()
        };
    }
    lines
}

/// Any bytes, and those that mean something to a receiver more often.
fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = vec(any::<u8>(), 0..80).prop_map(|mut line| {
        for byte in &mut line {
            *byte = match *byte {
                0..20 => b'\n',
                20..30 => b'\r',
                30..40 => 0,
                40..50 => b' ',
                other => other,
            };
        }
        line
    });
    vec(line, 0..12)
}

proptest! {
    #[test]
    fn every_line_that_is_let_pass_comes_out_as_it_went_in(lines in lines()) {
        for (wire, read) in [
            (Wire::Octet, read_octet as fn(&[u8]) -> Vec<Vec<u8>>),
            (LF, read_lf),
            (Wire::Relp, read_relp),
        ] {
            let passes = |line: &&Vec<u8>| wire.check(line, 80).is_ok();
            let lines: Vec<_> = lines.iter().filter(passes).cloned().collect();
            prop_assert_eq!(read(&put(wire, &lines)), lines);
        }
    }

    #[test]
    fn an_escaped_line_differs_by_its_line_feeds_alone(lines in lines()) {
        let escape = |&byte: &u8| if byte == b'\n' { b"#012".to_vec() } else { vec![byte] };
        let escaped: Vec<Vec<u8>> = lines.iter().map(|line| line.iter().flat_map(escape).collect()).collect();
        for line in &lines {
            prop_assert_eq!(ESCAPED.check(line, 80), Ok(()));
        }
        prop_assert_eq!(read_lf(&put(ESCAPED, &lines)), escaped);
    }
}

#[test]
fn long_lines_and_odd_ones_are_carried_byte_for_byte() {
    let long: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let lines = [b"\0".to_vec(), b"\xff\xfe".to_vec(), b"a\r".to_vec(), long];
    for line in &lines {
        assert_eq!(Wire::Octet.check(line, 1 << 20), Ok(()));
    }
    assert_eq!(read_octet(&put(Wire::Octet, &lines)), lines);
    assert_eq!(read_relp(&put(Wire::Relp, &lines)), lines);
}

#[test]
fn what_goes_on_the_wire_is_written_here_once() {
    let put = |wire: Wire, line: &[u8]| {
        let mut stream = b"before ".to_vec();
        wire.put(line, 17, &mut stream);
        stream.split_off(7)
    };
    assert_eq!(put(Wire::Octet, b"0123456789"), b"10 0123456789");
    assert_eq!(put(LF, b"ab\r"), b"ab\r\n");
    assert_eq!(put(LF, b""), b"\n");
    assert_eq!(put(ESCAPED, b"\na\n\nb#012"), b"#012a#012#012b#012\n");
    assert_eq!(put(Wire::Relp, b"a\nb"), b"17 syslog 3 a\nb\n");
    assert_eq!(put(Wire::Relp, b""), b"17 syslog 0\n");
    let (line_feeds, mut stream) = (vec![b'\n'; 1000], Vec::new());
    ESCAPED.put(&line_feeds, 0, &mut stream);
    assert!(stream.len() == 4001 && stream.len() <= ESCAPED.bytes_max(1000));
}

#[test]
fn a_line_that_cannot_be_carried_is_refused_with_the_reason() {
    let oversize = |bytes, limit| Err(Refusal::Oversize { bytes, limit });
    for wire in [Wire::Octet, LF, ESCAPED, Wire::Relp] {
        assert_eq!(wire.check(b"1234", 4), Ok(()));
        assert_eq!(wire.check(b"12345", 4), oversize(5, 4));
        assert_eq!(wire.check(b"\n2345", 4), oversize(5, 4), "the first reason");
    }
    assert_eq!(LF.check(b"a\nb", 4), Err(Refusal::EmbeddedLf));
    assert_eq!(LF.check(b"ab\n", 4), Err(Refusal::EmbeddedLf));
    assert_eq!(Wire::Octet.check(b"", 4), Err(Refusal::Empty));
    for wire in [LF, ESCAPED, Wire::Relp] {
        assert_eq!(wire.check(b"", 4), Ok(()));
    }
    for wire in [ESCAPED, Wire::Octet, Wire::Relp] {
        assert_eq!(wire.check(b"\n", 4), Ok(()));
    }
}

#[test]
fn numbers_have_all_their_digits_and_no_more() {
    let mut number: u64 = 1;
    let powers = std::iter::from_fn(|| {
        let power = number;
        number = number.checked_mul(10)?;
        Some(power)
    });
    let around = powers.flat_map(|power| [power - 1, power, power + 1]);
    for number in around.chain([u64::MAX]) {
        let mut digits = Vec::new();
        put_number(number, &mut digits);
        assert_eq!(String::from_utf8(digits).unwrap(), number.to_string());
    }
}
