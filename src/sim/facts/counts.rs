//! What TCP_INFO says of a connection at its end: bytes acknowledged and received, and whether the peer's FIN stands.

use super::{Pair, holds, real, simulated};
use crate::kernel::Kernel;

impl<K: Kernel> Pair<K> {
    fn counts(&mut self) {
        self.settle();
        let (near, end) = self.near();
        let info = near.info(end).unwrap();
        self.say((
            "counts",
            info.bytes_acked,
            info.bytes_received,
            info.fin_received,
        ));
    }

    fn far_reads(&mut self) {
        let (far, end) = self.far();
        let outcome = super::result(far.read(end, &mut [0; 64]));
        self.say(("far reads", outcome));
        self.settle();
    }

    fn shuts(&mut self) {
        let (near, end) = self.near();
        let outcome = near.shutdown(end).map_err(|error| error.raw_os_error());
        self.say(("shutdown", outcome));
        self.settle();
    }
}

holds!(the_accepting_end_counts_no_syn, |pair| {
    pair.write();
    pair.far_writes(b"far");
    pair.counts();
    let (far, end) = pair.far();
    let info = far.info(end).unwrap();
    pair.say((info.bytes_acked, info.bytes_received));
});

holds!(
    behind_a_fin_first_what_was_acknowledged_is_what_was_read,
    |pair| {
        pair.write();
        pair.far_reads();
        pair.far_closes(false);
        pair.counts();
        pair.read(64);
        pair.counts();
        // What is written now meets nobody.
        pair.write();
        pair.counts();
        for call in [0, 1, 2] {
            pair.look(call);
        }
        pair.counts();
    }
);

holds!(
    behind_a_reset_first_more_was_acknowledged_than_read,
    |pair| {
        pair.write();
        pair.far_reads();
        pair.write();
        pair.far_closes(false);
        pair.counts();
        for call in [1, 0, 2] {
            pair.look(call);
        }
        pair.counts();
    }
);

holds!(a_commit_has_our_fin_acknowledged, |pair| {
    pair.write();
    pair.shuts();
    // Linux may put the acknowledgement of a FIN off for 40 ms, or until its own FIN.
    pair.far_reads();
    pair.far_reads();
    pair.far_closes(false);
    pair.counts();
    for call in [2, 0, 0] {
        pair.look(call);
    }
    pair.counts();
});

holds!(a_reset_after_our_fin_commits_nothing, |pair| {
    pair.write();
    pair.shuts();
    pair.await_acked(6);
    pair.far_closes(false);
    pair.counts();
    for call in [0, 0] {
        pair.look(call);
    }
    pair.counts();
});

holds!(our_fin_alone_is_acknowledged_behind_the_peers, |pair| {
    pair.write();
    pair.far_reads();
    pair.far_closes(false);
    pair.shuts();
    pair.counts();
    for call in [0, 2] {
        pair.look(call);
    }
    pair.counts();
});

holds!(
    bytes_that_meet_a_closed_peer_are_not_acknowledged_and_no_fin_follows_them,
    |pair| {
        pair.far_closes(false);
        pair.write();
        pair.counts();
        pair.shuts();
        pair.counts();
        for call in [2, 0, 3] {
            pair.look(call);
        }
        pair.counts();
    }
);

holds!(
    a_half_that_the_peer_ended_first_changes_nothing_in_what_is_acknowledged,
    |pair| {
        pair.far_shuts();
        pair.counts();
        pair.write();
        pair.counts();
        pair.read(64);
        pair.shuts();
        pair.counts();
        pair.far_closes(false);
        pair.counts();
        pair.read(64);
    }
);
