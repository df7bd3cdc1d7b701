//! What everybody writes first: a blocking socket, a write a line, another connection when one fails, and a close at the
//! end. It is what the rungs are measured against, and shows that the sinks of these tests can lose lines.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Fate, Fates, Framed, Sender, Shipped, line_of};
use crate::support::{PATIENCE, eventually};

pub(crate) struct Plain {
    sink: SocketAddr,
    framed: Framed,
    stream: Option<TcpStream>,
    fates: Fates,
}

impl Plain {
    pub(crate) fn to(sink: SocketAddr, framed: Framed) -> Plain {
        Plain {
            sink,
            framed,
            stream: None,
            fates: Fates::default(),
        }
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        stream.write_all(bytes)
    }

    fn connect(&mut self) {
        eventually("a connection", || {
            self.stream = TcpStream::connect(self.sink).ok();
            self.stream.is_some()
        });
        let stream = self.stream.as_ref().unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
}

impl Sender for Plain {
    /// Taken by the kernel is delivered, to a plain sender.
    fn offer(&mut self, number: u64) {
        let bytes = self.framed.wire(&line_of(number));
        while self.write(&bytes).is_err() {
            self.connect();
        }
        self.fates.book(number, number, Fate::Delivered);
    }

    /// It has nothing to do but to wait.
    fn turn(&mut self, timeout: Duration) {
        if !timeout.is_zero() {
            std::thread::park_timeout(timeout);
        }
    }

    fn close(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn finish(mut self: Box<Self>) -> Shipped {
        self.close();
        Shipped {
            fates: self.fates,
            resent: 0,
            lost: Vec::new(),
            refused: Vec::new(),
        }
    }
}
