//! What rsyslogd says at the end of a TLS session, which decides what an end can prove: `ossl` ends it by close_notify,
//! `gtls` and `imrelp` leave it to the FIN, and none says anything when it is killed.
//!
//! Seen by a client that is none of ours (`tests/support/tls`), with rsyslog 8.2302 and librelp 1.11.

use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, SupportedProtocolVersion};

use crate::keys::Keys;
use crate::rsyslogd::{Certificates, Input, Rsyslogd};
use crate::shipping::{Framed, line_of};
use crate::support::{End, eventually};
use crate::tls::{LastWord, PlainClient};

/// Libraries of librelp, and the inputs of a daemon with it.
const ALL: [(&str, &[Input]); 2] = [
    ("openssl", &[Input::OsslTcp, Input::GtlsTcp, Input::RelpTls]),
    ("gnutls", &[Input::RelpTls]),
];

/// Both libraries of librelp, and both drivers of imtcp; by both versions. Each has a daemon of its own: what OpenSSL has
/// found wrong with one session, rsyslogd and librelp may take for the next one's fault, and reset it. GnuTLS has no such
/// queue of errors.
#[track_caller]
fn each(mut holds: impl FnMut(&mut Daemon, Input, &'static SupportedProtocolVersion)) {
    let all = ALL.iter().flat_map(|(library, inputs)| {
        let of_library = |input: &Input| (*library, *input);
        inputs.iter().map(of_library)
    });
    for (library, input) in all {
        let mut daemon = Daemon::start(library, &[input]);
        for version in [&TLS12, &TLS13] {
            holds(&mut daemon, input, version);
            if input != Input::GtlsTcp {
                daemon = Daemon::start(library, &[input]);
            }
        }
    }
}

struct Daemon {
    keys: Keys,
    library: &'static str,
    rsyslogd: Rsyslogd,
}

impl Daemon {
    #[track_caller]
    fn start(library: &'static str, inputs: &[Input]) -> Daemon {
        let keys = Keys::new();
        let certificates = Certificates::of(&keys, library);
        Daemon {
            rsyslogd: Rsyslogd::secured("ends", &certificates, inputs),
            keys,
            library,
        }
    }

    /// A session that stands, with a session of RELP on it where that is spoken.
    #[track_caller]
    fn connect(&self, input: Input, version: &'static SupportedProtocolVersion) -> PlainClient {
        let (own, address) = (self.keys.of_a_client(), self.rsyslogd.address(input));
        let client = PlainClient::connect(address, &self.keys.signer, &own, version);
        let mut client = client.unwrap();
        if input.is_relp() {
            let offers = b"relp_version=0\nrelp_software=none\ncommands=syslog";
            client.write(&frame(1, "open", offers)).unwrap();
            client.read_to(b"commands=syslog\n");
        }
        client
    }

    /// A session of each, by each version.
    fn connect_each(
        &self,
        inputs: &[Input],
    ) -> impl Iterator<Item = (Input, &'static SupportedProtocolVersion, PlainClient)> {
        let each = inputs.iter().flat_map(|it| [(*it, &TLS12), (*it, &TLS13)]);
        each.map(|(input, version)| (input, version, self.connect(input, version)))
    }

    /// So many lines, from this number on.
    #[track_caller]
    fn bring(&self, client: &mut PlainClient, input: Input, from: u64, lines: u64) {
        let line = |number| match input.is_relp() {
            true => frame(number + 1, "syslog", &line_of(number)),
            false => Framed::Octet.wire(&line_of(number)),
        };
        let all: Vec<u8> = (from..from + lines).flat_map(line).collect();
        client.write(&all).unwrap();
        if input.is_relp() {
            let last = format!("\n{} rsp 6 200 OK\n", from + lines);
            client.read_to(last.as_bytes());
        }
    }
}

impl Certificates {
    pub(crate) fn of(keys: &Keys, library: &'static str) -> Certificates {
        Certificates {
            chain: keys.chain(),
            key: keys.key(),
            authority: keys.authority(),
            library,
        }
    }
}

/// A frame of RELP.
fn frame(txnr: u64, command: &str, data: &[u8]) -> Vec<u8> {
    let space: &[u8] = if data.is_empty() { b"" } else { b" " };
    let header = format!("{txnr} {command} {}", data.len());
    [header.as_bytes(), space, data, b"\n"].concat()
}

/// What it says when all is well.
fn farewell(input: Input) -> Option<LastWord> {
    (input == Input::OsslTcp).then_some(LastWord::Notify)
}

const LINES: u64 = 2_000;

#[test]
#[ignore = "needs rsyslogd"]
fn our_close_notify_is_answered_in_kind_by_ossl_alone_when_all_before_it_is_stored() {
    for is_followed_by_fin in [true, false] {
        each(|daemon, input, version| {
            let what = format!("{input:?} ({}), {version:?}", daemon.library);
            let stored = daemon.rsyslogd.stored();
            let mut client = daemon.connect(input, version);
            daemon.bring(&mut client, input, 1, LINES);
            client.close_notify();
            if is_followed_by_fin {
                client.fin();
            }
            let (said, word, end) = client.ended();
            assert_eq!((word, end), (farewell(input), End::Fin), "{what}");
            assert_eq!(said, b"", "{what}");
            assert_eq!(daemon.rsyslogd.stored() - stored, LINES, "{what}");
        });
    }
}

#[test]
#[ignore = "needs rsyslogd"]
fn a_fin_of_ours_without_close_notify_is_an_error_to_openssl_and_all_before_it_is_stored() {
    each(|daemon, input, version| {
        let what = format!("{input:?} ({}), {version:?}", daemon.library);
        let stored = daemon.rsyslogd.stored();
        let mut client = daemon.connect(input, version);
        daemon.bring(&mut client, input, 1, LINES);
        client.fin();
        let (_, word, end) = client.ended();
        let is_openssl = match input {
            Input::RelpTls => daemon.library == "openssl",
            input => input == Input::OsslTcp,
        };
        let alert = LastWord::Alert(AlertDescription::DecodeError);
        assert_eq!(
            (word, end),
            (is_openssl.then_some(alert), End::Fin),
            "{what}"
        );
        assert_eq!(daemon.rsyslogd.stored() - stored, LINES, "{what}");
    });
}

#[test]
#[ignore = "needs rsyslogd"]
fn imrelp_leaves_without_close_notify_when_it_is_left_by_close() {
    for library in ["openssl", "gnutls"] {
        for version in [&TLS12, &TLS13] {
            let daemon = Daemon::start(library, &[Input::RelpTls]);
            let mut client = daemon.connect(Input::RelpTls, version);
            daemon.bring(&mut client, Input::RelpTls, 1, 10);
            client.write(&frame(12, "close", b"")).unwrap();
            let (said, word, end) = client.ended();
            assert_eq!(said, b"12 rsp 0\n0 serverclose 0\n");
            assert_eq!((word, end), (None, End::Fin));
        }
    }
}

/// At rest: all it was sent it has read.
#[test]
#[ignore = "needs rsyslogd"]
fn one_that_is_ended_says_so_by_ossl_alone_and_one_that_is_killed_says_nothing() {
    for (library, inputs) in ALL {
        let mut daemon = Daemon::start(library, inputs);
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            let stored = daemon.rsyslogd.stored();
            let clients = daemon.connect_each(inputs);
            let clients: Vec<_> = clients
                .map(|(input, version, mut client)| {
                    daemon.bring(&mut client, input, 1, 10);
                    (input, version, client)
                })
                .collect();
            eventually("all lines", || {
                daemon.rsyslogd.stored() - stored == 20 * inputs.len() as u64
            });
            daemon.rsyslogd.end_and_start(signal);
            for (input, version, client) in clients {
                let what = format!("{input:?} ({library}), {version:?}, {signal}");
                let (said, word, end) = client.ended();
                let is_told = signal == Signal::SIGTERM;
                let wanted = farewell(input).filter(|_| is_told);
                assert_eq!((word, end), (wanted, End::Fin), "{what}");
                let wanted: &[u8] = match is_told && input.is_relp() {
                    true => b"0 serverclose 0\n",
                    false => b"",
                };
                assert_eq!(said, wanted, "{what}");
            }
        }
    }
}

/// close_notify alone proves nothing: it comes from one that has not read what was sent before. What proves is the FIN.
#[test]
#[ignore = "needs rsyslogd"]
fn one_that_is_ended_with_lines_unread_resets_the_line_whatever_it_has_said_before() {
    let inputs = [Input::OsslTcp, Input::GtlsTcp];
    let mut daemon = Daemon::start("openssl", &inputs);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let clients = daemon.connect_each(&inputs);
        let clients: Vec<_> = clients.collect();
        daemon.rsyslogd.signal(Signal::SIGSTOP);
        let sent = clients.into_iter().map(|(input, version, mut client)| {
            // Less than the sockets hold.
            daemon.bring(&mut client, input, 1, 12_000);
            client.close_notify();
            client.fin();
            (input, version, client)
        });
        let sent: Vec<_> = sent.collect();
        daemon.rsyslogd.end_and_start(signal);
        for (input, version, client) in sent {
            let (_, word, end) = client.ended();
            println!("{input:?}, {version:?}, {signal}: {word:?}, {end:?}");
            assert_eq!(end, End::Rst);
        }
    }
}
