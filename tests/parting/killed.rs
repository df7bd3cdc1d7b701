//! What the end of a process leaves: its kernel closes for it.

use std::io::Read;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use taut::Framing;

use crate::support::*;
use crate::{deliver, errno, facts, parting, until_acked};

/// A process that has the stream for its standard input, and alone.
fn process(program: &str, argument: &str, stream: TcpStream) -> Child {
    Command::new(program)
        .arg(argument)
        .stdin(OwnedFd::from(stream))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Its kernel closes for it, as it would have. So an end alone does not tell a peer that closed from one that died with
/// what it had read.
#[test]
fn a_process_killed_with_everything_read_ends_by_a_fin_and_may_look_like_a_commit() {
    for is_closing in [false, true] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, stream) = connected(&mut client, &peer, Framing::raw());
        let mut reader = process("cat", "-", stream);
        deliver(&mut client, connection, b"read and lost");
        let mut read = [0; 13];
        let output = reader.stdout.as_mut().unwrap();
        output.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"read and lost");
        if is_closing {
            // It reads nothing more, and so does not find our FIN.
            stop(&reader);
            client.close(connection).unwrap();
            until_acked(&mut client, connection, 14);
        }
        kill(reader);
        let parting = parting(&mut client, connection);
        assert_eq!(facts(&parting), (13, is_closing, true, is_closing));
        assert_eq!(parting.is_commit(), is_closing);
    }
}

fn stop(child: &Child) {
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let status = format!("/proc/{pid}/stat");
    eventually("the process stands still", || {
        std::fs::read_to_string(&status).unwrap().contains(") T ")
    });
}

#[test]
fn a_process_killed_with_bytes_unread_ends_by_a_reset() {
    for is_closing in [false, true] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, stream) = connected(&mut client, &peer, Framing::raw());
        let sleeper = process("sleep", "60", stream);
        deliver(&mut client, connection, b"unread");
        if is_closing {
            client.close(connection).unwrap();
            until_acked(&mut client, connection, 7);
        }
        kill(sleeper);
        let parting = parting(&mut client, connection);
        assert_eq!(facts(&parting), (6, is_closing, false, false));
        assert_eq!(errno(parting.error), Some(libc::ECONNRESET));
    }
}
