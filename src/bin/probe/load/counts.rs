//! How many requests ended how.

use serde_json::{Value, json};

/// Requests of the measurement: `sent` is the sum of the others and of those still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) timed_out: u64,
    pub(super) mismatched: u64,
}

impl Counts {
    pub(super) fn since(self, before: Counts) -> Counts {
        Counts {
            sent: self.sent - before.sent,
            ok: self.ok - before.ok,
            failed: self.failed - before.failed,
            timed_out: self.timed_out - before.timed_out,
            mismatched: self.mismatched - before.mismatched,
        }
    }

    /// All that are no longer under way.
    pub(super) fn ended(self) -> u64 {
        self.ok + self.failed + self.timed_out + self.mismatched
    }

    pub(super) fn to_json(self) -> Value {
        let Counts {
            sent,
            ok,
            failed,
            timed_out,
            mismatched,
        } = self;
        json!({
            "sent": sent, "ok": ok, "failed": failed, "timed_out": timed_out, "mismatched": mismatched,
        })
    }
}
