//! What may go wrong in a simulated network, and how often.
//!
//! All of it is what a real kernel or peer does on a bad day, never what it cannot do: a short read
//! still proves a socket drained, and after a short write an edge still comes.

use std::ops::RangeInclusive;

use super::endpoint::Cut;
use super::random::{Chance, Random};

/// The weather of a network. [`Faults::NONE`] is a clear day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    /// From one kernel to another, in nanoseconds. Drawn anew for each segment; order is kept.
    pub(crate) latency_nanos: RangeInclusive<u64>,
    /// A segment is cut at a random byte: reads come in parts.
    pub(crate) split: Chance,
    /// A write meets a lack of memory: it takes a part or nothing, and an edge comes when there is
    /// room again.
    pub(crate) short_write: Chance,
    /// A call is interrupted by a signal (EINTR), a wait ends with nothing.
    pub(crate) interrupt: Chance,
    /// A wait tells of a socket where nothing has happened.
    pub(crate) spurious: Chance,
    /// A wait tells of a socket that has been closed, under its old token.
    pub(crate) stale: Chance,
    /// An accepted connection is cut at a random byte of what its server sends ...
    pub(crate) cut: Chance,
    /// ... of so many ...
    pub(crate) cut_within_bytes: u64,
    /// ... and then with a RST instead of a FIN.
    pub(crate) cut_resets: Chance,
    /// The kernel of an accepted connection takes no data: a window that stays shut.
    pub(crate) mute: Chance,
    /// A SYN is answered with a RST.
    pub(crate) refuse: Chance,
    /// A SYN is lost; it is sent again after a second.
    pub(crate) lose_syn: Chance,
}

impl Faults {
    pub(crate) const NONE: Faults = Faults {
        latency_nanos: 20_000..=20_000,
        split: Chance(0),
        short_write: Chance(0),
        interrupt: Chance(0),
        spurious: Chance(0),
        stale: Chance(0),
        cut: Chance(0),
        cut_within_bytes: 0,
        cut_resets: Chance(0),
        mute: Chance(0),
        refuse: Chance(0),
        lose_syn: Chance(0),
    };

    /// Bad weather. Each kind of fault is away, rare or frequent, so that each also comes alone.
    pub(crate) fn drawn(random: &mut Random) -> Faults {
        let fastest = random.within(1_000..=100_000);
        let slowest = fastest * [1, 4, 200][random.within(0..=2) as usize];
        let mut chance = |rare, frequent| {
            let choices = [0, 0, rare, frequent];
            Chance(choices[random.within(0..=3) as usize])
        };
        let faults = Faults {
            latency_nanos: fastest..=slowest,
            split: chance(200, 950),
            short_write: chance(50, 600),
            interrupt: chance(20, 300),
            spurious: chance(20, 300),
            stale: chance(20, 300),
            cut: chance(200, 900),
            cut_within_bytes: 0,
            cut_resets: chance(300, 700),
            mute: chance(50, 300),
            refuse: chance(50, 400),
            lose_syn: chance(20, 200),
        };
        Faults {
            cut_within_bytes: [40, 400, 10_000][random.within(0..=2) as usize],
            ..faults
        }
    }

    /// The fault that a new connection is born with.
    pub(super) fn draw_cut(&self, random: &mut Random) -> Option<Cut> {
        random.happens(self.cut).then(|| Cut {
            after_bytes: random.within(0..=self.cut_within_bytes),
            resets: random.happens(self.cut_resets),
        })
    }
}
