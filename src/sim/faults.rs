//! What may go wrong in a run, and how often: the probabilities and the mask that a seed draws.
//!
//! All of it is what a real kernel, peer or program does on a bad day, never what it cannot do: a
//! short read still proves a socket drained, and after a short write an edge still comes. Whether a
//! fault happens at its moment is decided by `weather` alone.

use std::fmt;
use std::ops::RangeInclusive;

use super::random::{Chance, Random};

/// What can go wrong; each decision about it is of one of these kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// For each segment: it is cut at a random byte, reads come in parts.
    Split,
    /// For each write: it meets a lack of memory and takes a part or nothing; an edge comes when
    /// there is room again.
    ShortWrite,
    /// For each read, write and wait: a signal interrupts it (EINTR); a wait ends with nothing.
    Interrupt,
    /// For each wait: it tells of a socket where nothing has happened.
    Spurious,
    /// For each wait: it tells of a socket that has been closed, under its old token.
    Stale,
    /// For each call that may fail: it does, for want of memory (ENOMEM).
    CallFails,
    /// For each accepted connection: it is cut at a random byte of what its server sends ...
    Cut,
    /// ... and for each that is cut: with a RST instead of a FIN.
    CutResets,
    /// ... or else with a RST right behind the FIN.
    CutResetsAfterFin,
    /// For each accepted connection: its kernel takes no data, a window that stays shut.
    Mute,
    /// For each SYN: it is answered with a RST.
    Refuse,
    /// For each SYN: it is lost, and sent again after a second.
    LoseSyn,
    /// For each segment: its receiver's window shuts behind it, and opens again after a while.
    ShutWindow,
    /// For each segment: from here on nothing arrives for a while, in its direction, in the other or
    /// in both; the kernels send again.
    Hole,
    /// The same, until the weather is healed: the kernels give up.
    HoleStays,
    /// For each SYN: the SYN-ACK is late.
    SlowConnect,
    /// For each connect: no route, no port, not allowed, or a router's ICMP.
    Unreachable,
    /// For each connect: all of its SYNs are lost.
    LoseEverySyn,
    /// For each SYN: its listener goes, with all that it has not accepted, and comes back.
    ListenerLeaves,
    /// For each connect and accept: for a while there are no more descriptors (EMFILE, ENFILE).
    NoDescriptors,
    /// For each lookup: it never comes to an end.
    NameHangs,
    /// For each lookup: it fails, in one of the ways it can.
    NameFails,
    /// For each lookup: it takes its time.
    NameIsLate,
    /// For each lookup: some of its addresses refuse, or are silent.
    NameHasDead,
    /// For each request that the server's program is told of: it ends the connection, with a part of
    /// the answer ...
    ServerEnds,
    /// ... and for each such end: with a RST instead of a FIN.
    ServerResets,
    /// For each accepted connection: its program answers nothing.
    ServerHangs,
    /// For each request that the server's program is told of: it says what answers nothing.
    ServerIsRude,
    /// For each round and server: its loop is not turned any more, so nothing is read.
    ServerIsDeaf,
    /// For each round: the client's loop is not turned for a while.
    ClientStalls,
    /// For each round and server: its loop is not turned for a while.
    ServerStalls,
    /// For each round: the client's program does not pull.
    ClientLags,
}

impl FaultKind {
    pub(crate) const ALL: [FaultKind; 32] = [
        FaultKind::Split,
        FaultKind::ShortWrite,
        FaultKind::Interrupt,
        FaultKind::Spurious,
        FaultKind::Stale,
        FaultKind::CallFails,
        FaultKind::Cut,
        FaultKind::CutResets,
        FaultKind::CutResetsAfterFin,
        FaultKind::Mute,
        FaultKind::Refuse,
        FaultKind::LoseSyn,
        FaultKind::ShutWindow,
        FaultKind::Hole,
        FaultKind::HoleStays,
        FaultKind::SlowConnect,
        FaultKind::Unreachable,
        FaultKind::LoseEverySyn,
        FaultKind::ListenerLeaves,
        FaultKind::NoDescriptors,
        FaultKind::NameHangs,
        FaultKind::NameFails,
        FaultKind::NameIsLate,
        FaultKind::NameHasDead,
        FaultKind::ServerEnds,
        FaultKind::ServerResets,
        FaultKind::ServerHangs,
        FaultKind::ServerIsRude,
        FaultKind::ServerIsDeaf,
        FaultKind::ClientStalls,
        FaultKind::ServerStalls,
        FaultKind::ClientLags,
    ];

    /// Its probability where it is rare, and where it is frequent: in thousandths of its decisions.
    fn habit(self) -> (u64, u64) {
        match self {
            FaultKind::Split => (200, 950),
            FaultKind::ShortWrite => (50, 600),
            FaultKind::Interrupt | FaultKind::Spurious | FaultKind::Stale => (20, 300),
            FaultKind::CallFails => (1, 5),
            FaultKind::Cut => (200, 900),
            FaultKind::CutResets | FaultKind::CutResetsAfterFin | FaultKind::ServerResets => {
                (300, 700)
            }
            FaultKind::Mute | FaultKind::ServerHangs => (50, 300),
            FaultKind::ServerIsRude => (10, 100),
            FaultKind::ServerIsDeaf => (1, 3),
            FaultKind::Refuse => (50, 400),
            FaultKind::LoseSyn => (20, 200),
            FaultKind::ServerEnds => (50, 400),
            FaultKind::ClientStalls | FaultKind::ServerStalls => (5, 50),
            FaultKind::ClientLags => (50, 500),
            FaultKind::ShutWindow | FaultKind::Hole => (5, 50),
            FaultKind::HoleStays => (2, 20),
            FaultKind::SlowConnect => (100, 500),
            FaultKind::Unreachable | FaultKind::LoseEverySyn => (50, 300),
            FaultKind::ListenerLeaves | FaultKind::NoDescriptors => (20, 200),
            FaultKind::NameHangs | FaultKind::NameFails => (50, 400),
            FaultKind::NameIsLate | FaultKind::NameHasDead => (100, 600),
        }
    }

    /// Whether a patient client has its reply in spite of it.
    fn is_benign(self) -> bool {
        match self {
            FaultKind::Split
            | FaultKind::ShortWrite
            | FaultKind::Interrupt
            | FaultKind::Spurious
            | FaultKind::Stale
            | FaultKind::ShutWindow
            | FaultKind::SlowConnect
            | FaultKind::ClientStalls
            | FaultKind::ServerStalls
            | FaultKind::ClientLags => true,
            FaultKind::CallFails
            | FaultKind::Cut
            | FaultKind::CutResets
            | FaultKind::CutResetsAfterFin
            | FaultKind::Mute
            | FaultKind::Refuse
            | FaultKind::LoseSyn
            | FaultKind::Hole
            | FaultKind::HoleStays
            | FaultKind::Unreachable
            | FaultKind::LoseEverySyn
            | FaultKind::ListenerLeaves
            | FaultKind::NoDescriptors
            | FaultKind::NameHangs
            | FaultKind::NameFails
            | FaultKind::NameIsLate
            | FaultKind::NameHasDead
            | FaultKind::ServerEnds
            | FaultKind::ServerResets
            | FaultKind::ServerHangs
            | FaultKind::ServerIsRude
            | FaultKind::ServerIsDeaf => false,
        }
    }
}

/// Faults that do harm together, and would seldom meet if each were drawn alone.
const FRONTS: [&[FaultKind]; 4] = [
    // Last words and a reset, while the loop does not look and requests pile up.
    &[
        FaultKind::Cut,
        FaultKind::CutResets,
        FaultKind::ServerEnds,
        FaultKind::ServerResets,
        FaultKind::ClientStalls,
    ],
    &[FaultKind::ServerIsRude, FaultKind::ClientStalls],
    // Several lookups and attempts at a time, of which some end when nobody waits for them any more.
    &[
        FaultKind::NameIsLate,
        FaultKind::NameHasDead,
        FaultKind::SlowConnect,
        FaultKind::ClientStalls,
    ],
    &[
        FaultKind::NoDescriptors,
        FaultKind::CallFails,
        FaultKind::ClientLags,
    ],
];

/// The climate of a run. [`Faults::NONE`] has no bad day.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Faults {
    /// From one kernel to another, in nanoseconds. Drawn anew for each segment; order is kept.
    pub(crate) latency_nanos: RangeInclusive<u64>,
    /// A connection that is cut is so within so many bytes.
    pub(crate) cut_within_bytes: u64,
    /// By kind, in the order of [`FaultKind::ALL`]; zero where the mask has it off.
    chances: [Chance; FaultKind::ALL.len()],
}

impl Faults {
    pub(crate) const NONE: Faults = Faults {
        latency_nanos: 20_000..=20_000,
        cut_within_bytes: 400,
        chances: [Chance(0); FaultKind::ALL.len()],
    };

    /// Bad weather. A mask says which kinds may happen, from nearly none to most, so that each also
    /// comes alone; each has a probability of its own.
    pub(crate) fn drawn(random: &mut Random) -> Faults {
        let fastest = random.within(1_000..=100_000);
        let slowest = fastest * [1, 4, 200][random.within(0..=2) as usize];
        let mut faults = Faults {
            latency_nanos: fastest..=slowest,
            cut_within_bytes: [40, 400, 10_000][random.within(0..=2) as usize],
            ..Faults::NONE
        };
        let is_on = Chance([100, 300, 600][random.within(0..=2) as usize]);
        for kind in FaultKind::ALL {
            let (rare, frequent) = kind.habit();
            let chance = match random.within(0..=2) {
                0 => rare,
                1 => random.within(rare..=frequent),
                _ => frequent,
            };
            if random.happens(is_on) {
                faults.chances[kind as usize] = Chance(chance as u32);
            }
        }
        if random.happens(Chance(300)) {
            let last = FRONTS.len() as u64 - 1;
            for kind in FRONTS[random.within(0..=last) as usize] {
                let (_, frequent) = kind.habit();
                faults.chances[*kind as usize] = Chance(frequent as u32);
            }
        }
        faults
    }

    /// The same, and one kind more, or oftener or less often.
    pub(crate) fn with(mut self, kind: FaultKind, chance: Chance) -> Faults {
        self.chances[kind as usize] = chance;
        self
    }

    /// The same without whatever may keep a request from being answered.
    pub(crate) fn benign(mut self) -> Faults {
        for kind in FaultKind::ALL {
            if !kind.is_benign() {
                self.chances[kind as usize] = Chance(0);
            }
        }
        self
    }

    pub(crate) fn chance(&self, kind: FaultKind) -> Chance {
        self.chances[kind as usize]
    }
}

/// Only what may happen.
impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Faults");
        shown.field("latency_nanos", &self.latency_nanos);
        shown.field("cut_within_bytes", &self.cut_within_bytes);
        for kind in FaultKind::ALL {
            let Chance(thousandths) = self.chance(kind);
            if thousandths > 0 {
                shown.field(&format!("{kind:?}"), &thousandths);
            }
        }
        shown.finish()
    }
}

#[test]
fn every_kind_stands_at_its_own_place() {
    for (place, kind) in FaultKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, place, "{kind:?}");
    }
}
