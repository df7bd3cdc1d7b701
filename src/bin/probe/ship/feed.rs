//! From the input to the shipper: line after line, wrapped if that is asked for, as long as there is room. With a spool
//! lines go through it, and are read as long as it has room.
//!
//! Nothing is allocated for a line. A piece behind the last LF is a line when the input has come to its end, and none
//! when it failed or was stopped: it may be half of one.

use std::io;

use taut::ship::Shipper;
use taut::{Error, Source};

use super::input::{Input, Line, Lines, Next};
use super::spooled::Spooled;
use super::syslog::Wrapping;
use super::uncertain::Fates;
use crate::exit::Fault;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// There may be more at once.
    More,
    /// When the loop is woken, or when there is room.
    Later,
    /// The input has ended.
    End,
}

#[derive(Debug)]
pub(super) struct Feeder {
    input: Input,
    lines: Lines,
    wrapping: Option<Wrapping>,
    spooled: Option<Spooled>,
    /// Of the shipper.
    has_room: bool,
    is_stopped: bool,
    has_ended: bool,
    /// Why the input ended before its end.
    error: Option<io::Error>,
}

impl Feeder {
    pub(super) fn new(
        input: Input,
        wrapping: Option<Wrapping>,
        spooled: Option<Spooled>,
        line_bytes_max: usize,
    ) -> Feeder {
        Feeder {
            input,
            lines: Lines::new(line_bytes_max),
            wrapping,
            spooled,
            has_room: true,
            is_stopped: false,
            has_ended: false,
            error: None,
        }
    }

    /// The shipper has room again.
    pub(super) fn room(&mut self) {
        self.has_room = true;
    }

    /// Nothing more is read; what was read ahead may still be offered.
    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        self.input.stop();
    }

    /// No line will come from the input any more; the spool may still have some.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn spooled(&mut self) -> Option<&mut Spooled> {
        self.spooled.as_mut()
    }

    /// Why the input ended before its end, if it did; and the spool.
    pub(super) fn finish(self) -> (Option<io::Error>, Option<Spooled>) {
        (self.error, self.spooled)
    }

    /// Takes the lines of one block, or what is left of it, and offers what the spool has.
    pub(super) fn feed(&mut self, shipper: &mut Shipper, fates: &mut Fates) -> Result<Fed, Fault> {
        let taken = self.take_block(shipper, fates)?;
        self.has_ended |= taken == Fed::End;
        let Some(spooled) = &mut self.spooled else {
            return Ok(taken);
        };
        spooled.flush()?;
        let offered = match self.has_room {
            true => spooled.offer_to(shipper)?,
            false => Fed::Later,
        };
        self.has_room &= offered != Fed::Later;
        Ok(match (taken, offered) {
            (Fed::More, _) | (_, Fed::More) => Fed::More,
            (Fed::End, Fed::End) => Fed::End,
            _ => Fed::Later,
        })
    }

    fn take_block(&mut self, shipper: &mut Shipper, fates: &mut Fates) -> Result<Fed, Fault> {
        let has_room = self
            .spooled
            .as_ref()
            .map_or(self.has_room, |spooled| !spooled.is_full());
        if self.has_ended || !has_room {
            return Ok(if self.has_ended { Fed::End } else { Fed::Later });
        }
        if !self.lines.has_block() {
            match self.input.next() {
                Next::Block(block) => self.enter(block),
                Next::Later => return Ok(Fed::Later),
                Next::Failed(error) => {
                    self.error = Some(error);
                    self.leave_rest();
                    return Ok(Fed::End);
                }
                Next::End if self.is_stopped => return Ok(Fed::End),
                Next::End => return self.take_last(shipper, fates),
            }
        }
        while let Some(line) = self.lines.line() {
            let (spooled, wrapping) = (self.spooled.as_mut(), self.wrapping.as_mut());
            if !put(spooled, wrapping, shipper, fates, line)? {
                self.has_room &= self.spooled.is_some();
                return Ok(Fed::Later);
            }
            self.lines.taken();
        }
        if let Some(block) = self.lines.leave() {
            self.input.give_back(block);
        }
        Ok(Fed::More)
    }

    fn enter(&mut self, block: super::input::Block) {
        if let Some(wrapping) = &mut self.wrapping {
            wrapping.stamp(block.read_at);
        }
        self.lines.enter(block);
    }

    /// What has no LF is a line, too.
    fn take_last(&mut self, shipper: &mut Shipper, fates: &mut Fates) -> Result<Fed, Fault> {
        if let Some(line) = self.lines.last() {
            let (spooled, wrapping) = (self.spooled.as_mut(), self.wrapping.as_mut());
            if !put(spooled, wrapping, shipper, fates, line)? {
                self.has_room &= self.spooled.is_some();
                return Ok(Fed::Later);
            }
            self.lines.taken();
        }
        Ok(Fed::End)
    }

    /// Says what was read and is not offered any more.
    pub(super) fn leave_rest(&mut self) {
        if self.lines.has_block() {
            log::warn!("there was no room for what had been read behind the last line that counts");
        } else if let Some(line) = self.lines.last() {
            log::warn!(
                "the input was cut off within a line: its first {} bytes are not shipped",
                line.length
            );
            self.lines.taken();
        }
    }
}

/// Puts a line into the spool, or else offers it; false when there is no room for it.
fn put(
    spooled: Option<&mut Spooled>,
    wrapping: Option<&mut Wrapping>,
    shipper: &mut Shipper,
    fates: &mut Fates,
    line: Line<'_>,
) -> Result<bool, Fault> {
    let header_bytes = wrapping.as_ref().map_or(0, |it| it.header_bytes());
    let message = match wrapping {
        Some(wrapping) => wrapping.wrap(line.bytes),
        None => line.bytes,
    };
    let taken = match spooled {
        Some(spooled) => spooled.append(message)?,
        None => match shipper.offer(message) {
            Ok(number) => Some(number),
            Err(Error {
                source: Source::Full { .. },
                ..
            }) => None,
            Err(error) => return Err(error.into()),
        },
    };
    if let Some(number) = taken
        && line.length > line.bytes.len()
    {
        fates.is_longer(number, header_bytes + line.length);
    }
    Ok(taken.is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read;
    use std::sync::mpsc;

    use taut::ship::{ShipConfig, ShipEvent};

    use super::*;

    /// Reads these bytes and then ends, or fails.
    struct Cut {
        bytes: &'static [u8],
        fails: bool,
    }

    impl Read for Cut {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = std::mem::take(&mut self.bytes);
            buffer[..bytes.len()].copy_from_slice(bytes);
            match bytes.is_empty() && self.fails {
                true => Err(io::Error::from_raw_os_error(5)),
                false => Ok(bytes.len()),
            }
        }
    }

    /// A feeder of that, and its wakes; its shipper has room for so many lines and never turns.
    struct Scene {
        feeder: Feeder,
        shipper: Shipper,
        fates: Fates,
        wakes: mpsc::Receiver<()>,
    }

    impl Scene {
        fn of(input: Cut, journal_lines_max: usize) -> Scene {
            let (woken, wakes) = mpsc::channel();
            let wake = move || {
                let _ = woken.send(());
            };
            let config = ShipConfig {
                journal_lines_max,
                ..ShipConfig::to("127.0.0.1:1")
            };
            Scene {
                feeder: Feeder::new(Input::start(input, wake).unwrap(), None, None, 100),
                shipper: Shipper::new(config).unwrap(),
                fates: Fates::open(None).unwrap(),
                wakes,
            }
        }

        fn feed(&mut self) -> Fed {
            self.feeder
                .feed(&mut self.shipper, &mut self.fates)
                .unwrap()
        }

        /// Feeds to the end of the input.
        fn feed_all(&mut self) {
            loop {
                match self.feed() {
                    Fed::More => {}
                    Fed::Later => self.wakes.recv().unwrap(),
                    Fed::End => return,
                }
            }
        }
    }

    #[test]
    fn half_a_line_is_one_only_at_the_end_of_an_input_that_has_one() {
        let bytes = b"one\ntwo\nhalf";
        let mut ended = Scene::of(
            Cut {
                bytes,
                fails: false,
            },
            10,
        );
        ended.feed_all();
        assert_eq!(ended.shipper.counts().read, 3);
        assert!(ended.feeder.error.is_none());

        let mut failed = Scene::of(Cut { bytes, fails: true }, 10);
        failed.feed_all();
        assert_eq!(failed.shipper.counts().read, 2);
        assert!(failed.feeder.error.is_some());

        let mut stopped = Scene::of(
            Cut {
                bytes,
                fails: false,
            },
            10,
        );
        stopped.wakes.recv().unwrap();
        stopped.feeder.stop();
        stopped.feed_all();
        assert_eq!(stopped.shipper.counts().read, 2);
    }

    #[test]
    fn a_line_that_found_no_room_is_offered_again_and_no_other_before_it() {
        let bytes = b"\n\na\n\nb\nc";
        let mut scene = Scene::of(
            Cut {
                bytes,
                fails: false,
            },
            1,
        );
        scene.wakes.recv().unwrap();
        assert_eq!(scene.feed(), Fed::Later);
        // Empty lines are refused and take no room; without room for `b` the one before it still counts.
        let mut refused = Vec::new();
        while let Some(event) = scene.shipper.next_event() {
            if let ShipEvent::Refused { line, .. } = event {
                refused.push(line);
            }
        }
        assert_eq!(refused, [1, 2]);
        let before = scene.shipper.counts().read;
        assert!((3..=4).contains(&before), "{before}");
        for _ in 0..3 {
            assert_eq!(scene.feed(), Fed::Later, "it waits to be told of room");
            scene.feeder.room();
            assert_eq!(scene.feed(), Fed::Later);
            assert_eq!(scene.shipper.counts().read, before);
        }
    }
}
