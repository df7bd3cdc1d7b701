//! The seeded generator from which a simulation draws everything: the same seed gives the same run.
//!
//! splitmix64 (Steele, Lea, Flood 2014). A range is drawn by multiplication; its bias of at most
//! range / 2^64 does not matter here.

use std::ops::RangeInclusive;

/// Draws, from a seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// How often something happens, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chance(pub(crate) u32);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        let count = u128::from(high - low) + 1;
        low + ((u128::from(self.next()) * count) >> 64) as u64
    }

    pub(crate) fn happens(&mut self, chance: Chance) -> bool {
        chance.0 > 0 && self.within(0..=999) < u64::from(chance.0)
    }

    /// Another generator, for a part that should not disturb the others' draws.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.next())
    }
}
