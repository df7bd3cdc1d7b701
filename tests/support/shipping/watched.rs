//! A shipper under watch: each line's fate is checked as it is told, and the counts when all are.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use taut::ship::{Refusal, ShipConfig, ShipCounts, ShipEvent, Shipper};
use taut::{Deadline, Error, Source};

use super::{Fate, Fates, RUN_PATIENCE, Sender, Shipped, line_of};

/// Who is told which lines are delivered, as soon as they are.
pub(crate) type Watch<'a> = &'a dyn Fn(RangeInclusive<u64>);

pub(crate) struct Shipping<'a> {
    shipper: Shipper,
    watch: Watch<'a>,
    fates: Fates,
    lost: Vec<Error>,
    refused: Vec<(u64, Refusal)>,
    has_room: bool,
    is_closed: bool,
    is_finished: bool,
}

impl<'a> Shipping<'a> {
    pub(crate) fn new(config: ShipConfig, watch: Watch<'a>) -> Shipping<'a> {
        Shipping {
            shipper: Shipper::new(config).unwrap(),
            watch,
            fates: Fates::default(),
            lost: Vec::new(),
            refused: Vec::new(),
            has_room: true,
            is_closed: false,
            is_finished: false,
        }
    }

    /// Takes any line, as soon as there is room; its number.
    #[track_caller]
    pub(crate) fn offer_bytes(&mut self, line: &[u8]) -> u64 {
        let deadline = Instant::now() + RUN_PATIENCE;
        loop {
            match self.shipper.offer(line) {
                Ok(number) => return number,
                Err(error) => assert!(matches!(error.source, Source::Full { .. }), "{error}"),
            }
            self.has_room = false;
            while !self.has_room {
                assert!(Instant::now() < deadline, "no room came");
                self.turn(Duration::from_millis(100));
            }
        }
    }

    /// There are no more lines, and each one's fate is told by then.
    pub(crate) fn close_by(&mut self, deadline: Deadline) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.shipper.finish(deadline);
        }
    }

    /// Why connections were lost, so far.
    pub(crate) fn lost(&self) -> &[Error] {
        &self.lost
    }

    /// What is counted on the way is never more than it can be.
    #[track_caller]
    pub(crate) fn assert_bounds(&self) {
        let counts = self.shipper.counts();
        assert!(
            counts.kernel_acked <= counts.written && counts.bytes_acked <= counts.bytes_written,
            "{counts:?}"
        );
    }

    fn book(&mut self, event: ShipEvent) {
        assert!(!self.is_finished, "{event:?} after the end");
        match event {
            ShipEvent::Delivered { upto } => (self.watch)(self.fates.delivered(upto)),
            ShipEvent::Uncertain { from, to } => self.fates.book(from, to, Fate::Uncertain),
            ShipEvent::Undelivered { from, to } => self.fates.book(from, to, Fate::Undelivered),
            ShipEvent::Refused { line, reason } => {
                self.fates.book(line, line, Fate::Refused);
                self.refused.push((line, reason));
            }
            ShipEvent::Room => self.has_room = true,
            ShipEvent::Connected { .. } => {}
            ShipEvent::Lost { error, .. } => self.lost.push(error),
            ShipEvent::Finished => self.is_finished = true,
            other => panic!("{other:?}"),
        }
    }
}

impl Sender for Shipping<'_> {
    fn offer(&mut self, number: u64) {
        assert_eq!(self.offer_bytes(&line_of(number)), number);
    }

    fn turn(&mut self, timeout: Duration) {
        self.shipper.turn(Some(timeout)).unwrap();
        while let Some(event) = self.shipper.next_event() {
            self.book(event);
        }
    }

    fn close(&mut self) {
        self.close_by(Deadline::Standard);
    }

    fn finish(mut self: Box<Self>) -> Shipped {
        self.close();
        let deadline = Instant::now() + RUN_PATIENCE;
        while !self.is_finished {
            assert!(
                Instant::now() < deadline,
                "it did not finish: {:?}",
                self.shipper
            );
            self.turn(Duration::from_millis(100));
        }
        self.shipper.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(self.shipper.next_event(), None, "told after the end");
        let counts = self.shipper.counts();
        assert_they_add_up(&self.fates, counts);
        Shipped {
            fates: self.fates,
            resent: counts.resent,
            lost: self.lost,
            refused: self.refused,
        }
    }
}

/// What was told, line by line, is what is counted.
#[track_caller]
fn assert_they_add_up(fates: &Fates, counts: ShipCounts) {
    let told = [
        Fate::Delivered,
        Fate::Uncertain,
        Fate::Undelivered,
        Fate::Refused,
    ];
    let told = told.map(|fate| fates.count(fate));
    let counted = [
        counts.confirmed,
        counts.uncertain,
        counts.undelivered,
        counts.refused,
    ];
    assert_eq!(counted, told, "{counts:?}");
    assert_eq!(counts.read, told.iter().sum::<u64>(), "{counts:?}");
    assert!(
        counts.kernel_acked <= counts.written && counts.bytes_acked <= counts.bytes_written,
        "{counts:?}"
    );
}
