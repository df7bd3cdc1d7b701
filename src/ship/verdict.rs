//! What the end of a shipping connection proves of its lines.
//!
//! Linux closes with a FIN when the program had read everything, and with a RST when it had not (RFC 1122 §4.2.2.13,
//! RFC 2525 §2.17). So behind a FIN that came before any other end, what was acknowledged is exactly what was read;
//! behind anything else up to a receive buffer of it may not have been, and what was written but not acknowledged may
//! have been read all the same, since its acknowledgement may be what was lost. Our own FIN acknowledged and answered
//! by a FIN proves that all was read. That the one who read it lives on is for the witness to say.

use super::config::Ack;

/// How a shipping connection ended, as far as its lines are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Bytes that the kernel took.
    pub(super) written: u64,
    /// Of those, bytes that the peer's TCP acknowledged.
    pub(super) acked: u64,
    /// The peer's FIN came before any other end.
    pub(super) fin_first: bool,
    /// Our FIN was acknowledged when the peer's was first seen, and there was no error.
    pub(super) is_commit: bool,
    /// It was reset behind our FIN, when the peer's TCP had all: by a program that had not read it, or by one that always
    /// does.
    pub(super) is_cut: bool,
}

/// What the witness of an epoch says when the epoch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witnessed {
    /// It stands still.
    Alive,
    /// It has ended, too: the peer may have died with what it had read.
    Dead,
    /// There was none when the epoch was sealed.
    Missing,
    /// None was asked for.
    NotAsked,
}

/// Offsets in the stream: lines up to `read` are delivered, those after it and up to `doubt` may have been read, and
/// those beyond it have not been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) read: u64,
    pub(super) doubt: u64,
}

impl Verdict {
    /// Nothing of it is in doubt.
    fn proven(upto: u64) -> Verdict {
        Verdict {
            read: upto,
            doubt: upto,
        }
    }
}

impl End {
    /// What is proven under a rung, where the peer's kernel may hold so many bytes that its program has not read.
    pub(super) fn judge(&self, ack: Ack, witness: Witnessed, receive_bytes_max: u64) -> Verdict {
        // What was not acknowledged when the peer closed with a FIN met a closed socket.
        let had = match self.fin_first && !self.is_commit {
            true => self.acked,
            false => self.written,
        };
        let none = Verdict {
            read: 0,
            doubt: had,
        };
        match ack {
            Ack::None | Ack::Peek => Verdict::proven(self.written),
            Ack::Relp => none,
            Ack::Commit if matches!(witness, Witnessed::Dead | Witnessed::Missing) => none,
            Ack::Kernel | Ack::Commit if self.is_commit => Verdict::proven(self.written),
            Ack::Kernel | Ack::Commit if self.fin_first => Verdict::proven(self.acked),
            Ack::Kernel => self.in_flight(receive_bytes_max),
            Ack::Commit => none,
        }
    }

    /// What is proven of a connection that has not ended, where the kernel's word counts: whatever the peer's program
    /// can not have left in its buffer.
    pub(super) fn in_flight(&self, receive_bytes_max: u64) -> Verdict {
        Verdict {
            read: self.acked.saturating_sub(receive_bytes_max),
            doubt: self.written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: u64 = 100;

    fn end(fin_first: bool, is_commit: bool) -> End {
        End {
            written: 1_000,
            acked: 600,
            fin_first,
            is_commit,
            is_cut: false,
        }
    }

    fn of(ack: Ack, end: End, witness: Witnessed) -> (u64, u64) {
        let verdict = end.judge(ack, witness, BOUND);
        (verdict.read, verdict.doubt)
    }

    #[test]
    fn a_fin_first_proves_what_was_acknowledged_and_leaves_no_doubt() {
        for ack in [Ack::Kernel, Ack::Commit] {
            assert_eq!(of(ack, end(true, false), Witnessed::Alive), (600, 600));
        }
    }

    #[test]
    fn a_reset_leaves_in_doubt_what_was_written_within_the_bound() {
        let reset = end(false, false);
        assert_eq!(of(Ack::Kernel, reset, Witnessed::NotAsked), (500, 1_000));
        assert_eq!(of(Ack::Commit, reset, Witnessed::NotAsked), (0, 1_000));
        assert_eq!(of(Ack::Commit, reset, Witnessed::Alive), (0, 1_000));
    }

    #[test]
    fn a_commit_counts_when_its_witness_lives_or_none_was_asked_for() {
        let commit = End {
            acked: 1_000,
            ..end(true, true)
        };
        for witness in [Witnessed::Alive, Witnessed::NotAsked] {
            assert_eq!(of(Ack::Commit, commit, witness), (1_000, 1_000));
        }
        for witness in [Witnessed::Dead, Witnessed::Missing] {
            assert_eq!(of(Ack::Commit, commit, witness), (0, 1_000));
            assert_eq!(of(Ack::Commit, end(true, false), witness), (0, 600));
        }
    }

    #[test]
    fn the_kernels_word_is_all_that_the_lowest_rungs_ask_for() {
        for ack in [Ack::None, Ack::Peek] {
            assert_eq!(
                of(ack, end(false, false), Witnessed::NotAsked),
                (1_000, 1_000)
            );
        }
    }

    #[test]
    fn with_relp_only_answers_prove_anything() {
        assert_eq!(
            of(Ack::Relp, end(false, false), Witnessed::NotAsked),
            (0, 1_000)
        );
        assert_eq!(
            of(Ack::Relp, end(true, false), Witnessed::NotAsked),
            (0, 600)
        );
    }
}
