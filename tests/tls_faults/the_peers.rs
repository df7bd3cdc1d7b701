//! The peers themselves: what they say is TLS to a client that is not ours, and they hear and write down all it says.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, ContentType, Error,
    PeerMisbehaved, StreamOwned,
};

use crate::common::ours;
use crate::proxy::Proxy;
use crate::support::*;
use crate::tls::*;

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A plain rustls client; nothing was exchanged yet.
fn plain(target: &str, name: &'static str, authority: &Authority) -> Stream {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let name = ServerName::try_from(name).unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(tls, patient(TcpStream::connect(target).unwrap()))
}

/// What a rustls client says of a certificate.
fn refused(name: &'static str, authority: &Authority, identity: &Identity) -> Option<Error> {
    let server = TlsServer::answering(&Terms::new(identity));
    let mut stream = plain(&server.target(), name, authority);
    let outcome = stream.conn.complete_io(&mut stream.sock);
    drop(stream);
    let [heard] = &server.heard()[..] else {
        panic!("one connection");
    };
    match outcome {
        Ok(_) => {
            assert_sealed(heard);
            None
        }
        Err(error) => {
            assert_nothing_of_the_program(heard);
            let error = error.into_inner().unwrap();
            Some(*error.downcast::<Error>().unwrap())
        }
    }
}

#[test]
fn every_kind_of_certificate_is_what_it_says() {
    let ours = Authority::new("ours");
    let local = |change: fn(&mut rcgen::CertificateParams)| ours.issue_as(&["localhost"], change);
    let of = |identity: &Identity| match refused("localhost", &ours, identity) {
        None => None,
        Some(Error::InvalidCertificate(why)) => Some(why),
        Some(other) => panic!("{other}"),
    };
    assert_eq!(of(&ours.issue_local()), None);
    assert_eq!(of(&ours.beneath("another").issue_local()), None);
    assert_eq!(of(&ours.issue_as(&["localhost"], longer(60_000))), None);
    assert!(matches!(
        of(&local(expired)),
        Some(CertificateError::ExpiredContext { not_after, .. }) if not_after.as_secs() == EXPIRED_AT
    ));
    assert!(matches!(
        of(&local(not_yet_valid)),
        Some(CertificateError::NotValidYetContext { not_before, .. }) if not_before.as_secs() == VALID_FROM
    ));
    assert!(matches!(
        of(&local(for_clients)),
        Some(CertificateError::InvalidPurposeContext { .. })
    ));
    assert!(of(&local(for_an_authority)).is_some());
    let others = Authority::new("others").issue_local();
    let unknown = Some(CertificateError::UnknownIssuer);
    assert_eq!(of(&others), unknown);
    assert_eq!(of(&Identity::self_signed(&["localhost"])), unknown);
    assert!(matches!(
        of(&ours.issue(&["127.0.0.1"])),
        Some(CertificateError::NotValidForNameContext { .. })
    ));
    let renewed = ours.renew(&others, &["localhost"]);
    assert_eq!((of(&renewed), renewed.pin()), (None, others.pin()));
    let files = renewed.files();
    let chain = std::fs::read_to_string(files.chain()).unwrap();
    assert_eq!(chain, renewed.chain_pem());
}

/// Both ends of a session that stands.
fn pair(terms: &Terms, authority: &Authority) -> (Stream, Conversation) {
    let peer = Peer::new();
    let mut stream = plain(&peer.target(), "localhost", authority);
    let mut conversation = Conversation::new(peer.accept(), terms);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(conversation.handshake()));
        stream.conn.complete_io(&mut stream.sock).unwrap();
        stream.flush().unwrap();
    });
    (stream, conversation)
}

/// What the client says of records that were sealed by hand; nothing, when it takes them.
fn says_of(line: impl FnOnce(&mut Conversation) -> Vec<u8>) -> Option<Error> {
    let (authority, terms) = ours();
    let (mut stream, mut conversation) = pair(&terms, &authority);
    let line = line(&mut conversation);
    conversation.line(&line);
    conversation.fin();
    loop {
        match stream.conn.read_tls(&mut stream.sock) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
        if let Err(error) = stream.conn.process_new_packets() {
            return Some(error);
        }
    }
}

#[test]
fn records_sealed_by_hand_are_taken_for_the_servers_own() {
    let alert = says_of(|it| it.sealing().alert(AlertDescription::InternalError.into()));
    let expected = Error::AlertReceived(AlertDescription::InternalError);
    assert_eq!(alert, Some(expected));
    let empty = says_of(|it| {
        let mut sealing = it.sealing();
        (0..100)
            .flat_map(|_| sealing.record(ContentType::ApplicationData, b""))
            .collect()
    });
    assert_eq!(empty, Some(PeerMisbehaved::TooManyEmptyFragments.into()));
    let tickets = says_of(|it| {
        assert!(it.write(b"before"));
        let mut sealing = it.sealing();
        (0..100).flat_map(|_| sealing.ticket(1_000)).collect()
    });
    assert_eq!(tickets, None);
    let updates = says_of(|it| {
        (0..100)
            .flat_map(|_| {
                it.tls.refresh_traffic_keys().unwrap();
                it.said()
            })
            .collect()
    });
    let expected = PeerMisbehaved::TooManyKeyUpdateRequests;
    assert_eq!(updates, Some(expected.into()));
}

#[test]
fn a_conversation_tells_how_the_client_has_ended_it() {
    let (authority, terms) = ours();
    let ended = |end: fn(Stream)| {
        let (stream, mut conversation) = pair(&terms, &authority);
        end(stream);
        conversation.ended()
    };
    let orderly = ended(|mut it| {
        it.conn.send_close_notify();
        it.flush().unwrap();
        it.sock.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(orderly, Ending::Orderly);
    assert_eq!(ended(drop), Ending::Truncated);
    assert_eq!(ended(|it| reset(it.sock)), Ending::Reset { said: false });
    let broken = ended(|mut it| it.sock.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap());
    assert!(matches!(broken, Ending::Broken(_)), "{broken:?}");
}

#[test]
fn lines_come_back_in_capitals_and_what_came_on_the_line_is_written_down() {
    let (authority, terms) = ours();
    let server = TlsServer::answering(&terms);
    let proxy = Proxy::recording(server.address());
    let mut stream = plain(&proxy.target(), "localhost", &authority);
    let line = [&marked(100)[..], b"\n"].concat();
    stream.write_all(&line).unwrap();
    let mut answer = vec![0; line.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, line.to_ascii_uppercase());
    drop(stream);
    assert_sealed(&server.heard()[0]);
    assert_eq!(server.heard(), proxy.recorded());
}

#[test]
#[should_panic(expected = "the program's bytes are on the line")]
fn a_line_in_the_open_is_found() {
    let line = [&[23, 3, 3, 0, 40][..], &marked(40)].concat();
    assert_nothing_of_the_program(&line);
}

#[test]
#[should_panic(expected = "no alert")]
fn a_sealed_record_is_found_where_nothing_may_have_left() {
    assert_nothing_of_the_program(&[&[23, 3, 3, 0, 40][..], &[9; 40]].concat());
}
