//! The peers of raw connections and of an upstream: they live in the test's thread and do drawn things, a few a round.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::random::Random;
use super::support::reset;

/// What a peer's connections may do to a client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Speaks out of turn, in parts, floods, ends anyhow.
    Any,
    /// Echoes lines, late and in parts, and ends anyhow: no line but a request's own is ever a reply.
    Echo,
}

pub(crate) struct Peers {
    listener: TcpListener,
    manners: Manners,
    streams: Vec<(TcpStream, Vec<u8>)>,
}

impl Peers {
    pub(crate) fn new(manners: Manners) -> Peers {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Peers {
            listener,
            manners,
            streams: Vec::new(),
        }
    }

    pub(crate) fn target(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// A few drawn things.
    pub(crate) fn act(&mut self, random: &mut Random) {
        if !random.once_in(4) {
            while let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(true).unwrap();
                stream.set_nodelay(true).unwrap();
                self.streams.push((stream, Vec::new()));
            }
        }
        for _ in 0..random.below(6) {
            if self.streams.is_empty() {
                return;
            }
            let n = random.below(self.streams.len());
            if let Some(goes_on) = self.act_on(n, random)
                && !goes_on
            {
                self.streams.swap_remove(n);
            }
        }
    }

    /// `Some(false)` when the connection is over.
    fn act_on(&mut self, n: usize, random: &mut Random) -> Option<bool> {
        let (stream, owed) = &mut self.streams[n];
        match random.below(24) {
            0 => {
                let (stream, _) = self.streams.swap_remove(n);
                reset(stream);
                return None;
            }
            1 => return Some(false),
            2 => stream.shutdown(Shutdown::Write).ok()?,
            3..=5 if self.manners == Manners::Any => {
                let words = [
                    &b"unasked\n"[..],
                    b"half a wo",
                    b"\n\n\n\r\n",
                    &[b'x'; 3000],
                ];
                put(stream, random.of(&words));
            }
            6 if self.manners == Manners::Any => put(stream, &b"flood\n".repeat(2_000)),
            7..=11 => {
                // A part of what is owed, which may end within a line.
                let some = random.below(owed.len() + 1);
                put(stream, &owed[..some]);
                owed.drain(..some);
            }
            _ => {
                take(stream, owed);
                put(stream, owed);
                owed.clear();
            }
        }
        Some(true)
    }
}

/// Writes what the kernel takes at once; the rest is this peer's loss.
fn put(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write(bytes);
}

fn take(stream: &mut TcpStream, into: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    for _ in 0..4 {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(error) => {
                let ended = [
                    ErrorKind::WouldBlock,
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                ];
                assert!(ended.contains(&error.kind()), "{error}");
                return;
            }
        }
    }
}
