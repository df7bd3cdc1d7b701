//! `openssl s_server`, which speaks one version of TLS as it is told: it returns lines reversed, serves a page, or does
//! to the session what it is told on its standard input. It serves one connection at a time.

use taut::{
    CertificateFault, Class, Client, ConnectionId, Framing, Phase, Sent, Source, TlsConfig,
    TlsFault, TlsInfo, TlsVersion, Upstream,
};

use crate::daemon::{Daemon, Directory, local};
use crate::keys::{Farewell, Keys, VERSIONS, close, trusting_another};
use crate::ports::free_port;
use crate::random::Random;
use crate::support::*;

/// Alerts by number (RFC 8446 §6).
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;
const CERTIFICATE_REQUIRED: u8 = 116;

struct Server {
    daemon: Daemon,
    keys: Keys,
    port: u16,
    version: TlsVersion,
}

impl Server {
    #[track_caller]
    fn start(version: TlsVersion, options: &[&str]) -> Server {
        let (keys, port) = (Keys::new(), free_port());
        let accept = local(port).to_string();
        let (chain, key, authority) = (keys.chain(), keys.key(), keys.authority());
        let mut arguments = vec![
            "s_server", "-accept", &accept, "-cert", &chain, "-key", &key,
        ];
        arguments.extend(["-CAfile", &authority]);
        arguments.push(match version {
            TlsVersion::Tls12 => "-tls1_2",
            _ => "-tls1_3",
        });
        arguments.extend(options);
        let directory = Directory::new("s-server");
        Server {
            daemon: Daemon::start("openssl", directory, &arguments, &[port]),
            keys,
            port,
            version,
        }
    }

    fn target(&self) -> String {
        local(self.port).to_string()
    }

    /// A raw connection that stands.
    #[track_caller]
    fn connect(&self, client: &mut Client, tls: &TlsConfig) -> ConnectionId {
        let connection = self.dial(client, Framing::line(), tls);
        until_connected(client, connection);
        let info = client.tls_info(connection).unwrap();
        assert_eq!(info.version, Some(self.version));
        assert!(info.is_verified, "{info:?}");
        connection
    }

    #[track_caller]
    fn dial(&self, client: &mut Client, framing: Framing, tls: &TlsConfig) -> ConnectionId {
        client.connect_tls(&self.target(), framing, tls).unwrap()
    }

    /// A raw connection that was refused before it stood; why.
    #[track_caller]
    fn refused(&self, tls: &TlsConfig) -> taut::Error {
        let mut client = client();
        let connection = self.dial(&mut client, Framing::line(), tls);
        let told = until_closed(&mut client, connection);
        let error = told.error.unwrap();
        assert_eq!(told.written, 0);
        assert_eq!((error.phase, error.sent), (Phase::Handshake, Sent::No));
        error
    }
}

/// Says a line, and gets it back reversed.
#[track_caller]
fn reverse(client: &mut Client, connection: ConnectionId, line: &str) {
    client
        .send(connection, format!("{line}\n").as_bytes())
        .unwrap();
    let reversed: String = line.chars().rev().collect();
    assert_eq!(next_frame(client, connection), reversed.as_bytes());
}

#[test]
#[ignore = "needs openssl"]
fn two_thousand_lines_come_back_reversed_whole_and_in_order_by_each_version() {
    for version in VERSIONS {
        let server = Server::start(version, &["-rev"]);
        let mut client = client();
        let upstream = Upstream::new(server.target()).framing(Framing::line());
        let upstream = upstream.depth(16).tls(server.keys.trusted());
        let upstream = client.add(upstream).unwrap();
        let (mut ledger, mut random) = (Ledger::default(), Random::new(3));
        let mut asked = Vec::new();
        for number in 0..2_000 {
            // A line of more than 16 KiB it returns in pieces.
            let bytes = if random.once_in(10) { 9_000 } else { 100 };
            let line = format!("{number:08} {}", "xyz".repeat(random.below(bytes) / 3));
            let payload = format!("{line}\n");
            let request = ledger.request(&mut client, upstream, payload.as_bytes(), far());
            asked.push((request, line));
            if number % 64 == 63 {
                ledger.until_all(&mut client);
            }
        }
        ledger.until_all(&mut client);
        for (request, line) in asked {
            let reply = ledger.ended(request).unwrap().clone().reply();
            let reversed: Vec<u8> = line.bytes().rev().collect();
            assert!(reply == reversed, "{line:?} came back as another");
        }
        let connection = only_connection(&client, upstream);
        assert_eq!(client.tls_info(connection).unwrap().version, Some(version));
    }
}

/// Its page ends with the connection: that it was all is what close_notify says.
#[test]
#[ignore = "needs openssl"]
fn a_page_that_the_end_ends_is_whole_by_each_version() {
    for version in VERSIONS {
        let server = Server::start(version, &["-www"]);
        let mut client = client();
        let connection = server.dial(&mut client, Framing::raw(), &server.keys.trusted());
        until_connected(&mut client, connection);
        client.send(connection, b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let told = until_closed(&mut client, connection);
        let page = told.frames.concat();
        assert!(page.starts_with(b"HTTP/1.0 200 ok\r\n"));
        assert!(page.trim_ascii_end().ends_with(b"</pre></BODY></HTML>"));
        assert_eq!(told.error.unwrap().source, Source::Eof);
    }
}

#[test]
#[ignore = "needs openssl"]
fn a_server_of_another_authority_is_refused_and_told_so() {
    for version in VERSIONS {
        let server = Server::start(version, &["-rev"]);
        let error = server.refused(&trusting_another());
        let unknown = Source::Certificate(CertificateFault::UnknownIssuer);
        assert_eq!((error.class, error.source), (Class::Persistent, unknown));
        server.daemon.until_says("unknown ca");
        // It is the same server to those who trust it.
        let mut client = client();
        let connection = server.connect(&mut client, &server.keys.trusted());
        reverse(&mut client, connection, "then");
    }
}

#[test]
#[ignore = "needs openssl"]
fn a_server_that_speaks_the_other_version_alone_says_so() {
    for (version, other) in [(VERSIONS[0], VERSIONS[1]), (VERSIONS[1], VERSIONS[0])] {
        let server = Server::start(version, &["-rev"]);
        let error = server.refused(&server.keys.trusted_with(|it| it.versions(other..=other)));
        let alert = Source::Alert(PROTOCOL_VERSION);
        assert_eq!((error.class, error.source), (Class::Persistent, alert));
    }
}

/// By TLS 1.3 the server looks at it when the client is done with its handshake: what was sent by then may have left.
#[test]
#[ignore = "needs openssl"]
fn a_client_without_a_certificate_is_told_that_one_is_needed_and_one_with_it_is_served() {
    for version in VERSIONS {
        let server = Server::start(version, &["-rev", "-Verify", "1", "-verify_return_error"]);
        if version == TlsVersion::Tls12 {
            let error = server.refused(&server.keys.trusted());
            assert_eq!(error.source, Source::Alert(HANDSHAKE_FAILURE));
            assert_eq!(error.class, Class::Persistent);
        } else {
            let mut client = client();
            let connection = server.connect(&mut client, &server.keys.trusted());
            let error = until_closed(&mut client, connection).error.unwrap();
            assert_eq!(error.source, Source::Alert(CERTIFICATE_REQUIRED));
            assert_eq!(error.class, Class::Persistent);
        }
        let mut client = client();
        let connection = server.connect(&mut client, &server.keys.trusted_and_known());
        reverse(&mut client, connection, "known");
        close(&mut client, connection, Farewell::Said);
    }
}

#[test]
#[ignore = "needs openssl"]
fn the_second_session_goes_on_from_the_first_where_the_server_lets_it() {
    for version in VERSIONS {
        for (options, lets) in [
            (&["-rev"][..], true),
            (
                &["-rev", "-no_ticket", "-no_cache", "-num_tickets", "0"],
                false,
            ),
        ] {
            let server = Server::start(version, options);
            let tls = server.keys.trusted();
            let (mut client, another) = (client(), server.keys.trusted());
            let mut resumed = |tls: &TlsConfig| {
                let connection = server.connect(&mut client, tls);
                reverse(&mut client, connection, "tickets come before this");
                let TlsInfo {
                    is_resumed,
                    certificates,
                    ..
                } = client.tls_info(connection).unwrap();
                // Of a session that goes on, those that were shown to the first.
                assert!(!certificates.is_empty());
                close(&mut client, connection, Farewell::Said);
                is_resumed
            };
            let all = [&tls, &tls, &tls, &another].map(&mut resumed);
            assert_eq!(all, [false, lets, lets, false], "{version:?}, {options:?}");
        }
    }
}

#[test]
#[ignore = "needs openssl"]
fn tickets_that_have_come_meanwhile_do_not_keep_a_line_from_leaving() {
    let server = Server::start(TlsVersion::Tls13, &["-rev", "-num_tickets", "50"]);
    let mut client = client();
    let connection = server.connect(&mut client, &server.keys.trusted());
    // Each is of more than 200 bytes; what the handshake took is less than the half of them.
    until_in_kernel(&client, connection, 50 * 200);
    reverse(&mut client, connection, "behind them");
    close(&mut client, connection, Farewell::Said);
}

/// What it is told is done to the session that stands.
#[test]
#[ignore = "needs openssl"]
fn keys_that_are_changed_a_hundred_times_in_silence_cost_no_byte_either_way() {
    let mut server = Server::start(TlsVersion::Tls13, &[]);
    let mut client = client();
    let connection = server.connect(&mut client, &server.keys.trusted());
    for round in 0..4 {
        // Before the client has turned once; asked for the client's own update, and not.
        for nth in 0..25 {
            let before = client.tcp_info(connection).unwrap().bytes_received;
            server.daemon.tell(if nth % 2 == 0 { "K\n" } else { "k\n" });
            until_in_kernel(&client, connection, before + 1);
        }
        let line = format!("line {round} of the client");
        client
            .send(connection, format!("{line}\n").as_bytes())
            .unwrap();
        client.flush();
        server.daemon.until_says(&line);
        server.daemon.tell(&format!("line {round} of the server\n"));
        let line = format!("line {round} of the server");
        assert_eq!(next_frame(&mut client, connection), line.as_bytes());
    }
}

#[test]
#[ignore = "needs openssl"]
fn a_server_that_wants_to_begin_anew_ends_its_own_session() {
    let mut server = Server::start(TlsVersion::Tls12, &[]);
    let mut client = client();
    let connection = server.connect(&mut client, &server.keys.trusted());
    server.daemon.tell("r\n");
    let told = until_closed(&mut client, connection);
    // The client says no_renegotiation, which is a warning; the server takes it for the end.
    let error = told.error.unwrap();
    assert_eq!(error.source, Source::Alert(HANDSHAKE_FAILURE));
    assert_eq!(error.phase, Phase::Idle);
    server.daemon.until_says("no renegotiation");
}

#[test]
#[ignore = "needs openssl"]
fn plaintext_in_the_midst_of_a_session_is_no_byte_of_the_programs() {
    for version in VERSIONS {
        let mut server = Server::start(version, &[]);
        let mut client = client();
        let connection = server.connect(&mut client, &server.keys.trusted());
        server.daemon.tell("of the session\n");
        assert_eq!(next_frame(&mut client, connection), b"of the session");
        server.daemon.tell("P");
        let told = until_closed(&mut client, connection);
        assert_eq!(told.frames.len(), 0);
        let error = told.error.unwrap();
        assert_eq!(error.class, Class::Protocol);
        assert_eq!(error.source, Source::Tls(TlsFault::Misbehaved));
    }
}

#[test]
#[ignore = "needs openssl"]
fn a_process_that_is_killed_has_not_said_that_this_was_all() {
    for version in VERSIONS {
        let mut server = Server::start(version, &[]);
        let mut client = client();
        let connection = server.connect(&mut client, &server.keys.trusted());
        server.daemon.tell("half a li");
        let begun = b"half a li".len() as u64;
        turn_until(&mut client, "half a line", |client| {
            client.transferred(connection).unwrap().1 == begun
        });
        server.daemon.kill();
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(error.source, Source::Truncated { received: begun });
    }
}
