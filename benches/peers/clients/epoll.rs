//! The loop that one writes by hand: level-triggered epoll, one `recv` and one `send` an event. No deadlines, no look at
//! the line, no limits: the least that can be had.

use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

use super::Load;
use crate::{MESSAGE_BYTES, message};

pub(crate) struct Epoll {
    epoll: RawFd,
    connections: Vec<Connection>,
    pipeline: usize,
    messages: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of an unfinished answer, and its length when that is known.
    head: Vec<u8>,
}

impl Epoll {
    pub(crate) fn new(address: &str, connections: usize, pipeline: usize) -> Epoll {
        // SAFETY: makes a descriptor; it is closed with the process.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(epoll >= 0);
        let connect = |index| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: index as u64,
            };
            // SAFETY: both descriptors are open, and the event is read during the call.
            let done = unsafe {
                libc::epoll_ctl(
                    epoll,
                    libc::EPOLL_CTL_ADD,
                    stream.as_raw_fd(),
                    &raw mut event,
                )
            };
            assert_eq!(done, 0);
            let head = Vec::new();
            Connection { stream, head }
        };
        // An answer of the kernel's may hold more than one pipeline's worth; never more than this.
        let messages = message().repeat(2 * pipeline.max(16));
        Epoll {
            epoll,
            connections: (0..connections).map(connect).collect(),
            pipeline,
            messages,
        }
    }

    fn wait(&self, events: &mut [libc::epoll_event]) -> usize {
        // SAFETY: the kernel writes at most as many events as there is room for.
        let n = unsafe {
            libc::epoll_wait(
                self.epoll,
                events.as_mut_ptr(),
                events.len() as libc::c_int,
                -1,
            )
        };
        usize::try_from(n).expect("epoll_wait")
    }
}

impl Load for Epoll {
    fn run(&mut self, requests: u64) {
        let (mut asked, mut answered) = (0, 0);
        for connection in &self.connections {
            let n = (self.pipeline as u64).min(requests - asked);
            connection.ask(&self.messages, n as usize);
            asked += n;
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
        let mut buffer = vec![0; 16 << 10];
        while answered < requests {
            let n = self.wait(&mut events);
            for event in &events[..n] {
                let connection = &mut self.connections[event.u64 as usize];
                let got = connection.receive(&mut buffer);
                answered += got as u64;
                let more = (got as u64).min(requests - asked);
                connection.ask(&self.messages, more as usize);
                asked += more;
            }
        }
    }
}

impl Connection {
    fn ask(&self, messages: &[u8], count: usize) {
        if count == 0 {
            return;
        }
        let bytes = &messages[..count * MESSAGE_BYTES];
        // SAFETY: the bytes are alive for the call.
        let sent = unsafe {
            libc::send(
                self.stream.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        assert_eq!(sent, bytes.len() as isize, "the kernel has room for it");
    }

    /// Reads once; how many answers are complete.
    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        // SAFETY: the kernel writes at most as many bytes as there is room for.
        let n = unsafe {
            libc::recv(
                self.stream.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
            )
        };
        let n = usize::try_from(n).expect("recv");
        assert!(n > 0, "the server has closed");
        if self.head.is_empty() {
            let (answers, consumed) = answers(&buffer[..n]);
            self.head.extend_from_slice(&buffer[consumed..n]);
            return answers;
        }
        self.head.extend_from_slice(&buffer[..n]);
        let (answers, consumed) = answers(&self.head);
        self.head.drain(..consumed);
        answers
    }
}

/// Whole answers at the front, and their bytes.
fn answers(bytes: &[u8]) -> (usize, usize) {
    let (mut count, mut at) = (0, 0);
    while let Some(length) = bytes[at..].first_chunk::<4>() {
        let end = at + 4 + u32::from_be_bytes(*length) as usize;
        if end > bytes.len() {
            break;
        }
        std::hint::black_box(&bytes[at + 4..end]);
        (count, at) = (count + 1, end);
    }
    (count, at)
}
