//! `probe ship` over TLS: each line arrives, and a sink that is not who it must be gets none.

use super::shipping::{fates, scratch, ship_json};
use super::support::Serving;
use super::tls_support::{Authority, Files, localhost};

fn sink(own: &str, dump: &str) -> Serving {
    let flags = ["sink", "--framing", "octet", "--dump", dump];
    Serving::start(&[&flags[..], &["--tls", "--write-cert", own]].concat())
}

#[test]
fn each_line_is_read_by_a_sink_that_was_verified_on_every_rung() {
    let lines: String = (1..=10_000).map(|n| format!("line {n}\n")).collect();
    for ack in ["none", "peek", "kernel", "commit"] {
        let (files, dump) = (Files::new(), scratch(&format!("tls-{ack}")));
        let own = files.path("own.pem");
        let serving = sink(&own, dump.to_str().unwrap());
        let target = format!("tls://{}", localhost(&serving));
        let flags = [&target, "--ack", ack, "--cacert", &own];
        let ended = ship_json(&flags, lines.as_bytes());
        assert_eq!(
            (ended.code, ended.err.as_str()),
            (0, ""),
            "{ack}: {ended:?}"
        );
        let document = ended.json();
        assert_eq!(fates(&document), [10_000, 0, 0, 0], "{ack}");
        // Ours, and not TLS's.
        let bytes: usize = lines
            .lines()
            .map(|it| it.len() + 1 + it.len().to_string().len())
            .sum();
        assert_eq!(document["bytes"]["written"], bytes, "{ack}: {document}");
        assert_eq!(serving.terminate().code, 0);
        assert_eq!(std::fs::read_to_string(&dump).unwrap(), lines, "{ack}");
        std::fs::remove_file(&dump).unwrap();
    }
}

#[test]
fn a_sink_whose_certificate_is_refused_is_warned_of_by_name_and_gets_no_line() {
    let (files, dump) = (Files::new(), scratch("tls-refused"));
    let serving = sink(&files.path("own.pem"), dump.to_str().unwrap());
    let stranger = Authority::new(&files, "stranger");
    let target = localhost(&serving);
    let flags = [
        &target,
        "--tls",
        "--cacert",
        &stranger.ca,
        "--drain",
        "300ms",
    ];
    let ended = ship_json(&flags, b"one\ntwo\n");
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 0, 2, 0]);
    assert!(ended.err.contains(&target), "{}", ended.err);
    assert!(
        ended.err.contains("persistent, in handshake"),
        "{}",
        ended.err
    );
    assert_eq!(serving.terminate().code, 0);
    assert_eq!(std::fs::read_to_string(&dump).unwrap(), "");
    std::fs::remove_file(&dump).unwrap();
}
