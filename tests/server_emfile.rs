//! A server without descriptors: it refuses one connection, pauses, and goes on by itself. Alone in its process: the
//! limit is the whole process's.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(unsafe_code, reason = "the limit of descriptors is set here")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use taut::server::{Server, ServerConfig};

const PATIENCE: Duration = Duration::from_secs(10);

/// Allows descriptors below this number; the number allowed before.
fn allow_descriptors(below: u64) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: one rlimit, alive for both calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        let before = limit.rlim_cur;
        limit.rlim_cur = below;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
        before
    }
}

/// Turns the server until the condition holds; how many turns that took.
fn turns_until(server: &mut Server, what: &str, condition: impl Fn(&Server) -> bool) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut turns = 0;
    while !condition(server) {
        assert!(
            Instant::now() < deadline,
            "never came: {what}, {:?}",
            server.stats()
        );
        server.turn(Some(PATIENCE)).unwrap();
        turns += 1;
    }
    turns
}

#[test]
fn without_descriptors_a_server_refuses_one_pauses_and_accepts_the_rest_when_there_are_some() {
    let mut server = Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default()).unwrap();
    let mut streams: Vec<_> = (0..4)
        .map(|_| TcpStream::connect(server.local_addr()).unwrap())
        .collect();
    // The next free number is one above the highest taken, or lower: a probe tells.
    let free = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let before = allow_descriptors(free as u64);

    turns_until(&mut server, "the first is refused", |it| {
        it.stats().refused == 1
    });
    let turns = turns_until(&mut server, "the pause ends", |it| it.stats().refused == 2);
    assert!(turns < 20, "{turns} turns in one pause: the loop spins");
    assert_eq!(server.stats().accepted, 0);

    allow_descriptors(before);
    turns_until(
        &mut server,
        "the rest is accepted, though no edge tells of it",
        |it| it.stats().accepted == 2,
    );
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        if n < 2 {
            // Refused in the order they came: accepted and closed, so that they need not wait.
            assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        } else {
            stream.write_all(b"served\n").unwrap();
            turns_until(&mut server, "its line", |it| {
                it.stats().lines == n as u64 - 1
            });
            server.turn(Some(Duration::ZERO)).unwrap();
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"SERVED\n");
        }
    }
}
