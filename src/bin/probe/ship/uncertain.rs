//! Which lines did not arrive for sure, and why: for the report, and for `--uncertain FILE`.
//!
//! The file has a line for each range of lines with the same fate, in the order of the input: `FROM-TO uncertain`,
//! `FROM-TO undelivered`, `FROM-TO refused: REASON`. It has numbers and no text, since a line is not kept once its fate
//! is told. Lines that were delivered are not in it: an empty file is the best one.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem::discriminant;
use std::path::Path;

use taut::ship::{Refusal, ShipEvent};

use crate::exit::Fault;

/// What became of a line that was not delivered for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Uncertain,
    Undelivered,
    Refused(Refusal),
}

/// Lines next to each other with the same fate.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: u64,
    to: u64,
    fate: Fate,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} ", self.from, self.to)?;
        match self.fate {
            Fate::Uncertain => f.write_str("uncertain"),
            Fate::Undelivered => f.write_str("undelivered"),
            Fate::Refused(reason) => write!(f, "refused: {}", why(reason)),
        }
    }
}

/// In the words of the flags.
fn why(reason: Refusal) -> String {
    match reason {
        Refusal::Oversize { bytes, limit } => {
            format!("it has {bytes} bytes, and --max-line is {limit}")
        }
        Refusal::EmbeddedLf => "a LF is within it".to_owned(),
        Refusal::Empty => "it is empty, and octet counting has no empty line".to_owned(),
        Refusal::Relp { code } => format!("the sink answered {code}"),
        other => format!("{other:?}"),
    }
}

/// How many lines were refused for one kind of reason, and the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) lines: u64,
    pub(super) first: u64,
    reason: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused {
            lines,
            first,
            reason,
        } = self;
        let why = why(*reason);
        match lines {
            1 => write!(f, "line {first}: {why}"),
            n => write!(f, "line {first} and {} more like it: {why}", n - 1),
        }
    }
}

/// Keeps what is told of lines.
#[derive(Debug)]
pub(super) struct Fates<W: Write = BufWriter<File>> {
    file: Option<W>,
    /// The first error of writing it.
    failed: Option<io::Error>,
    /// Not written yet: the next one may go on with it.
    range: Option<Range>,
    /// Lines of which only the beginning was offered, and how long they are.
    long: VecDeque<(u64, usize)>,
    refused: Vec<Refused>,
    /// Lines of which earlier runs have told.
    before: u64,
}

impl Fates {
    /// Opens the file now: a run must not end with fates that have no place.
    pub(super) fn open(path: Option<&Path>) -> Result<Fates, Fault> {
        let create = |path: &Path| {
            File::create(path).map_err(|error| {
                Fault::usage(format!(
                    "cannot write --uncertain {}: {error}",
                    path.display()
                ))
            })
        };
        Ok(Fates::to(path.map(create).transpose()?.map(BufWriter::new)))
    }
}

impl<W: Write> Fates<W> {
    fn to(file: Option<W>) -> Fates<W> {
        Fates {
            file,
            failed: None,
            range: None,
            long: VecDeque::new(),
            refused: Vec::new(),
            before: 0,
        }
    }

    /// Of this line only the beginning is offered; it will be refused, and this is its length.
    pub(super) fn is_longer(&mut self, line: u64, bytes: usize) {
        self.long.push_back((line, bytes));
    }

    /// The shipper's first line has a number behind this one.
    pub(super) fn number_behind(&mut self, number: u64) {
        self.before = number;
    }

    /// So many lines from this one on stay undelivered.
    pub(super) fn keep(&mut self, from: u64, lines: u64) {
        if lines > 0 {
            self.add(from, from + lines - 1, Fate::Undelivered);
        }
    }

    /// What was told of lines; other events pass by.
    pub(super) fn take(&mut self, event: &ShipEvent) {
        match *event {
            ShipEvent::Uncertain { from, to } => self.add(from, to, Fate::Uncertain),
            ShipEvent::Undelivered { from, to } => self.add(from, to, Fate::Undelivered),
            ShipEvent::Refused { line, reason } => {
                let reason = self.at_its_length(line, reason);
                self.count(line, reason);
                self.add(line, line, Fate::Refused(reason));
            }
            _ => {}
        }
    }

    fn at_its_length(&mut self, line: u64, reason: Refusal) -> Refusal {
        match (self.long.front(), reason) {
            (Some(&(number, bytes)), Refusal::Oversize { limit, .. }) if number == line => {
                self.long.pop_front();
                Refusal::Oversize { bytes, limit }
            }
            _ => reason,
        }
    }

    fn count(&mut self, line: u64, reason: Refusal) {
        let kind = discriminant(&reason);
        let mut known = self.refused.iter_mut();
        match known.find(|it| discriminant(&it.reason) == kind) {
            Some(known) => known.lines += 1,
            None => self.refused.push(Refused {
                lines: 1,
                first: self.before + line,
                reason,
            }),
        }
    }

    fn add(&mut self, from: u64, to: u64, fate: Fate) {
        let (from, to) = (self.before + from, self.before + to);
        match &mut self.range {
            Some(range) if range.to + 1 == from && range.fate == fate => range.to = to,
            range => {
                let before = range.replace(Range { from, to, fate });
                self.write(before);
            }
        }
    }

    fn write(&mut self, range: Option<Range>) {
        let (Some(range), Some(file), None) = (range, &mut self.file, &self.failed) else {
            return;
        };
        if let Err(error) = writeln!(file, "{range}") {
            self.failed = Some(error);
        }
    }

    /// By reason, in the order in which they came up.
    pub(super) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        let range = self.range.take();
        self.write(range);
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        let outcome = self.failed.take().map_or(flushed, Err);
        outcome.map_err(|error| Fault::failed(format!("cannot write --uncertain: {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn refused(line: u64, reason: Refusal) -> ShipEvent {
        ShipEvent::Refused { line, reason }
    }

    fn oversize(bytes: usize) -> Refusal {
        Refusal::Oversize { bytes, limit: 100 }
    }

    #[test]
    fn lines_next_to_each_other_with_one_fate_are_one_range() {
        let mut fates = Fates::to(Some(Vec::new()));
        fates.is_longer(24, 5_000_000);
        for event in [
            ShipEvent::Delivered { upto: 9 },
            ShipEvent::Uncertain { from: 10, to: 19 },
            ShipEvent::Uncertain { from: 20, to: 20 },
            refused(21, Refusal::Empty),
            refused(22, Refusal::Empty),
            refused(23, oversize(101)),
            refused(24, oversize(101)),
            ShipEvent::Delivered { upto: 25 },
            ShipEvent::Uncertain { from: 26, to: 26 },
            ShipEvent::Delivered { upto: 27 },
            ShipEvent::Uncertain { from: 28, to: 28 },
            ShipEvent::Undelivered { from: 29, to: 40 },
            refused(41, Refusal::Relp { code: 500 }),
            ShipEvent::Finished,
        ] {
            fates.take(&event);
        }
        fates.finish().unwrap();
        let written = String::from_utf8(fates.file.take().unwrap()).unwrap();
        assert_eq!(
            written,
            "10-20 uncertain\n\
             21-22 refused: it is empty, and octet counting has no empty line\n\
             23-23 refused: it has 101 bytes, and --max-line is 100\n\
             24-24 refused: it has 5000000 bytes, and --max-line is 100\n\
             26-26 uncertain\n\
             28-28 uncertain\n\
             29-40 undelivered\n\
             41-41 refused: the sink answered 500\n"
        );
        let told: Vec<String> = fates.refused().iter().map(Refused::to_string).collect();
        assert_eq!(
            told,
            [
                "line 21 and 1 more like it: it is empty, and octet counting has no empty line",
                "line 23 and 1 more like it: it has 101 bytes, and --max-line is 100",
                "line 41: the sink answered 500",
            ]
        );
    }

    #[test]
    fn without_a_file_and_without_a_fate_nothing_is_written() {
        let mut fates = Fates::to(Some(Vec::new()));
        fates.take(&ShipEvent::Delivered { upto: 9 });
        fates.finish().unwrap();
        assert_eq!(fates.file.take().unwrap(), b"");
        let mut fates = Fates::open(None).unwrap();
        fates.take(&ShipEvent::Uncertain { from: 1, to: 2 });
        fates.finish().unwrap();
    }

    /// Takes so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::Error::from_raw_os_error(28))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_at_the_end() {
        let mut fates = Fates::to(Some(Full(20)));
        for line in [1, 3, 5] {
            fates.take(&ShipEvent::Uncertain {
                from: line,
                to: line,
            });
        }
        let fault = fates.finish().unwrap_err();
        assert!(fault.text.contains("--uncertain"), "{fault:?}");
    }
}
