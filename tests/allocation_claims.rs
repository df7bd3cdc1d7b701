//! What a peer claims costs nothing until it comes. Alone in its process: the allocator is the whole binary's.
#![cfg(target_os = "linux")]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and a counting allocator"
)]

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::io::Write;
use std::time::Duration;

use counting::{Counting, counted};
use support::*;
use taut::{Class, Framing, Source};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ALLOWED_BYTES: u64 = 128 << 10;

#[test]
fn a_claim_allocates_no_more_than_a_read_and_what_is_ahead_of_it() {
    // Over the limit: refused from the header alone.
    for (framing, claim) in [
        (Framing::len32(), &(1_u32 << 31).to_be_bytes()[..]),
        (Framing::len32(), &u32::MAX.to_be_bytes()),
        (Framing::resp(), b"$2147483648\r\n"),
        (Framing::resp(), b"*2147483648\r\n"),
    ] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, framing);
        stream.write_all(claim).unwrap();
        let (told, _, bytes) = counted(|| until_closed(&mut client, connection));
        let error = told.error.unwrap();
        assert_eq!(error.class, Class::Protocol, "{error}");
        assert!(
            matches!(error.source, Source::Oversize { .. } | Source::Malformed(_)),
            "{error}"
        );
        assert!(
            bytes < ALLOWED_BYTES,
            "{bytes} bytes for a claim of {}",
            claim.escape_ascii()
        );
    }

    // Within a huge limit: the claim is believed, and the buffer grows with what comes, not with it.
    let limit = (1 << 31) - 1;
    let mut client = client_with(|it| it.limits.frame_bytes_max = limit);
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::len32());
    stream.write_all(&(limit as u32).to_be_bytes()).unwrap();
    // More than one read, so that the buffer has to grow.
    stream.write_all(&[0; 20_000]).unwrap();
    until_in_kernel(&client, connection, 20_004);
    let ((), _, bytes) = counted(|| {
        for _ in 0..10 {
            client.turn(Some(Duration::ZERO)).unwrap();
        }
    });
    assert_eq!(client.transferred(connection), Some((0, 20_004)));
    assert!(
        bytes < ALLOWED_BYTES,
        "{bytes} bytes for a claim of {limit}"
    );

    // A hundred times the claim on one client, from peers that send nothing else.
    let mut client = client_with(|it| it.limits.frame_bytes_max = limit);
    let mut pairs: Vec<_> = (0..100)
        .map(|_| connected(&mut client, &peer, Framing::len32()))
        .collect();
    for (connection, stream) in &mut pairs {
        stream.write_all(&(limit as u32).to_be_bytes()).unwrap();
        until_in_kernel(&client, *connection, 4);
    }
    let ((), _, bytes) = counted(|| {
        for _ in 0..10 {
            client.turn(Some(Duration::ZERO)).unwrap();
        }
    });
    assert!(
        pairs
            .iter()
            .all(|(connection, _)| client.transferred(*connection) == Some((0, 4)))
    );
    assert!(
        bytes < 100 * 100 * 1024,
        "{bytes} bytes for a hundred claims"
    );
}
