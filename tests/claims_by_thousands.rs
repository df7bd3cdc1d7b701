//! Thousands of peers that claim the largest frame, and send nothing of it. Alone in its process: the allocator is the
//! whole binary's.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; a counting allocator, and setrlimit(2)"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::time::Duration;

use counting::{Counting, live};
use support::*;
use taut::{Client, Event, Framing, Limits};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As many as the hard limit of descriptors allows, both ends being here. A turn of poll(2) looks at each of them.
const PEERS_MAX: usize = match cfg!(mio_unsupported_force_poll_poll) {
    true => 1_000,
    false => 10_000,
};

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// So many peers that say how long their frame will be, and begin it: bytes held, and bytes resident, for each.
fn held_for_each(client: &mut Client, peer: &Peer, peers: usize, claim: u32) -> (usize, usize) {
    let mut pairs: Vec<_> = (0..peers)
        .map(|_| connected(client, peer, Framing::len32()))
        .collect();
    let before = resident_bytes();
    let ((), bytes) = live(|| {
        // The claim is known when more comes.
        for (bytes, received) in [(&claim.to_be_bytes()[..], 4), (b"and", 7)] {
            for (connection, stream) in &mut pairs {
                stream.write_all(bytes).unwrap();
                until_in_kernel(client, *connection, received);
            }
            for _ in 0..4 {
                client.turn(Some(Duration::ZERO)).unwrap();
            }
        }
    });
    let resident = resident_bytes().saturating_sub(before);
    for (connection, _) in &pairs {
        assert_eq!(client.transferred(*connection), Some((0, 7)));
        client.abort(*connection).unwrap();
    }
    for _ in pairs {
        client_until(client, |_, event| {
            assert!(matches!(event, Event::Closed { .. }), "{event:?}");
            Some(())
        });
    }
    assert_silent(client);
    (bytes as usize / peers, resident / peers)
}

/// What a peer costs is the buffer of one read, claim it 2 GiB or 10 bytes.
#[test]
fn thousands_of_peers_that_claim_the_largest_frame_cost_what_small_claims_cost() {
    let peers = PEERS_MAX.min((allow_descriptors() as usize - 200) / 2);
    let limit = (1 << 31) - 1;
    let mut client = client_with(|it| it.limits.frame_bytes_max = limit);
    let peer = Peer::new();
    let read_bytes = Limits::default().read_bytes;
    let (most, resident) = held_for_each(&mut client, &peer, peers, limit as u32);
    assert!(
        most <= read_bytes + 256,
        "{most} bytes for a claim of {limit}"
    );
    assert!(
        resident <= 2 * read_bytes,
        "{resident} resident bytes for a claim of {limit}"
    );
    drop(client);
    let mut client = client_with(|it| it.limits.frame_bytes_max = limit);
    let (least, _) = held_for_each(&mut client, &peer, peers, 10);
    assert!(
        most.abs_diff(least) <= 16,
        "{most} bytes for a claim of {limit}, {least} for one of 10"
    );
}

/// Raises the soft RLIMIT_NOFILE to the hard one; how much that is.
fn allow_descriptors() -> libc::rlim_t {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, setrlimit reads one.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
    limit.rlim_cur
}
