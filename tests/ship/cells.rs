//! The classic test and its relatives: what a sink does, how the sender brings its lines, and what came of it.
//!
//! 1000 lines in a burst, and a sink that closes one byte into message 423; each other cell changes one thing of it.
//! After its break a sink goes on accepting and reading, so that what is sent again arrives.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::delayed_link::Direction::Out;
use crate::delayed_link::Link;
use crate::mortal::{Dies, Mortal};
use crate::place::Place;
use crate::rungs::Rung;
use crate::shipping::{self, LINE_BYTES, Outcome, Sender};
use crate::sink::{Break, Ends, Manner, Sink};
use crate::support::eventually;

/// Lines that are read before the break of the classic test.
const WHOLE: u64 = 422;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// 1000 lines in a burst, a close one byte into the 423rd.
    Classic,
    SlowReader,
    SmallBuffer,
    TwentyThousand,
    /// In one write, as far as the kernel takes it; in all other cells a line is written before the next is brought.
    AtOnce,
    /// Each line when the one before it has been read; the 423rd is begun.
    Paced,
    /// The same with a close between two lines: nobody has begun a line that is lost.
    PacedAndClean,
    /// A burst to line 422, all of it read; a close; when its FIN is there, a burst of the others.
    CleanClose,
    /// A FIN and lines cross on their way. It needs a link.
    FinOnItsWay,
    /// And our FIN behind the lines: when the sink's is there, no error is, and not all is read.
    FinsCross,
    Reset,
    /// Three ends, each of another kind.
    AgainAndAgain,
    /// A FIN after 422 lines, but the sink reads on.
    HalfClosed,
    /// A FIN after 422 lines, and the sink never reads again, but its kernel acknowledges.
    HalfClosedAndDeaf,
    /// A process that is killed having read 422 lines, and not stored the last of them.
    Killed,
    /// A process that is killed having read everything to the FIN, and stored nothing.
    KilledAtTheEnd,
}

impl Cell {
    pub(crate) const ALL: [Cell; 16] = [
        Cell::Classic,
        Cell::SlowReader,
        Cell::SmallBuffer,
        Cell::TwentyThousand,
        Cell::AtOnce,
        Cell::Paced,
        Cell::PacedAndClean,
        Cell::CleanClose,
        Cell::FinOnItsWay,
        Cell::FinsCross,
        Cell::Reset,
        Cell::AgainAndAgain,
        Cell::HalfClosed,
        Cell::HalfClosedAndDeaf,
        Cell::Killed,
        Cell::KilledAtTheEnd,
    ];

    /// As docs/guarantees.md has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Classic => "1,000 lines, closes one byte into the 423rd",
            Cell::SlowReader => "the same, slow reader",
            Cell::SmallBuffer => "the same, receive buffer of 4 KiB",
            Cell::TwentyThousand => "the same, 20,000 lines",
            Cell::AtOnce => "the same, all in one write",
            Cell::Paced => "paced, closes one byte into the 423rd",
            Cell::PacedAndClean => "paced, closes between two lines",
            Cell::CleanClose => "closes when it has read all so far",
            Cell::FinOnItsWay => "the same, lines are on their way",
            Cell::FinsCross => "the same, and our FIN",
            Cell::Reset => "resets after 422 lines",
            Cell::AgainAndAgain => "three ends: closes, resets, closes again",
            Cell::HalfClosed => "half-closes after 422 lines, reads on",
            Cell::HalfClosedAndDeaf => "half-closes after 422 lines, reads no more",
            Cell::Killed => "killed (SIGKILL) after 422 lines, some not stored",
            Cell::KilledAtTheEnd => "killed when it has read all and stored nothing",
        }
    }

    /// The sink's end came with a FIN before anything else, and it had read all that was acknowledged.
    pub(crate) fn ends_with_a_fin(self) -> bool {
        matches!(
            self,
            Cell::PacedAndClean | Cell::CleanClose | Cell::FinOnItsWay | Cell::FinsCross
        )
    }

    /// Its FIN says that it has read everything so far, and it has not (`docs/guarantees.md` says so).
    pub(crate) fn seems_to_have_read(self) -> bool {
        matches!(self, Cell::HalfClosed | Cell::HalfClosedAndDeaf)
    }

    /// What a sink has read it may not have stored.
    pub(crate) fn kills(self) -> bool {
        matches!(self, Cell::Killed | Cell::KilledAtTheEnd)
    }

    pub(crate) fn is_in(self, place: &Place) -> bool {
        match place {
            Place::Link(_) => true,
            Place::Loopback => !self.needs_a_link(),
            // Who is told by the proxy knows nothing of single lines.
            Place::Proxied => !self.needs_a_link() && !self.is_paced(),
        }
    }

    fn needs_a_link(self) -> bool {
        matches!(self, Cell::FinOnItsWay | Cell::FinsCross)
    }

    /// On a link each paced line takes a round trip.
    pub(crate) fn lines(self, place: &Place) -> u64 {
        match self {
            Cell::TwentyThousand => 20_000,
            // They are of one epoch, be it small.
            Cell::FinOnItsWay | Cell::FinsCross => WHOLE + 5,
            _ if self.is_paced() && matches!(place, Place::Link(_)) => 60,
            _ => 1_000,
        }
    }

    fn is_paced(self) -> bool {
        matches!(self, Cell::Paced | Cell::PacedAndClean)
    }

    fn whole(self, place: &Place) -> u64 {
        WHOLE.min(self.lines(place) - 5)
    }

    fn breaks(self, place: &Place) -> Vec<Break> {
        let after = self.whole(place);
        let ends = match self {
            Cell::AgainAndAgain => {
                let each = [
                    (422, Ends::OneByteIn),
                    (600, Ends::Reset),
                    (800, Ends::Between),
                ];
                return Vec::from(each.map(|(after, ends)| Break { after, ends }));
            }
            _ if self.ends_with_a_fin() => Ends::WhenTold,
            Cell::Reset => Ends::Reset,
            Cell::HalfClosed => Ends::HalfClosed,
            Cell::HalfClosedAndDeaf => Ends::HalfClosedAndDeaf,
            _ => Ends::OneByteIn,
        };
        vec![Break { after, ends }]
    }
}

/// A run of one cell: what became of its lines.
pub(crate) fn run(place: &Place, cell: Cell, rung: Rung) -> Outcome {
    match cell {
        Cell::Killed => run_to_a_process(place, cell, rung, Dies::AfterLines(WHOLE)),
        Cell::KilledAtTheEnd => run_to_a_process(place, cell, rung, Dies::AtTheEnd),
        _ => run_to_a_sink(place, cell, rung),
    }
}

fn run_to_a_sink(place: &Place, cell: Cell, rung: Rung) -> Outcome {
    let receive_bytes = (cell == Cell::SmallBuffer).then_some(4 << 10);
    let manner = Manner {
        breaks: cell.breaks(place),
        slowly: cell == Cell::SlowReader,
        ..Manner::default()
    };
    let sink = Sink::start(place.listener(receive_bytes), manner);
    let proxy = place.proxy(sink.address());
    let target = proxy.as_ref().map_or(sink.address(), |it| it.address());
    let promises =
        rung.tells_only_what_was_read() && !place.is_proxied() && !cell.seems_to_have_read();
    let shipped = place.near(|| {
        let watch = |told: RangeInclusive<u64>| {
            let is_so = !promises || sink.has(told.clone());
            assert!(is_so, "{cell:?}, {rung:?}: {told:?} told, and not read");
        };
        let mut sender = rung.sender(target, &watch);
        bring(place, cell, &sink, sender.as_mut());
        sender.finish()
    });
    assert_eq!(shipped.fates.told(), cell.lines(place));
    sink.let_go();
    until_served(place, target, sink.address());
    assert_eq!(sink.others(), Vec::<Vec<u8>>::new());
    let what = format!("{cell:?} {place}, {rung:?}");
    let (late, busy) = (sink.late(), sink.busy_max());
    assert_eq!(sink.out_of_order(), 0, "{what}");
    assert!(late == 0 || rung != Rung::CommitOrdered, "{what}: {late}");
    assert!(busy <= 2 || !promises, "{what}: {busy} epochs at a time");
    Outcome::of(&shipped.fates, |number| sink.times_read(number))
}

/// Brings all lines, in the manner of the cell.
fn bring(place: &Place, cell: Cell, sink: &Sink, sender: &mut dyn Sender) {
    let (lines, whole) = (cell.lines(place), cell.whole(place));
    match cell {
        Cell::Paced | Cell::PacedAndClean => {
            for number in 1..=lines {
                let resets = place.resets();
                offer(sender, number..=number);
                // The first one after the break may be lost: then a RST says so.
                let is_gone =
                    || number == whole + 1 && (resets.is_none() || place.resets() > resets);
                sender.until("the line read", &mut || {
                    sink.has(number..=number) || is_gone()
                });
                if number == whole + u64::from(cell == Cell::Paced) {
                    until_closed(place, sink);
                }
            }
        }
        Cell::CleanClose => {
            offer(sender, 1..=whole);
            sender.until("all so far read", &mut || sink.total() == whole);
            until_closed(place, sink);
            offer(sender, whole + 1..=lines);
        }
        Cell::FinOnItsWay | Cell::FinsCross => {
            let Place::Link(link) = place else {
                panic!("it needs a link")
            };
            cross(link, cell, sink, sender, lines);
        }
        Cell::AtOnce => (1..=lines).for_each(|number| sender.offer(number)),
        _ => offer(sender, 1..=lines),
    }
}

/// The sink closes while the sender stands still; its FIN is there, too.
fn until_closed(place: &Place, sink: &Sink) {
    sink.let_go();
    eventually("the close", || sink.broken() == 1);
    place.far(|| shipping::until_its_fins_arrived(sink.address()));
}

/// The sink has read all so far, and closes while the others are on their way.
fn cross(link: &Link, cell: Cell, sink: &Sink, sender: &mut dyn Sender, lines: u64) {
    offer(sender, 1..=WHOLE);
    // What is of an epoch before must not wait behind what is held.
    sender.until("all so far read, and one epoch open", &mut || {
        sink.total() == WHOLE && sink.busy() == 1
    });
    link.hold(Out, |packet| packet.payload > 0);
    let before = link.counts(Out).entered;
    offer(sender, WHOLE + 1..=lines);
    if cell == Cell::FinsCross {
        sender.close();
    }
    let bytes = (lines - WHOLE) * LINE_BYTES as u64;
    sender.until("the others on their way", &mut || {
        let now = link.counts(Out).entered;
        let is_closed = cell == Cell::FinOnItsWay || now.fin > before.fin;
        now.payload_bytes >= before.payload_bytes + bytes && is_closed
    });
    sink.let_go();
    eventually("the close", || sink.broken() == 1);
    link.release(Out);
}

/// A proxy first: it may have taken what it has not passed on.
fn until_served(place: &Place, target: SocketAddr, sink: SocketAddr) {
    for server in [target, sink] {
        place.far(|| shipping::until_served(server));
    }
}

fn offer(sender: &mut dyn Sender, numbers: RangeInclusive<u64>) {
    for number in numbers {
        sender.offer(number);
        sender.turn(Duration::ZERO);
    }
}

fn run_to_a_process(place: &Place, cell: Cell, rung: Rung, dies: Dies) -> Outcome {
    let sink = place.far(|| Mortal::start(place.address(), dies));
    let proxy = place.proxy(sink.address());
    let target = proxy.as_ref().map_or(sink.address(), |it| it.address());
    let shipped = place.near(|| {
        let mut sender = rung.sender(target, &|_| {});
        offer(sender.as_mut(), 1..=cell.lines(place));
        sender.finish()
    });
    assert_eq!(shipped.fates.told(), cell.lines(place));
    until_served(place, target, sink.address());
    assert_eq!(sink.died(), 1, "it did not die");
    let stored = sink.times_stored();
    Outcome::of(&shipped.fates, |number| {
        stored.get(number as usize).copied().unwrap_or(0)
    })
}
