//! Durations, counts and bytes: read from the command line, and written for people.
//!
//! Reading: `250us 10ms 5s 2m` are durations, `10k 1m` decimal counts, `64KiB 8MiB` binary and `64k` decimal bytes.
//! Writing: three significant digits and a unit, always.

use std::fmt;
use std::time::Duration;

/// What the help says of them.
pub(crate) const HELP: &str = "\
Durations: 250us 10ms 5s 2m. Counts: 50 10k 1m. Bytes: 64 64k (decimal) 64KiB 8MiB (binary).";

const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const COUNTS: &[(&str, u64)] = &[
    ("", 1),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
];

const BYTES: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Ten years: beyond it sums of instants overflow on some systems, and nobody means it.
const NANOS_MAX: u64 = 10 * 365 * 24 * 3_600_000_000_000;

/// Reads `250us`, `10ms`, `1.5s`, `2m`, `1h`; a bare `0` is a duration, any other bare number is none.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let nanos = scaled(text, DURATIONS)
        .ok_or("a duration is a number with ns, us, ms, s, m or h, such as 250us or 5s")?;
    match nanos <= NANOS_MAX {
        true => Ok(Duration::from_nanos(nanos)),
        false => Err("a duration is at most ten years".into()),
    }
}

/// Reads a duration above zero.
pub(crate) fn duration_above_zero(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it is above zero, such as 5s".into()),
        some => Ok(some),
    }
}

/// Reads `50`, `10k`, `1m`: at least 1.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    match scaled(text, COUNTS) {
        Some(0) => Err("it is at least 1".into()),
        Some(n) => Ok(n),
        None => {
            Err("a count is a whole number, with k, m or g for thousands, such as 50 or 10k".into())
        }
    }
}

/// Reads a count that sizes something in memory: at most 2^20.
pub(crate) fn small_count(text: &str) -> Result<usize, String> {
    match count(text)? {
        n if n <= 1 << 20 => Ok(n as usize),
        _ => Err("it is at most 1048576".into()),
    }
}

/// Reads `64`, `64KiB`, `8MiB` (binary), `64k`, `64kB` (decimal): at least 1.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    match scaled(text, BYTES) {
        Some(0) => Err("it is at least 1 byte".into()),
        Some(n) => Ok(n),
        None => Err(
            "bytes are a whole number with KiB, MiB (binary) or k, m (decimal), such as 64KiB"
                .into(),
        ),
    }
}

/// Reads bytes that are held in memory: at most 1 GiB.
pub(crate) fn bytes_in_memory(text: &str) -> Result<usize, String> {
    match bytes(text)? {
        n if n <= 1 << 30 => Ok(n as usize),
        _ => Err("it is at most 1GiB".into()),
    }
}

/// A number and one of these units; `None` when it is not that, is not whole in the smallest unit, or is too large for
/// 64 bits.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let is_unit = |name: &str| name.eq_ignore_ascii_case(unit);
    let (_, factor) = units.iter().find(|(name, _)| is_unit(name))?;
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(*factor),
        Some((whole, part)) if !whole.is_empty() && !part.is_empty() => {
            let digits: u128 = format!("{whole}{part}").parse().ok()?;
            let scaled = digits.checked_mul(u128::from(*factor))?;
            let tenths = 10u128.checked_pow(part.len().try_into().ok()?)?;
            match scaled % tenths {
                0 => (scaled / tenths).try_into().ok(),
                _ => None,
            }
        }
        Some(_) => None,
    }
}

/// A duration as integer nanoseconds, as JSON has it.
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Writes nanoseconds for people: `850ns`, `84us`, `1.31ms`, `12.0s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nanos(pub(crate) u64);

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            n @ 0..1_000 => format!("{n}ns"),
            n if n < 999_500 => format!("{}us", (n + 500) / 1_000),
            n if n < 999_500_000 => format!("{}ms", Three(n as f64 / 1e6)),
            n => format!("{}s", Three(n as f64 / 1e9)),
        };
        f.pad(&text)
    }
}

/// Writes a count or a rate for people: `842`, `10.0k`, `1.25M`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount(pub(crate) f64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            n if n < 999.5 && n.fract() == 0.0 => format!("{n:.0}"),
            n if n < 999.5 => format!("{}", Three(n)),
            n if n < 9_995.0 => format!("{:.2}k", n / 1e3),
            n if n < 999_950.0 => format!("{:.1}k", n / 1e3),
            n => format!("{:.2}M", n / 1e6),
        };
        f.pad(&text)
    }
}

/// Writes seconds for people: `10.0 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            d if d < Duration::from_millis(100) => write!(f, "{}", Nanos(nanos(d))),
            d => write!(f, "{:.1} s", d.as_secs_f64()),
        }
    }
}

/// Three significant digits below a thousand.
struct Three(f64);

impl fmt::Display for Three {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n < 9.995 => write!(f, "{n:.2}"),
            n if n < 99.95 => write!(f, "{n:.1}"),
            n => write!(f, "{n:.0}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("10ms", 10_000_000),
            ("1.5s", 1_500_000_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), Ok(Duration::from_nanos(expected)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in [
            "", "5", "s", "5x", "-5s", "5 s", ".5s", "5.s", "1e9s", "1.2.3s",
        ] {
            assert!(duration(text).unwrap_err().contains("250us"), "{text}");
        }
        assert!(duration("99999999999999h").is_err());
        assert!(duration("100000h").unwrap_err().contains("ten years"));
        assert!(duration_above_zero("0ms").is_err());
    }

    #[test]
    fn counts_are_decimal_and_bytes_are_what_their_unit_says() {
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1m"), Ok(1_000_000));
        assert_eq!(count("1.5k"), Ok(1_500));
        for text in ["0", "0.5", "1.5", "1.2345k", "0.0"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(count("10KiB").is_err());
        assert_eq!(bytes("64"), Ok(64));
        assert_eq!(bytes("64k"), Ok(64_000));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("8MiB"), Ok(8 << 20));
        assert_eq!(bytes("1.5KiB"), Ok(1_536));
        assert!(bytes("1.5").is_err());
        assert!(bytes("64Ki").is_err());
        assert!(bytes("18446744073709551615g").is_err());
        assert!(bytes_in_memory("2GiB").is_err());
    }

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let nanos = |n| Nanos(n).to_string();
        assert_eq!(nanos(0), "0ns");
        assert_eq!(nanos(999), "999ns");
        assert_eq!(nanos(84_400), "84us");
        assert_eq!(nanos(999_600), "1.00ms");
        assert_eq!(nanos(1_310_000), "1.31ms");
        assert_eq!(nanos(40_200_000), "40.2ms");
        assert_eq!(nanos(12_000_000_000), "12.0s");
        assert_eq!(format!("{:>9}", Nanos(84_000)), "     84us");
        let amount = |n| Amount(n).to_string();
        assert_eq!(amount(0.0), "0");
        assert_eq!(amount(842.0), "842");
        assert_eq!(amount(8.5), "8.50");
        assert_eq!(amount(1_449.0), "1.45k");
        assert_eq!(amount(9_996.0), "10.0k");
        assert_eq!(amount(100_000.0), "100.0k");
        assert_eq!(amount(3_000_000.0), "3.00M");
        assert_eq!(Seconds(Duration::from_secs(10)).to_string(), "10.0 s");
    }
}
