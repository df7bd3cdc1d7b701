//! Which slot a tick belongs to, which slots hold something, and which of them time has touched:
//! digits and bitmaps. It knows nothing of entries.
//!
//! What always holds: a slot in use of level `l` agrees with `now` in all digits above `l` and is
//! ahead of it in digit `l` (level 0: or equal; the top level goes round, and is at most 63 ahead).
//! So no slot serves two laps at once, and each level comes before all levels above it.
//!
//! ```text
//! tick, six bits a digit    …   5   4   3   2   1   0
//! level 0   1 tick a slot                           └ its slot, if all other digits are now's
//! level 1   64 ticks a slot                     └ its slot, if all digits to the left are now's
//! …
//! level 5   2^30 ticks a slot   └ its slot in any other case
//! ```

pub(super) const LEVELS: u32 = 6;
const SLOT_BITS: u32 = 6;
/// In each level.
const SLOTS: u32 = 1 << SLOT_BITS;
/// In all. Slots are numbered `level * 64 + digit`.
pub(super) const SLOT_COUNT: u32 = LEVELS * SLOTS;
#[cfg(test)]
pub(super) const RANGE_TICKS: u64 = 1 << (SLOT_BITS * LEVELS);

/// How far ahead a tick may lie: the range less one top slot. One more could fall into the top slot
/// that `now` is in, a lap too late, where it would hide nearer ones.
pub(super) const DELAY_TICKS_MAX: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * (LEVELS - 1));

/// The slot of a tick: its level is that of the highest digit in which it differs from `now_tick`.
/// A tick that is past counts as `now_tick`.
#[inline]
pub(super) fn slot_of(now_tick: u64, tick: u64) -> u32 {
    let tick = tick.max(now_tick);
    debug_assert!(tick - now_tick <= DELAY_TICKS_MAX, "beyond the range");
    let highest_bit = ((now_tick ^ tick) | 1).ilog2();
    let level = (highest_bit / SLOT_BITS).min(LEVELS - 1);
    level * SLOTS + digit(tick, level)
}

#[inline]
fn digit(tick: u64, level: u32) -> u32 {
    (tick >> (SLOT_BITS * level)) as u32 % SLOTS
}

/// A bit for each slot: whether it holds something.
pub(super) struct Slots {
    occupied: [u64; LEVELS as usize],
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            occupied: [0; LEVELS as usize],
        }
    }

    #[inline]
    pub(super) fn mark(&mut self, slot: u32) {
        self.occupied[(slot / SLOTS) as usize] |= 1 << (slot % SLOTS);
    }

    #[inline]
    pub(super) fn unmark(&mut self, slot: u32) {
        self.occupied[(slot / SLOTS) as usize] &= !(1 << (slot % SLOTS));
    }

    #[cfg(test)]
    pub(super) fn is_marked(&self, slot: u32) -> bool {
        self.occupied[(slot / SLOTS) as usize] >> (slot % SLOTS) & 1 == 1
    }

    /// The first tick of the nearest slot in use, but not before `now_tick`.
    pub(super) fn next_tick(&self, now_tick: u64) -> Option<u64> {
        let (level, &occupied) = (0..)
            .zip(&self.occupied)
            .find(|&(_, &occupied)| occupied != 0)?;
        let ahead = occupied
            .rotate_right(digit(now_tick, level))
            .trailing_zeros();
        let shift = SLOT_BITS * level;
        Some(((now_tick >> shift) + u64::from(ahead)) << shift)
    }

    /// Hands out, and unmarks, the slots in use that time touches on its way from `before_tick` to
    /// `now_tick`, both included: the lowest level first, and in each level the nearest slot first.
    pub(super) fn take_touched(
        &mut self,
        before_tick: u64,
        now_tick: u64,
        mut take: impl FnMut(u32),
    ) {
        for (level, occupied) in (0..).zip(&mut self.occupied) {
            let shift = SLOT_BITS * level;
            let steps = (now_tick >> shift) - (before_tick >> shift);
            if steps == 0 && level > 0 {
                break; // Nor has any level above moved.
            }
            let first = digit(before_tick, level);
            let touched = match steps {
                0..63 => (2 << steps) - 1,
                _ => u64::MAX,
            };
            let mut left = occupied.rotate_right(first) & touched;
            *occupied &= !left.rotate_left(first);
            while left != 0 {
                take(level * SLOTS + (first + left.trailing_zeros()) % SLOTS);
                left &= left - 1;
            }
        }
    }
}
