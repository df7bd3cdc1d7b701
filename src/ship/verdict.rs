//! What the end of a shipping connection proves of its lines.
//!
//! Linux closes with a FIN when the program had read everything, and with a RST when it had not (RFC 1122 §4.2.2.13,
//! RFC 2525 §2.17). So behind a FIN that came before any other end, what was acknowledged is exactly what was read;
//! behind anything else up to a receive buffer of it may not have been, and what was written but not acknowledged may
//! have been read all the same, since its acknowledgement may be what was lost. Our own FIN acknowledged and answered
//! by a FIN proves that all was read. That the one who read it lives on is for the witness to say.

use super::config::Ack;
use crate::parting::Parting;

/// How a shipping connection ended, as far as its lines are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct End {
    /// Bytes that the kernel took, if only in part.
    pub(super) written: u64,
    /// Of those, bytes that left with all that the peer needs to read them: all but for those of a seal of TLS that is
    /// torn.
    pub(super) left: u64,
    /// Of those, bytes that the peer's TCP acknowledged.
    pub(super) acked: u64,
    pub(super) how: How,
}

/// What the end itself says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum How {
    /// Our end was acknowledged when the peer's was first seen, and there was no error: it has read all.
    Commit,
    /// The peer's FIN came before any other end, and what was acknowledged was read. Never within TLS, where a TLS
    /// library has read it, and the program may have closed before it asked for that.
    FinFirst,
    /// Within TLS: the peer has ended it of its own accord, before it had our end.
    Early,
    /// Within TLS: the peer's TCP had all, our end included, and its FIN came without its close_notify: it may be
    /// anybody's.
    Untold,
    /// It was reset behind our FIN, when the peer's TCP had all: by a program that had not read it, or by one that always
    /// does.
    Cut,
    /// A reset, a timeout, a route that is gone; or it has not ended.
    #[default]
    Broken,
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
    /// How a connection has ended. A FIN without TLS's close_notify is the kernel's word alone, and enough where that is
    /// asked for.
    pub(super) fn of(parting: &Parting, ack: Ack) -> End {
        let is_secure = parting.close_notify.is_some();
        let is_commit = match ack {
            Ack::Kernel => parting.is_read_out(),
            _ => parting.is_commit(),
        };
        let has_all =
            ack != Ack::Relp && parting.fin_sent && parting.acked == Some(parting.written);
        let how = match parting.fin_first {
            true if is_commit => How::Commit,
            true if is_secure && has_all && parting.close_notify == Some(false) => How::Untold,
            // Where it is not known what was acknowledged, a FIN bounds nothing.
            true if !is_secure && parting.acked.is_some() => How::FinFirst,
            false if has_all => How::Cut,
            _ if is_secure && (parting.fin_first || parting.close_notify == Some(true)) => {
                How::Early
            }
            _ => How::Broken,
        };
        End {
            written: parting.written,
            left: parting.left,
            acked: parting.acked.unwrap_or(0).min(parting.written),
            how,
        }
    }

    pub(super) fn is_commit(&self) -> bool {
        self.how == How::Commit
    }

    /// It says something of what the peer's program has read, if only that it goes on as it does.
    pub(super) fn is_whole(&self) -> bool {
        self.how != How::Broken
    }

    /// The peer has ended it of its own will.
    pub(super) fn is_peaceful(&self) -> bool {
        !matches!(self.how, How::Cut | How::Broken)
    }

    /// What is proven under a rung, where the peer's kernel may hold so many bytes that its program has not read.
    pub(super) fn judge(&self, ack: Ack, witness: Witnessed, receive_bytes_max: u64) -> Verdict {
        // What was not acknowledged when the peer closed with a FIN met a closed socket.
        let had = match self.how {
            How::FinFirst => self.acked,
            _ => self.written,
        };
        let none = Verdict {
            read: 0,
            doubt: had,
        };
        match ack {
            Ack::None | Ack::Peek => Verdict {
                read: self.left,
                doubt: self.written,
            },
            Ack::Relp => none,
            Ack::Commit if matches!(witness, Witnessed::Dead | Witnessed::Missing) => none,
            Ack::Kernel | Ack::Commit if self.is_commit() => Verdict::proven(self.written),
            Ack::Kernel | Ack::Commit if self.how == How::FinFirst => Verdict::proven(self.acked),
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

    fn end(how: How) -> End {
        End {
            written: 1_000,
            left: 900,
            acked: 600,
            how,
        }
    }

    fn of(ack: Ack, end: End, witness: Witnessed) -> (u64, u64) {
        let verdict = end.judge(ack, witness, BOUND);
        (verdict.read, verdict.doubt)
    }

    #[test]
    fn a_fin_first_proves_what_was_acknowledged_and_leaves_no_doubt() {
        for ack in [Ack::Kernel, Ack::Commit] {
            assert_eq!(of(ack, end(How::FinFirst), Witnessed::Alive), (600, 600));
        }
    }

    #[test]
    fn a_reset_leaves_in_doubt_what_was_written_within_the_bound() {
        let reset = end(How::Broken);
        assert_eq!(of(Ack::Kernel, reset, Witnessed::NotAsked), (500, 1_000));
        assert_eq!(of(Ack::Commit, reset, Witnessed::NotAsked), (0, 1_000));
        assert_eq!(of(Ack::Commit, reset, Witnessed::Alive), (0, 1_000));
    }

    #[test]
    fn a_commit_counts_when_its_witness_lives_or_none_was_asked_for() {
        let commit = End {
            acked: 1_000,
            ..end(How::Commit)
        };
        for witness in [Witnessed::Alive, Witnessed::NotAsked] {
            assert_eq!(of(Ack::Commit, commit, witness), (1_000, 1_000));
        }
        for witness in [Witnessed::Dead, Witnessed::Missing] {
            assert_eq!(of(Ack::Commit, commit, witness), (0, 1_000));
            assert_eq!(of(Ack::Commit, end(How::FinFirst), witness), (0, 600));
        }
    }

    #[test]
    fn the_kernels_word_is_all_that_the_lowest_rungs_ask_for() {
        for ack in [Ack::None, Ack::Peek] {
            let told = of(ack, end(How::Broken), Witnessed::NotAsked);
            assert_eq!(told, (900, 1_000), "of a torn seal nothing is told");
        }
    }

    #[test]
    fn with_relp_only_answers_prove_anything() {
        assert_eq!(
            of(Ack::Relp, end(How::Broken), Witnessed::NotAsked),
            (0, 1_000)
        );
        assert_eq!(
            of(Ack::Relp, end(How::FinFirst), Witnessed::NotAsked),
            (0, 600)
        );
    }
}
