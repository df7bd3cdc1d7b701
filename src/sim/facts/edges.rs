//! What is told when: edges of data, of a FIN and of room, each once.

use std::io;
use std::time::Duration;

use super::{Pair, holds, real, simulated};
use crate::kernel::Kernel;

holds!(a_connection_is_told_as_writable_on_both_ends, |pair| {
    pair.edges();
    pair.error();
    pair.read(8);
    pair.peek();
});

holds!(
    every_data_edge_says_writable_and_what_is_left_is_not_told_again,
    |pair| {
        for bytes in [&b"one"[..], b"two"] {
            pair.far_writes(bytes);
            pair.edges();
            pair.read(2);
            pair.edges();
        }
        pair.read(64);
        pair.read(64);
        pair.far_writes(b"three");
        pair.edges();
    }
);

holds!(
    data_and_a_fin_are_one_edge_and_after_a_short_read_comes_no_other,
    |pair| {
        pair.far_writes(b"last words");
        pair.far_shuts();
        pair.edges();
        pair.peek();
        pair.error();
        pair.read(64);
        pair.edges();
        pair.read(64);
        pair.peek();
        pair.edges();
    }
);

holds!(a_fin_behind_unread_data_is_told_once, |pair| {
    pair.far_writes(b"unread");
    pair.edges();
    pair.far_shuts();
    pair.edges();
    pair.edges();
    // A half that is still open takes what is written.
    pair.write();
    pair.write();
    pair.edges();
});

holds!(our_own_shutdown_is_an_edge_and_ends_our_writes, |pair| {
    let (near, end) = pair.near();
    near.shutdown(end).unwrap();
    pair.edges();
    pair.write();
    pair.error();
    pair.far_writes(b"still here");
    pair.edges();
    pair.read(64);
    pair.far_shuts();
    pair.edges();
    pair.read(64);
    pair.error();
    pair.write();
});

holds!(after_our_own_shutdown_a_reset_is_a_reset, |pair| {
    let (near, end) = pair.near();
    near.shutdown(end).unwrap();
    pair.edges();
    pair.far_closes(true);
    pair.edges();
    for call in [3, 0, 1] {
        pair.look(call);
    }
});

holds!(
    acknowledged_and_received_bytes_count_the_syn_and_the_fin,
    |pair| {
        pair.write();
        pair.far_writes(b"far");
        let (near, end) = pair.near();
        near.shutdown(end).unwrap();
        pair.far_shuts();
        pair.settle();
        let (near, end) = pair.near();
        let info = near.info(end).unwrap();
        pair.say((info.bytes_acked, info.bytes_received));
    }
);

holds!(
    a_writer_that_met_a_full_buffer_is_told_once_when_there_is_room,
    |pair| {
        pair.edges();
        let mut written = 0;
        for _ in 0..100_000 {
            let (near, end) = pair.near();
            match near.write(end, &[7; 10_000]) {
                Ok(n) => written += n,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
            pair.settle();
        }
        pair.told.clear();
        let (near, _) = pair.near();
        near.wait(Some(Duration::ZERO), Duration::ZERO, &mut Vec::new())
            .unwrap();
        let mut read = 0;
        let mut into = vec![0; 1 << 20];
        while read < written {
            let (far, end) = pair.far();
            read += far.read(end, &mut into).unwrap_or(0);
            pair.settle();
        }
        let mut edges = Vec::new();
        let (near, _) = pair.near();
        near.wait(Some(Duration::ZERO), Duration::ZERO, &mut edges)
            .unwrap();
        pair.say(edges);
    }
);
