//! SIGPIPE at its default, as in an embedder that is not written in Rust: a write to a connection that was reset is an
//! error of that connection, and not the end of the process.

use std::os::unix::process::ExitStatusExt;

use taut::{Class, Framing, Peek, Phase, Source};

use super::child;
use super::support::*;
use super::sys;

/// A raw connection whose next write meets EPIPE, though the loop could not know: the peer ended its half, then reset.
fn broken() -> (taut::Client, taut::ConnectionId, std::net::SocketAddr) {
    let mut client = client_with(|it| (it.peek, it.half_close) = (Peek::Never, true));
    let peer = Peer::new();
    let (connection, stream) = connected(&mut client, &peer, Framing::line());
    let ends = both_ends(&stream);
    End::Fin.of(stream.try_clone().unwrap());
    until_in_kernel(&client, connection, 1);
    reset(stream);
    until_reset_arrived(ends);
    (client, connection, ends[0])
}

#[test]
fn child_with_sigpipe_at_its_default() {
    let Some(role) = child::role() else {
        return;
    };
    sys::default_sigpipe();
    match role.as_str() {
        "client" => {
            let (mut client, connection, _) = broken();
            client.send(connection, b"to nobody\n").unwrap();
            client.flush();
            let error = until_closed(&mut client, connection).error.unwrap();
            assert_eq!((error.class, error.phase), (Class::Transient, Phase::Write));
            assert_eq!(error.source, Source::Os(libc::EPIPE));
        }
        // The same without the library: the signal is there, and ends the process.
        _ => {
            let listener = Peer::new();
            let stream = std::net::TcpStream::connect(listener.addr()).unwrap();
            let far = listener.accept();
            let ends = both_ends(&far);
            End::Fin.of(far.try_clone().unwrap());
            reset(far);
            until_reset_arrived(ends);
            for _ in 0..2 {
                let _ = sys::write(&stream, b'x');
            }
        }
    }
    eprintln!("alive");
}

#[test]
fn with_sigpipe_at_its_default_a_write_to_a_reset_connection_ends_the_connection_and_not_the_process()
 {
    let run = |role| {
        child::Running::start(child::command(
            "pipe::child_with_sigpipe_at_its_default",
            role,
        ))
        .end()
    };
    let (status, said) = run("plain write");
    assert_eq!(
        status.signal(),
        Some(libc::SIGPIPE),
        "the control lives, so this proves nothing: {said}"
    );
    let (status, said) = run("client");
    assert!(
        status.success() && said.contains("alive"),
        "{status}: {said}"
    );
}
