//! `openssl s_client`, which speaks to the bundled server with TLS: what one writes on its standard input is said, what
//! it hears stands on its standard output.

use taut::server::{ServerConfig, Service};
use taut::{TlsServerConfig, TlsVersion};

use crate::daemon::{Daemon, Directory};
use crate::keys::{Keys, VERSIONS};
use crate::support::*;

/// The bundled server, that shouts.
fn shouting(keys: &Keys, knows_its_clients: bool) -> Running {
    let tls = TlsServerConfig::files(keys.chain(), keys.key());
    let tls = match knows_its_clients {
        true => tls.client_ca_file(keys.authority()),
        false => tls,
    };
    Running::start(ServerConfig {
        service: Service::Shout,
        tls: Some(tls.build().unwrap()),
        ..ServerConfig::default()
    })
}

#[track_caller]
fn client(server: &Running, keys: &Keys, version: TlsVersion, options: &[&str]) -> Daemon {
    let (address, authority) = (server.address.to_string(), keys.authority());
    let mut arguments = vec!["s_client", "-connect", &address, "-CAfile", &authority];
    arguments.extend(["-verify_ip", "127.0.0.1", "-verify_return_error"]);
    arguments.push(match version {
        TlsVersion::Tls12 => "-tls1_2",
        _ => "-tls1_3",
    });
    arguments.extend(options);
    Daemon::start("openssl", Directory::new("s-client"), &arguments, &[])
}

#[test]
#[ignore = "needs openssl"]
fn a_thousand_lines_are_shouted_back_and_the_last_end_is_an_orderly_one() {
    for version in VERSIONS {
        let keys = Keys::new();
        let server = shouting(&keys, false);
        let mut client = client(&server, &keys, version, &["-quiet", "-no_ign_eof"]);
        let lines = || (0..1_000).map(|number| format!("line {number} {}\n", "x".repeat(number)));
        for line in lines() {
            client.tell(&line);
        }
        client.until_says("LINE 999 ");
        let wanted: String = lines().map(|it| it.to_uppercase()).collect();
        eventually("the whole last line", || client.output().ends_with("X\n"));
        let output = client.output();
        assert!(output.ends_with(&wanted), "{output}");
        client.end_of_input();
        eventually("its end", || client.has_ended());
        assert_eq!(server.stop().accepted, 1);
    }
}

#[test]
#[ignore = "needs openssl"]
fn its_second_session_goes_on_from_the_first() {
    for version in VERSIONS {
        let keys = Keys::new();
        let server = shouting(&keys, false);
        let directory = Directory::new("session");
        let kept = directory.path().join("kept");
        let kept = kept.to_str().unwrap();
        for (option, wanted) in [("-sess_out", "New, TLSv1."), ("-sess_in", "Reused, TLSv1.")] {
            let mut client = client(&server, &keys, version, &[option, kept]);
            client.tell("again\n");
            client.until_says("AGAIN");
            client.until_says(wanted);
            client.end_of_input();
            eventually("its end", || client.has_ended());
        }
        server.stop();
    }
}

#[test]
#[ignore = "needs openssl"]
fn without_a_certificate_it_is_told_that_one_is_wanted_and_with_one_it_is_served() {
    for version in VERSIONS {
        let keys = Keys::new();
        let server = shouting(&keys, true);
        let mut stranger = client(&server, &keys, version, &[]);
        stranger.until_says("alert certificate required");
        eventually("its end", || stranger.has_ended());
        let own = keys.of_a_client().files();
        let (chain, key) = (own.chain(), own.key());
        let (chain, key) = (chain.to_str().unwrap(), key.to_str().unwrap());
        let options = ["-cert", chain, "-key", key];
        let mut known = client(&server, &keys, version, &options);
        // A line that begins with k would be a command.
        known.tell("it is known\n");
        known.until_says("IT IS KNOWN");
        drop(known);
        server.stop();
    }
}

/// Its `K` and `k` change keys, and ask the server to change its own, or do not.
#[test]
#[ignore = "needs openssl"]
fn keys_that_it_changes_cost_no_line() {
    let keys = Keys::new();
    let server = shouting(&keys, false);
    let mut client = client(&server, &keys, TlsVersion::Tls13, &[]);
    for round in 0..20 {
        let (change, line) = (["K\n", "k\n"][round % 2], format!("line {round} of it"));
        client.tell(change);
        client.until_says_so_often("KEYUPDATE", round + 1);
        client.tell(&format!("{line}\n"));
        client.until_says(&line.to_uppercase());
    }
    drop(client);
    server.stop();
}
