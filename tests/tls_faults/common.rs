//! What the files share: both ends of a session that stands, what must hold after any fault, and how many turns were
//! made on the way.

use std::net::SocketAddr;

use taut::{
    Class, Client, ConnectionId, Error, Framing, Phase, Sent, TlsConfig, TlsConfigBuilder,
    Upstream, UpstreamId,
};

use crate::support::*;
use crate::tls::*;

/// A server's authority, and its terms with a certificate for loopback.
pub(crate) fn ours() -> (Authority, Terms) {
    let authority = Authority::new("ours");
    let terms = Terms::new(&authority.issue_local());
    (authority, terms)
}

pub(crate) fn trusting(authority: &Authority) -> TlsConfig {
    trusting_with(authority, |it| it)
}

pub(crate) fn trusting_with(
    authority: &Authority,
    change: impl FnOnce(TlsConfigBuilder) -> TlsConfigBuilder,
) -> TlsConfig {
    let builder = TlsConfig::builder().ca_pem(authority.pem());
    change(builder).build().unwrap()
}

/// A raw connection with TLS that stands, and the peer's end of it.
#[track_caller]
pub(crate) fn secured(
    client: &mut Client,
    terms: &Terms,
    tls: &TlsConfig,
) -> (ConnectionId, Conversation) {
    let peer = Peer::new();
    let connection = client
        .connect_tls(&peer.target(), Framing::line(), tls)
        .unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| welcome(&peer, terms));
        until_connected(client, connection);
        (connection, other.join().unwrap())
    })
}

/// An upstream whose one connection stands, and the peer's end of it. What comes after is up to the test.
#[track_caller]
pub(crate) fn secured_upstream(
    client: &mut Client,
    peer: &Peer,
    terms: &Terms,
    tls: &TlsConfig,
) -> (UpstreamId, Conversation) {
    let upstream = Upstream::new(peer.target()).tls(tls.clone());
    let upstream = client.add(upstream).unwrap();
    let conversation = next_conversation(client, peer, terms, |client| {
        client.upstream_stats(upstream).unwrap().open == 1
    });
    (upstream, conversation)
}

/// The peer's end of the next connection, when its handshake is over and the client knows. No event may come meanwhile.
#[track_caller]
pub(crate) fn next_conversation(
    client: &mut Client,
    peer: &Peer,
    terms: &Terms,
    is_known: impl FnMut(&mut Client) -> bool,
) -> Conversation {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| welcome(peer, terms));
        turn_until(client, "the handshake", is_known);
        other.join().unwrap()
    })
}

fn welcome(peer: &Peer, terms: &Terms) -> Conversation {
    let mut conversation = Conversation::new(peer.accept(), terms);
    assert!(conversation.handshake());
    conversation
}

/// What an error says, but for the cause.
pub(crate) fn kind(error: &Error) -> (Class, Phase, Sent) {
    (error.class, error.phase, error.sent)
}

pub(crate) const IN_THE_HANDSHAKE: (Class, Phase, Sent) =
    (Class::Persistent, Phase::Handshake, Sent::No);

/// Sockets of this process that are connected to that address and not closed, whatever state they are in.
pub(crate) fn sockets_to(address: SocketAddr) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{:04X}", address.port());
    // There may be thousands of others that linger: they are passed over quickly.
    let near = table.lines().filter(|line| line.contains(&remote));
    let is_it = |line: &&str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        // One that was closed and lingers has no inode.
        columns.len() > 9 && columns[2].ends_with(&remote) && columns[9] != "0"
    };
    near.filter(is_it).count()
}

/// A client after everything: it tells nothing more, and has as many sockets as connections; when those are none, its
/// timers run out. It is dropped, and then no socket is left.
#[track_caller]
pub(crate) fn assert_nothing_is_left(mut client: Client, at: SocketAddr) {
    assert_sockets_are_owned(&mut client, at);
    assert_no_timers_are_left(client);
    assert_eq!(sockets_to(at), 0, "sockets left");
}

/// The same but for the timers, where there are many clients.
#[track_caller]
pub(crate) fn assert_no_sockets_are_left(mut client: Client, at: SocketAddr) {
    assert_sockets_are_owned(&mut client, at);
    drop(client);
    assert_eq!(sockets_to(at), 0, "sockets left");
}

#[track_caller]
fn assert_sockets_are_owned(client: &mut Client, at: SocketAddr) {
    turn_until(client, "a socket a connection", |client| {
        sockets_to(at) == client.connections()
    });
    assert_silent(client);
}

/// A client's timers alone. The wheel takes one back when its time comes, so this may last as long as the longest.
#[track_caller]
pub(crate) fn assert_no_timers_are_left(mut client: Client) {
    turn_until(&mut client, "no timer without an owner", |client| {
        client.connections() > 0 || client.next_timeout().is_none()
    });
    assert_silent(&mut client);
}
