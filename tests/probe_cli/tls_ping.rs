//! `probe ping` over TLS: the handshake timed, what was agreed on, whose the certificate is, and what it says of each
//! handshake that fails.

use std::io::{Read, Write};

use serde_json::{Value, json};

use super::support::{
    DISTRIBUTION, Serving, answering_peer, nobody, peer, run, shape, silent_peer,
};
use super::tls_support::{Authority, Files, Own, localhost, ping, serve, told};

const TLS: &str = "{version:str,cipher:str,alpn:null,resumed:bool,verified:bool,certificate:{subject:str,\
                   issuer:str,names:[str],not_before:str,not_after:str,days:int,pin:str}}";

#[test]
fn a_probe_tells_its_handshake_what_was_agreed_on_and_the_certificate() {
    let own = Own::start(&[]);
    let args = ["ping", &own.localhost(), "--tls", "--cacert", &own.ca];
    let more = [
        "-c", "3", "-i", "1ms", "--expect", "PING", "--format", "ndjson",
    ];
    let ended = run(&[&args[..], &more].concat());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let lines = ended.lines();
    for line in &lines[..3] {
        let expected = format!(
            "{{target:str,seq:int,ok:bool,dns_ns:int,connect_ns:int,tls_ns:int,first_byte_ns:int,total_ns:int,\
             addr:str,tcp:{{rtt_ns:int,retransmits:int}},tls:{TLS},error:null}}"
        );
        assert_eq!(shape(line), expected);
        let ns = |key: &str| line[key].as_u64().unwrap();
        let parts = ["dns_ns", "connect_ns", "tls_ns", "first_byte_ns"];
        assert!(ns("tls_ns") > 0 && parts.map(ns).iter().sum::<u64>() <= ns("total_ns"));
        // Each is measured from its first byte to its last: none goes on from an earlier one.
        let tls = &line["tls"];
        let words = ["version", "resumed", "verified"].map(|key| &tls[key]);
        assert_eq!(words, [&json!("TLS 1.3"), &json!(false), &json!(true)]);
        let names = tls["certificate"]["names"].as_array().unwrap();
        assert!(names.contains(&json!("localhost")) && names.contains(&json!("::1")));
    }
    let expected = format!(
        "{{target:str,sent:int,ok:int,failed:int,dns_ns:{DISTRIBUTION},connect_ns:{DISTRIBUTION},\
         tls_ns:{DISTRIBUTION},first_byte_ns:{DISTRIBUTION},total_ns:{DISTRIBUTION},tls:{TLS},errors:{{}},\
         last_error:null,reconnects:int}}"
    );
    let summary = &lines[3]["targets"][0];
    assert_eq!(shape(summary), expected);
    assert_eq!(summary["tls_ns"]["count"], 3);
    assert_eq!(summary["tls"], lines[2]["tls"]);
}

#[test]
fn the_text_has_the_phase_and_a_line_of_the_certificate() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let pair = authority.sign(&files, "db", &["localhost", "db.example", "10.0.0.7"], 91);
    let serving = serve(&pair, &["--alpn", "shout"]);
    let target = localhost(&serving);
    let args = [
        "ping",
        &target,
        "--tls",
        "--cacert",
        &authority.ca,
        "-c",
        "1",
    ];
    let ended = run(&[&args[..], &["--alpn", "h3,shout"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let first = ended.out.lines().next().unwrap();
    let order = ["connect ", "  tls ", "first byte ", "total "];
    let places = order.map(|name| first.find(name).unwrap_or_else(|| panic!("{first}")));
    assert!(places.is_sorted(), "{first}");
    assert!(ended.out.contains("\ntls "), "{}", ended.out);
    let header = format!("\n{target}   1 sent   1 ok   0 failed\nTLS 1.3 TLS");
    assert!(ended.out.contains(&header), "{}", ended.out);
    let line =
        ", alpn shout   CN=db (localhost, db.example, 10.0.0.7), expires in 90 days   verified\n";
    assert!(ended.out.contains(line), "{}", ended.out);
}

#[test]
fn targets_may_be_mixed_each_as_its_scheme_says() {
    let own = Own::start(&[]);
    let plain = Serving::start(&["echo"]);
    let (secure, clear) = (
        format!("tls://{}", own.serving.address),
        format!("tcp://{}", plain.address),
    );
    let bare = &plain.address;
    let args = ["ping", &secure, bare, "--cacert", &own.ca];
    let more = ["-c", "1", "--format", "json"];
    let ended = run(&[&args[..], &more].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let ok = |ended: &super::support::Ended| {
        let document = ended.json();
        let told = document["targets"].as_array().unwrap().clone();
        told.iter()
            .map(|it| {
                (
                    it["ok"] == 1,
                    it["tls"].is_object(),
                    it["tls_ns"].is_object(),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(ok(&ended), [(true, true, true), (true, false, false)]);
    // --tls is for those that do not say it themselves.
    let args = [
        "ping",
        &own.serving.address,
        &clear,
        "--tls",
        "--cacert",
        &own.ca,
    ];
    let ended = run(&[&args[..], &more].concat());
    assert_eq!(ok(&ended), [(true, true, true), (true, false, false)]);
}

/// One connection for all: the handshake is the first probe's, and what was agreed on is of all.
#[test]
fn a_kept_connection_shakes_hands_once() {
    let own = Own::start(&[]);
    let args = [
        "ping",
        &own.localhost(),
        "--tls",
        "--cacert",
        &own.ca,
        "--reuse",
    ];
    let more = ["-c", "3", "-i", "1ms", "--format", "ndjson"];
    let ended = run(&[&args[..], &more].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines = ended.lines();
    let timed: Vec<bool> = lines[..3].iter().map(|it| it["tls_ns"].is_u64()).collect();
    assert_eq!(timed, [true, false, false]);
    assert!(lines[..3].iter().all(|it| it["tls"]["verified"] == true));
    assert_eq!(lines[3]["targets"][0]["tls_ns"]["count"], 1);
}

#[test]
fn a_certificate_that_is_refused_is_told_with_whom_it_is_for() {
    let files = Files::new();
    let own = Own::start(&[]);
    let stranger = Authority::new(&files, "stranger");
    let pair = stranger.sign(&files, "db", &["db.example", "10.0.0.7"], 100);
    let elsewhere = serve(&pair, &[]);
    for (target, ca) in [
        // By an authority that is not trusted, and for another name.
        (own.localhost(), &stranger.ca),
        (localhost(&elsewhere), &stranger.ca),
    ] {
        let ended = ping(&target, &["--tls", "--cacert", ca]);
        assert_eq!((ended.code, ended.err.as_str()), (1, ""));
        let lines = ended.lines();
        let probe = &lines[0];
        assert_eq!(
            told(probe),
            ["handshake", "persistent", "certificate", "no"]
        );
        let phases = ["connect_ns", "tls_ns", "first_byte_ns"].map(|key| &probe[key]);
        assert_eq!(phases, [&Value::Null; 3]);
        let tls = &probe["tls"];
        assert_eq!(
            (&tls["verified"], &tls["resumed"]),
            (&json!(false), &json!(false))
        );
        assert!(tls["certificate"]["days"].as_i64() > Some(90), "{probe}");
        let summary = &lines[1]["targets"][0];
        assert_eq!(summary["errors"], json!({"persistent/handshake": 1}));
        assert_eq!(summary["tls"]["certificate"], tls["certificate"]);
    }
    let target = localhost(&elsewhere);
    let args = [
        "ping",
        &target,
        "--tls",
        "--cacert",
        &stranger.ca,
        "-c",
        "1",
    ];
    let ended = run(&args);
    let first = ended.out.lines().next().unwrap();
    assert!(first.contains("failed in handshake: "), "{first}");
    let whose = "; the certificate is for db.example, 10.0.0.7";
    assert!(first.ends_with(whose), "{first}");
    assert!(ended.out.contains("   NOT VERIFIED\n"), "{}", ended.out);
    // What was wrong was the name.
    let ended = ping(
        &target,
        &["--tls", "--cacert", &stranger.ca, "--sni", "db.example"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.lines()[0]["tls"]["verified"], true);
}

#[test]
fn with_k_any_certificate_is_taken_and_said_not_to_be_verified() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let expired = serve(&authority.sign(&files, "old", &["localhost"], -9), &[]);
    let target = localhost(&expired);
    let refused = ping(&target, &["--tls", "--cacert", &authority.ca]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let refused = &refused.lines()[0];
    assert_eq!(
        told(refused),
        ["handshake", "persistent", "certificate", "no"]
    );
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("xpired"),
        "{refused}"
    );
    let taken = ping(&target, &["--tls", "-k"]);
    assert_eq!((taken.code, taken.err.as_str()), (0, ""));
    let taken = &taken.lines()[0];
    assert_eq!(taken["tls"]["verified"], false);
    for probe in [refused, taken] {
        let days = probe["tls"]["certificate"]["days"].as_i64().unwrap();
        assert_eq!(days, -10, "nine whole days ago: the tenth has begun");
    }
    let ended = run(&["ping", &target, "--tls", "--insecure", "-c", "1"]);
    assert!(
        ended
            .out
            .contains("CN=old (localhost), expired 9 days ago   NOT VERIFIED\n"),
        "{}",
        ended.out
    );
}

#[test]
fn a_pin_must_be_that_of_the_key_also_with_k() {
    let own = Own::start(&[]);
    let target = own.localhost();
    let trusting = ["--tls", "--cacert", &own.ca];
    let ended = ping(&target, &trusting);
    let seen = ended.lines()[0]["tls"]["certificate"]["pin"].clone();
    let right = seen.as_str().unwrap();
    let wrong = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (pins, code) in [
        (&["--pin", right][..], 0),
        (&["--pin", wrong], 1),
        (&["--pin", wrong, "--pin", right], 0),
    ] {
        for trust in [&trusting[..], &["--tls", "-k"]] {
            let ended = ping(&target, &[trust, pins].concat());
            assert_eq!(ended.code, code, "{trust:?} {pins:?}: {ended:?}");
            let probe = &ended.lines()[0];
            if code == 1 {
                assert_eq!(
                    told(probe),
                    ["handshake", "persistent", "certificate", "no"]
                );
                assert_eq!(probe["tls"]["certificate"]["pin"], seen);
            }
        }
    }
    let told = own.serving.terminate();
    assert_eq!((told.code, told.err), (0, format!("pin {right}\n")));
}

#[test]
fn a_protocol_is_agreed_on_or_the_peer_refuses() {
    let own = Own::start(&["--alpn", "redis,shout"]);
    let target = own.localhost();
    let trusting = ["--tls", "--cacert", &own.ca];
    for (offered, agreed) in [("shout,redis", json!("redis")), ("shout", json!("shout"))] {
        let ended = ping(&target, &[&trusting[..], &["--alpn", offered]].concat());
        assert_eq!(ended.lines()[0]["tls"]["alpn"], agreed, "{ended:?}");
    }
    let ended = ping(&target, &[&trusting[..], &["--alpn", "h3"]].concat());
    assert_eq!(ended.code, 1);
    assert_eq!(
        told(&ended.lines()[0]),
        ["handshake", "persistent", "alert", "no"]
    );
}

#[test]
fn a_certificate_is_shown_to_a_peer_that_asks_for_one() {
    let files = Files::new();
    let authority = Authority::new(&files, "clients");
    let client = authority.sign(&files, "client", &["client.example"], 100);
    let own = Own::start(&["--client-ca", &authority.ca]);
    let target = own.localhost();
    let trusting = ["--tls", "--cacert", &own.ca];
    let shown = ["--cert", &client.cert, "--key", &client.key];
    let ended = ping(&target, &[&trusting[..], &shown].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let stranger = Authority::new(&files, "stranger").sign(&files, "other", &["a.example"], 9);
    let wrong = ["--cert", &stranger.cert, "--key", &stranger.key];
    for shown in [&[][..], &wrong] {
        let ended = ping(&target, &[&trusting[..], shown].concat());
        assert_eq!(ended.code, 1, "{ended:?}");
        // TLS 1.3 lets the client be done before the server has seen what it shows.
        let probe = &ended.lines()[0];
        assert_eq!(probe["error"]["kind"], "alert", "{probe}");
        assert_eq!(probe["error"]["class"], "persistent", "{probe}");
    }
}

#[test]
fn a_handshake_that_stalls_ends_at_its_time_in_its_phase() {
    let (silent, _asked) = silent_peer();
    let target = format!("tls://{silent}");
    for (limit, class, kind) in [
        ("--connect-timeout", "transient", "timeout"),
        ("--timeout", "local", "deadline"),
    ] {
        let ended = ping(&target, &["-k", limit, "100ms"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let probe = &ended.lines()[0];
        assert_eq!(told(probe), ["handshake", class, kind, "no"]);
        assert_eq!(probe["tls"]["certificate"], Value::Null, "{probe}");
    }
}

#[test]
fn a_peer_that_speaks_no_tls_or_ends_the_handshake_is_told_as_that() {
    let plain = answering_peer(b"220 mail.example ready\r\n", 1);
    let ended = ping(&format!("tls://{plain}"), &["-k"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(
        told(&ended.lines()[0]),
        ["handshake", "persistent", "tls", "no"]
    );
    let closing = answering_peer(b"", 1);
    let ended = ping(&format!("tls://{closing}"), &["-k"]);
    assert_eq!(
        told(&ended.lines()[0]),
        ["handshake", "transient", "eof", "no"]
    );
    // handshake_failure, fatal.
    let refusing = peer(|_, mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]);
    });
    let ended = ping(&format!("tls://{refusing}"), &["-k"]);
    assert_eq!(
        told(&ended.lines()[0]),
        ["handshake", "persistent", "alert", "no"]
    );
    let ended = ping(&format!("tls://{}", nobody()), &["-k"]);
    let probe = &ended.lines()[0];
    assert_eq!(told(probe), ["connect", "transient", "os", "no"]);
    assert_eq!(probe["tls"], Value::Null);
}
