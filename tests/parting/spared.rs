//! Connections that end without a reset of ours, and what that spares.

use std::io::{Read, Write};
use std::net::TcpStream;

use taut::{Framing, Source};

use crate::support::*;
use crate::{deliver, facts, parting};

#[test]
fn a_peer_that_does_not_answer_our_fin_has_acknowledged_all_and_committed_nothing() {
    let mut client = client_with(|it| it.timeouts.linger = ms(50));
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (9, true, false, false));
    assert_eq!(parting.error.unwrap().source, Source::Timeout(ms(50)));
    assert_eq!(
        reset_after_the_end(&mut stream),
        (b"the epoch".to_vec(), true)
    );
}

#[test]
fn a_spared_peer_may_linger_and_still_read_everything() {
    let mut client = client_with(|it| it.timeouts.linger = ms(50));
    let peer = Peer::new();
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    client.spare(connection).unwrap();
    client.send(connection, b"the epoch").unwrap();
    client.close(connection).unwrap();
    let parting = parting(&mut client, connection);
    assert_eq!(facts(&parting), (9, true, false, false));
    assert_eq!(
        reset_after_the_end(&mut stream),
        (b"the epoch".to_vec(), false)
    );
    assert!(client.spare(connection).is_err());
}

/// What it was told lies unread: closing on that would be a reset.
#[test]
fn a_connection_that_is_left_ends_at_once_and_its_peer_reads_on() {
    for is_closing in [false, true] {
        let (mut client, peer) = (client(), Peer::new());
        let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
        deliver(&mut client, connection, b"the epoch");
        stream.write_all(&[b'?'; 100_000]).unwrap();
        until_in_kernel(&client, connection, 100_000);
        if is_closing {
            client.close(connection).unwrap();
            client.flush();
        }
        client.send(connection, b"never leaves").unwrap_or(());
        client.leave(connection).unwrap();
        let told = until_closed(&mut client, connection);
        assert_eq!(told.error.unwrap().source, Source::Closed);
        assert_eq!(
            facts(&client.parting(connection).unwrap()),
            (9, is_closing, false, false)
        );
        assert_eq!(to_the_fin(&mut stream), b"the epoch");
        assert!(client.leave(connection).is_err());
        assert_silent(&mut client);
    }
}

/// What the kernel has when it is left goes on leaving: more than fits in the peer's window.
#[test]
fn what_the_kernel_has_of_a_connection_that_is_left_still_leaves() {
    let (mut client, peer) = (client(), Peer::narrow());
    let (connection, mut stream) = connected(&mut client, &peer, Framing::raw());
    client.send(connection, &[b'x'; 256 << 10]).unwrap();
    client.flush();
    let (written, _) = client.transferred(connection).unwrap();
    client.leave(connection).unwrap();
    let parting = parting(&mut client, connection);
    assert_eq!(parting.written, written);
    assert!(parting.acked.unwrap() < written, "{parting:?}");
    assert_eq!(to_the_fin(&mut stream).len() as u64, written);
}

/// All that comes until the client's FIN; a reset is a failure.
fn to_the_fin(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// The same, and whether a reset has come behind the FIN: a read does not tell it.
fn reset_after_the_end(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    (to_the_fin(stream), stream.take_error().unwrap().is_some())
}
