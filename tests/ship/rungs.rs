//! The rungs of the ladder as these tests ask for them, and what each promises in each cell.

use std::net::SocketAddr;
use std::time::Duration;

use taut::ship::{Ack, OnUncertain, ShipConfig};
use taut::{Breaker, Config};

use crate::cells::Cell;
use crate::place::Place;
use crate::shipping::{Framed, Outcome, Plain, Sender, Shipping, Watch};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// Not taut: a blocking socket.
    Plain,
    None,
    Peek,
    Kernel,
    /// What a reset leaves in doubt is told, and not sent again.
    KernelReport,
    /// Epochs as they are by default: all of most cells in one.
    Commit,
    /// Epochs of 16 KiB, side by side.
    CommitSmall,
    /// The same, one after the other.
    CommitOrdered,
    /// As `Commit`, without a witness.
    CommitBlind,
}

impl Rung {
    pub(crate) const ALL: [Rung; 9] = [
        Rung::Plain,
        Rung::None,
        Rung::Peek,
        Rung::Kernel,
        Rung::KernelReport,
        Rung::Commit,
        Rung::CommitSmall,
        Rung::CommitOrdered,
        Rung::CommitBlind,
    ];

    /// As docs/guarantees.md has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Rung::Plain => "plain sender",
            Rung::None => "`none`",
            Rung::Peek => "`peek`",
            Rung::Kernel => "`kernel`",
            Rung::KernelReport => "`kernel`, report",
            Rung::Commit => "`commit`",
            Rung::CommitSmall => "`commit`, 16 KiB",
            Rung::CommitOrdered => "the same, ordered",
            Rung::CommitBlind => "`commit`, no witness",
        }
    }

    fn is_commit(self) -> bool {
        matches!(
            self,
            Rung::Commit | Rung::CommitSmall | Rung::CommitOrdered | Rung::CommitBlind
        )
    }

    fn is_kernel(self) -> bool {
        matches!(self, Rung::Kernel | Rung::KernelReport)
    }

    /// What is told as delivered has been read by then.
    pub(crate) fn tells_only_what_was_read(self) -> bool {
        self.is_commit() || self.is_kernel()
    }

    pub(crate) fn sender<'a>(self, sink: SocketAddr, watch: Watch<'a>) -> Box<dyn Sender + 'a> {
        self.sender_with(self.config(sink), sink, watch)
    }

    fn sender_with<'a>(
        self,
        config: ShipConfig,
        sink: SocketAddr,
        watch: Watch<'a>,
    ) -> Box<dyn Sender + 'a> {
        match self {
            Rung::Plain => Box::new(Plain::to(sink, Framed::Octet)),
            _ => Box::new(Shipping::new(config, watch)),
        }
    }

    pub(crate) fn config(self, sink: SocketAddr) -> ShipConfig {
        let mut config = ShipConfig {
            client: Config {
                breaker: Breaker::off(),
                ..Config::default()
            },
            ..ShipConfig::to(sink.to_string())
        };
        config.client.reconnect.first_pause_max = Duration::from_millis(5);
        config.client.reconnect.pause_max = Duration::from_millis(20);
        config.ack = match self {
            Rung::Plain | Rung::None => Ack::None,
            Rung::Peek => Ack::Peek,
            _ if self.is_kernel() => Ack::Kernel,
            _ => Ack::Commit,
        };
        config.witness = self != Rung::CommitBlind;
        config.ordered = self == Rung::CommitOrdered;
        if matches!(self, Rung::CommitSmall | Rung::CommitOrdered) {
            config.commit_bytes = 16 << 10;
        }
        if self == Rung::KernelReport {
            config.on_uncertain = OnUncertain::Report;
        }
        config
    }

    /// Holds what came of a run against what delivery.md promises.
    #[track_caller]
    pub(crate) fn judge(self, place: &Place, cell: Cell, outcome: Outcome) {
        let what = format!("{cell:?} {place}, {self:?}: {outcome:?}");
        assert_eq!((outcome.undelivered, outcome.refused), (0, 0), "{what}");
        // What is behind a proxy nobody promises for; its witness comes and goes with the sink.
        if place.is_proxied() || cell == Cell::HalfClosedAndDeaf {
            return;
        }
        if self != Rung::KernelReport {
            assert_eq!(outcome.uncertain, 0, "{what}");
        }
        if self.loses_nothing_in(cell) {
            assert_eq!(outcome.lost, 0, "{what}");
        }
        if self == Rung::KernelReport && !cell.seems_to_have_read() {
            assert_eq!(outcome.doubled, 0, "{what}");
        }
        if self.is_kernel() && cell.ends_with_a_fin() {
            assert_eq!((outcome.doubled, outcome.uncertain), (0, 0), "{what}");
        }
    }

    fn loses_nothing_in(self, cell: Cell) -> bool {
        match self {
            Rung::Plain | Rung::None => false,
            Rung::Peek => matches!(cell, Cell::PacedAndClean | Cell::CleanClose),
            Rung::CommitBlind => !cell.kills(),
            _ if self.is_commit() => true,
            // It was read, and the kernel knows nothing of what was stored.
            _ => !cell.kills(),
        }
    }
}
