//! An open connection on which nothing happens costs at most 1 KiB in user space. Alone in its process: the allocator is
//! the whole binary's.
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

use counting::{Counting, live};
use support::*;
use taut::Framing;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: usize = 1_000;
const BYTES_EACH_MAX: isize = 1_024;

/// What they cost together, the arenas' spare room included.
fn assert_small(what: &str, bytes: isize) {
    let each = bytes / CONNECTIONS as isize;
    assert!(
        each <= BYTES_EACH_MAX,
        "{what}: {each} bytes for each connection"
    );
}

#[test]
fn an_idle_connection_costs_at_most_a_kibibyte() {
    allow_descriptors(2 * CONNECTIONS as libc::rlim_t + 100);
    let (_, counted) = live(|| std::hint::black_box(Vec::<u8>::with_capacity(1_000)));
    assert_eq!(counted, 1_000, "the counter counts");

    let (mut client, peer) = (client(), Peer::new());
    let mut standing = Vec::with_capacity(CONNECTIONS);
    let (_, bytes) = live(|| {
        for _ in 0..CONNECTIONS {
            standing.push(connected(&mut client, &peer, Framing::line()));
        }
    });
    assert_small("open", bytes);

    // One that has worked gives its buffers back when it is idle again.
    let (_, more) = live(|| {
        for (connection, stream) in &mut standing {
            client.send(*connection, b"hello\n").unwrap();
            client.flush();
            assert_eq!(read_exactly(stream, 6), b"hello\n");
            stream.write_all(b"hello to you\n").unwrap();
            assert_eq!(next_frame(&mut client, *connection), b"hello to you");
        }
    });
    assert_small("after each has worked", bytes + more);
}

/// Raises the soft RLIMIT_NOFILE to that, if it is lower.
fn allow_descriptors(count: libc::rlim_t) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit writes one rlimit, setrlimit reads one.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_cur.max(count);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}
