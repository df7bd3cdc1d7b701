//! `probe ship` over TLS: every line arrives, by each framing; a sink whose certificate is refused gets none.

use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use super::shipping;
use super::support::{Ended, Serving, end, probe};
use super::tls_support::{Authority, Files, localhost};

const LINES: usize = 1000;

/// Ships so many numbered lines.
fn ship(args: &[&str]) -> Ended {
    let mut command = probe(&[&["ship", "--format", "json"], args].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let lines: String = (1..=LINES).map(|n| format!("line {n}\n")).collect();
    // A run that is refused has read nothing.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    end(child)
}

#[test]
fn every_line_arrives_in_order_and_is_confirmed() {
    for framing in ["lf", "octet"] {
        let files = Files::new();
        let (ca, dump) = (files.path("own.pem"), files.path("dump"));
        let tls = ["sink", "--tls", "--write-cert", &ca];
        let serving =
            Serving::start(&[&tls[..], &["--framing", framing, "--dump", &dump]].concat());
        let target = localhost(&serving);
        let ended = ship(&[&target, "--tls", "--cacert", &ca, "--framing", framing]);
        assert_eq!(ended.code, 0, "{framing}: {ended:?}");
        let document = ended.json();
        assert_eq!(document["verdict"], "delivered", "{document}");
        assert_eq!(document["lines"]["confirmed"], json!(LINES), "{document}");
        assert_eq!(serving.terminate().code, 0);
        let arrived = std::fs::read_to_string(&dump).unwrap();
        let expected: String = (1..=LINES).map(|n| format!("line {n}\n")).collect();
        assert_eq!(arrived, expected, "{framing}");
    }
}

#[test]
fn each_line_is_read_by_a_sink_that_was_verified_on_every_rung() {
    let lines: String = (1..=10_000).map(|n| format!("line {n}\n")).collect();
    for ack in ["none", "peek", "kernel", "commit"] {
        let files = Files::new();
        let (own, dump) = (files.path("own.pem"), files.path("dump"));
        let tls = ["sink", "--tls", "--write-cert", &own];
        let counted = ["--framing", "octet", "--dump", &dump];
        let serving = Serving::start(&[tls, counted].concat());
        let target = format!("tls://{}", localhost(&serving));
        let flags = [&target, "--ack", ack, "--cacert", &own];
        let ended = shipping::ship_json(&flags, lines.as_bytes());
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (0, ""),
            "{ack}: {ended:?}"
        );
        let document = ended.json();
        assert_eq!(shipping::fates(&document), [10_000, 0, 0, 0], "{ack}");
        // Ours, and not TLS's.
        let bytes: usize = lines
            .lines()
            .map(|it| it.len() + 1 + it.len().to_string().len())
            .sum();
        assert_eq!(document["bytes"]["written"], bytes, "{ack}: {document}");
        assert_eq!(serving.terminate().code, 0);
        assert_eq!(std::fs::read_to_string(&dump).unwrap(), lines, "{ack}");
    }
}

#[test]
fn a_sink_whose_certificate_is_refused_is_warned_of_by_name_and_gets_no_line() {
    let files = Files::new();
    let stranger = Authority::new(&files, "stranger");
    let dump = files.path("dump");
    let serving = Serving::start(&["sink", "--tls", "--dump", &dump]);
    let target = format!("tls://{}", localhost(&serving));
    let ended = ship(&[&target, "--cacert", &stranger.ca, "--drain", "300ms"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    let document = ended.json();
    let lines = &document["lines"];
    assert_eq!(
        (&lines["written"], &lines["confirmed"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(lines["undelivered"], lines["read"], "{document}");
    let warns = ended.err.contains("persistent, in handshake");
    assert!(
        warns && ended.err.contains(&localhost(&serving)),
        "{}",
        ended.err
    );
    assert_eq!(serving.terminate().code, 0);
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), "");
}
