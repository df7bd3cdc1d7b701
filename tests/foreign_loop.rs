//! The client inside a loop of the program's own: its descriptor, its next timeout, and turns that do not wait.
//!
//! The outer loop sleeps in poll(2) exactly as long as it is told to. Were it ever told to sleep with work left, the
//! test would stand still until its deadline. Not on mio's poll(2) backend, which has no descriptor.
#![cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; and poll(2) is the outer loop"
)]

mod support;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use support::*;
use taut::{Client, Config, Deadline, Event, Framing, Upstream, UpstreamId};

/// Sleeps as the client says, then turns it without waiting.
fn outer_turn(client: &mut Client) {
    let timeout = client.next_timeout().unwrap_or(PATIENCE).min(PATIENCE);
    let slept = !wait_readable(client, timeout);
    if slept && timeout > Duration::ZERO {
        assert!(
            timeout < PATIENCE,
            "slept through: the client had told of nothing to do"
        );
    }
    client.turn(Some(Duration::ZERO)).unwrap();
}

/// Whether the client's descriptor became readable in that time.
fn wait_readable(client: &Client, timeout: Duration) -> bool {
    let mut poll_fd = libc::pollfd {
        fd: client.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let millis = timeout.as_micros().div_ceil(1_000) as i32;
    // SAFETY: one entry, alive for the call.
    let n = unsafe { libc::poll(&raw mut poll_fd, 1, millis) };
    assert!(n >= 0);
    n == 1
}

/// Bytes in the kernel, of which no edge tells, while the client says it may sleep: they would lie there for ever.
fn assert_nothing_forgotten(client: &Client, upstream: UpstreamId) {
    let unread = client.connections_of(upstream).any(|it| {
        let received = client.transferred(it).unwrap().1;
        client
            .tcp_info(it)
            .is_ok_and(|info| info.bytes_received > received)
    });
    let may_sleep = client.next_timeout() != Some(Duration::ZERO);
    assert!(
        !(unread && may_sleep && !wait_readable(client, Duration::ZERO)),
        "bytes were forgotten"
    );
}

fn echoes(config: impl FnOnce(&mut Config), depth: usize) {
    let mut client = client_with(config);
    let peer = Peer::new();
    let upstream = client
        .add(Upstream::new(format!("localhost:{}", peer.addr().port())).depth(depth))
        .unwrap();
    let server = std::thread::spawn(move || echo(peer.accept()));
    let (mut asked, mut answered, total) = (0, 0, 1_000);
    let started = Instant::now();
    while answered < total {
        while asked < total && asked - answered < 2 * depth {
            client
                .request(upstream, format!("{asked}\n").as_bytes(), far())
                .unwrap();
            asked += 1;
        }
        assert_nothing_forgotten(&client, upstream);
        outer_turn(&mut client);
        // One event a turn: what is still to be pulled must not be slept over either.
        if let Some(event) = client.next_event() {
            let Event::Reply { frame, .. } = event else {
                panic!("{event:?}")
            };
            assert_eq!(client.bytes(&frame), answered.to_string().as_bytes());
            answered += 1;
        }
        assert!(
            started.elapsed() < 6 * PATIENCE,
            "{answered} of {total} answered"
        );
    }
    drop(client);
    server.join().unwrap();
}

#[test]
fn a_foreign_loop_never_stalls() {
    echoes(|_| {}, 1);
    echoes(|_| {}, 32);
}

#[test]
fn a_foreign_loop_never_stalls_on_what_a_quota_has_left() {
    echoes(|it| it.limits.turn_frames_max = 1, 32);
    echoes(
        |it| (it.limits.turn_bytes_max, it.limits.read_bytes) = (1, 64),
        32,
    );
    echoes(|it| it.limits.events_max = 1, 32);
    echoes(|it| it.limits.unpulled_bytes_max = 1, 32);
}

#[test]
fn a_foreign_loop_is_woken_by_a_deadline() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, _streams) = standing(&mut client, &peer, |it| it.depth(64));
    for n in 1..=20 {
        client
            .request(
                upstream,
                b"x\n",
                Deadline::after(Duration::from_micros(700 * n)),
            )
            .unwrap();
    }
    let mut failed = 0;
    while failed < 20 {
        outer_turn(&mut client);
        failed += std::iter::from_fn(|| client.next_event()).count();
    }
}

#[test]
fn a_foreign_loop_is_told_of_a_close_and_of_what_a_send_left() {
    let (mut client, peer) = (client(), Peer::new());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
    client.turn(Some(Duration::ZERO)).unwrap();
    client.send(connection, b"hello\n").unwrap();
    assert_eq!(
        client.next_timeout(),
        Some(Duration::ZERO),
        "something is queued"
    );
    outer_turn(&mut client);
    assert_eq!(read_exactly(&mut stream, 6), b"hello\n");
    stream.write_all(b"bye\n").unwrap();
    drop(stream);
    loop {
        outer_turn(&mut client);
        if std::iter::from_fn(|| client.next_event())
            .any(|event| matches!(event, Event::Closed { .. }))
        {
            break;
        }
    }
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.next_timeout(), None, "nothing is left at all");
}
