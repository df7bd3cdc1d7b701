//! A hierarchical timer wheel: it keeps one deadline an owner, and says whose has come.
//!
//! It has no clock: time is a tick, a plain `u64` that the caller moves with [`Wheel::advance`]. It
//! never calls back, never sleeps, and allocates only when it holds more entries than ever before.
//!
//! What always holds: an entry is filed under a *lower bound* of its deadline. So postponing it only
//! writes a field, and it is still looked at in time: then it is handed out, or filed anew.

mod rings;
mod slots;
#[cfg(test)]
mod tests;

use std::fmt;

use rings::Rings;
use slots::{DELAY_TICKS_MAX, SLOT_COUNT, Slots, slot_of};

/// A slot's number is also that of its ring. After these come the rings of what expired and was not
/// yet popped, of what was given up, and of what `advance` has taken and not yet put elsewhere.
const EXPIRED: u32 = SLOT_COUNT;
const FREE: u32 = SLOT_COUNT + 1;
const TAKEN: u32 = SLOT_COUNT + 2;
const HEADS: u32 = SLOT_COUNT + 3;

/// Names one entry of a [`Wheel`].
///
/// It is valid from [`Wheel::insert`] to [`Wheel::remove`]. Afterwards the wheel may give the same key
/// to another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(u32);

/// A timer wheel of 6 levels with 64 slots each. `T` is the owner of an entry, handed back when its
/// deadline comes.
///
/// An owner takes one entry for its whole life and moves that entry's deadline as it likes. Moving it
/// *later*, by far the most frequent, only writes it down. All operations take constant time;
/// `advance` costs what it looks at, however far it goes. An entry is never handed out early, and it
/// can be popped after the first `advance` that reaches its deadline.
///
/// No order is promised among entries that fall due in one `advance`.
///
/// Methods that take a key panic if the wheel never gave one so high. A key that was given up must
/// not be used: debug builds panic; others do nothing, or act on the entry's next owner.
///
/// ```
/// use taut::wheel::Wheel;
///
/// let mut wheel = Wheel::new(0);
/// let idle = wheel.insert("idle");
/// let reply = wheel.insert("reply");
/// wheel.schedule(idle, 100);
/// wheel.schedule(reply, 5);
/// wheel.schedule(idle, 7_000); // postponed
///
/// wheel.advance(4);
/// assert_eq!(wheel.pop_expired(), None);
/// assert_eq!(wheel.next_tick(), Some(5));
///
/// wheel.advance(6_999);
/// assert_eq!(wheel.pop_expired(), Some((reply, "reply")));
/// assert_eq!(wheel.pop_expired(), None);
///
/// wheel.advance(7_000);
/// assert_eq!(wheel.pop_expired(), Some((idle, "idle")));
/// assert_eq!(wheel.deadline(idle), None); // until it is scheduled anew
/// assert_eq!(wheel.next_tick(), None);
/// ```
pub struct Wheel<T> {
    now_tick: u64,
    slots: Slots,
    rings: Rings,
    entries: Vec<Entry<T>>,
    live: usize,
}

/// One entry. With its links it takes 32 bytes, for an owner of four.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    /// Means something while `Filed` or `Expired`.
    deadline_tick: u64,
    /// While in a slot: the tick it is filed under, never later than its deadline. Otherwise
    /// `u64::MAX`, which no deadline exceeds: so one comparison tells `schedule` that to write the
    /// deadline is enough.
    filed_tick: u64,
    owner: T,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Given up; in the ring `FREE`.
    Free,
    /// Without a deadline, in no ring.
    Idle,
    /// With a deadline, in the ring of a slot.
    Filed,
    /// Without a deadline, but still in the ring of a slot, which has not come up yet.
    Cleared,
    /// Its deadline has come; in the ring `EXPIRED`.
    Expired,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel, whose time is `now_tick`.
    #[must_use]
    pub fn new(now_tick: u64) -> Self {
        Self {
            now_tick,
            slots: Slots::new(),
            rings: Rings::new(HEADS),
            entries: Vec::new(),
            live: 0,
        }
    }

    /// The tick of the last [`advance`](Self::advance).
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now_tick
    }

    /// How many entries there are, with a deadline or without.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are no entries at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The entry's deadline; `None` if it was never given one, or was popped or cleared since.
    #[must_use]
    pub fn deadline(&self, key: TimerKey) -> Option<u64> {
        let entry = &self.entries[key.index()];
        debug_assert_ne!(entry.state, State::Free, "the key was given up");
        matches!(entry.state, State::Filed | State::Expired).then_some(entry.deadline_tick)
    }

    /// Makes an entry for `owner`, without a deadline yet.
    ///
    /// # Panics
    /// If the wheel holds some 2³² entries already.
    #[inline]
    pub fn insert(&mut self, owner: T) -> TimerKey {
        let entry = Entry {
            deadline_tick: 0,
            filed_tick: u64::MAX,
            owner,
            state: State::Idle,
        };
        let Some(member) = self.rings.unstack(FREE) else {
            let key = TimerKey::of_member(self.rings.add_member());
            self.entries.push(entry);
            self.live += 1;
            return key;
        };
        let key = TimerKey::of_member(member);
        self.entries[key.index()] = entry;
        self.live += 1;
        key
    }

    /// Gives up the entry. It will not be handed out, also if it has expired already.
    #[inline]
    pub fn remove(&mut self, key: TimerKey) {
        match self.entries[key.index()].state {
            State::Free => return debug_assert!(false, "the key was given up"),
            State::Idle => {}
            State::Filed | State::Cleared | State::Expired => self.unlink(key),
        }
        let entry = &mut self.entries[key.index()];
        entry.filed_tick = u64::MAX;
        entry.state = State::Free;
        self.rings.stack(FREE, key.member());
        self.live -= 1;
    }

    /// Sets the entry's deadline, in place of the one it had.
    ///
    /// A deadline at or before [`now`](Self::now) is due at the *next* [`advance`](Self::advance),
    /// also one that does not move time: so a loop that pops entries and schedules them anew ends.
    /// But an entry that has expired and was not popped stays so, if its new deadline is not ahead
    /// either.
    #[inline]
    pub fn schedule(&mut self, key: TimerKey, deadline_tick: u64) {
        let entry = &mut self.entries[key.index()];
        if deadline_tick > entry.filed_tick {
            entry.deadline_tick = deadline_tick;
            entry.state = State::Filed;
            return;
        }
        self.schedule_sooner(key, deadline_tick);
    }

    /// Takes the entry's deadline away; the entry stays. It will not be handed out, also if it has
    /// expired already.
    ///
    /// It may stay in its slot until that comes up, for its next deadline will most likely be later
    /// and then costs one write. So [`next_tick`](Self::next_tick) may still name a tick for it.
    #[inline]
    pub fn clear(&mut self, key: TimerKey) {
        let entry = &mut self.entries[key.index()];
        match entry.state {
            State::Free => debug_assert!(false, "the key was given up"),
            State::Idle | State::Cleared => {}
            State::Filed => entry.state = State::Cleared,
            State::Expired => {
                entry.state = State::Idle;
                self.unlink(key);
            }
        }
    }

    /// Moves time to `now_tick`: afterwards all entries due by then can be popped. What was left
    /// unpopped after an earlier `advance` remains, and comes first.
    ///
    /// Time does not go back: a `now_tick` before [`now`](Self::now) counts as `now`.
    pub fn advance(&mut self, now_tick: u64) {
        let before_tick = self.now_tick;
        self.now_tick = now_tick.max(before_tick);
        // All taken before any is filed anew: else one that goes back into a slot just passed would
        // be met again.
        let take = |slot| self.rings.append(TAKEN, slot);
        self.slots.take_touched(before_tick, self.now_tick, take);
        let mut member = self.rings.next(TAKEN);
        self.rings.disband(TAKEN);
        while member != TAKEN {
            let next = self.rings.next(member);
            self.settle(TimerKey::of_member(member));
            member = next;
        }
    }

    /// Hands out one entry whose deadline has come; it has none from now on. `None` when all have
    /// been handed out.
    #[inline]
    pub fn pop_expired(&mut self) -> Option<(TimerKey, T)> {
        let first = self.rings.next(EXPIRED);
        if first == EXPIRED {
            return None;
        }
        self.rings.unlink(first);
        let key = TimerKey::of_member(first);
        let entry = &mut self.entries[key.index()];
        debug_assert!(entry.state == State::Expired && entry.deadline_tick <= self.now_tick);
        entry.state = State::Idle;
        Some((key, entry.owner))
    }

    /// The tick at which [`advance`](Self::advance) next has work to do, and until which the caller
    /// may sleep.
    ///
    /// Never later than the earliest deadline ahead, but it may be earlier: then there are entries to be
    /// filed anew. It is [`now`](Self::now) while expired entries wait to be popped, and `None` when
    /// nothing is filed.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        if self.rings.next(EXPIRED) != EXPIRED {
            return Some(self.now_tick);
        }
        self.slots.next_tick(self.now_tick)
    }

    /// The rest of [`schedule`](Self::schedule): not in a slot, or in one that may come too late.
    fn schedule_sooner(&mut self, key: TimerKey, deadline_tick: u64) {
        let entry = &mut self.entries[key.index()];
        entry.deadline_tick = deadline_tick;
        match entry.state {
            State::Free => return debug_assert!(false, "the key was given up"),
            State::Expired if deadline_tick <= self.now_tick => return,
            State::Filed | State::Cleared if deadline_tick == entry.filed_tick => {
                entry.state = State::Filed;
                return;
            }
            State::Idle => {}
            State::Filed | State::Cleared | State::Expired => self.unlink(key),
        }
        self.file(key);
    }

    /// Puts an entry taken from its slot where it belongs now.
    #[inline]
    fn settle(&mut self, key: TimerKey) {
        let entry = &mut self.entries[key.index()];
        debug_assert!(entry.state == State::Cleared || entry.filed_tick <= entry.deadline_tick);
        if entry.state == State::Cleared {
            entry.state = State::Idle;
            entry.filed_tick = u64::MAX;
        } else if entry.deadline_tick <= self.now_tick {
            entry.state = State::Expired;
            entry.filed_tick = u64::MAX;
            self.rings.link_before(EXPIRED, key.member());
        } else {
            self.file(key);
        }
    }

    /// Files an entry that is in no ring under its deadline, or as near to it as the wheel reaches.
    ///
    /// One due already goes into level 0's slot of `now`, which nothing else uses: the next
    /// `advance` begins there.
    #[inline]
    fn file(&mut self, key: TimerKey) {
        let entry = &mut self.entries[key.index()];
        let reach_tick = self.now_tick.saturating_add(DELAY_TICKS_MAX);
        entry.filed_tick = entry.deadline_tick.min(reach_tick);
        entry.state = State::Filed;
        let slot = slot_of(self.now_tick, entry.filed_tick);
        self.slots.mark(slot);
        self.rings.link_before(slot, key.member());
    }

    /// Takes an entry out of the ring it is in.
    #[inline]
    fn unlink(&mut self, key: TimerKey) {
        if let Some(emptied) = self.rings.unlink(key.member())
            && emptied < SLOT_COUNT
        {
            self.slots.unmark(emptied);
        }
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Wheel");
        debug
            .field("now_tick", &self.now_tick)
            .field("len", &self.live)
            .finish_non_exhaustive()
    }
}

impl TimerKey {
    fn of_member(member: u32) -> Self {
        Self(member - HEADS)
    }

    fn member(self) -> u32 {
        self.0 + HEADS
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}
