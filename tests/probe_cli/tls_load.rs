//! `probe load` over TLS: against its own server, against one that is refused, and with a connection for each request.

use serde_json::{Value, json};

use super::support::{Ended, Serving, run, shape};
use super::tls_support::{Authority, Files, Own, localhost, serve};

fn load(args: &[&str]) -> Ended {
    run(&[&["load", "-n", "100", "--format", "json"], args].concat())
}

#[test]
fn without_a_target_its_own_server_speaks_tls_and_is_verified() {
    for shape_of_run in [&["-c", "4", "-P", "2"][..], &["-c", "2", "--per-request"]] {
        let ended = load(&[&["--tls", "--alpn", "echo"], shape_of_run].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        let document = ended.json();
        assert_eq!(document["requests"]["ok"], 100);
        let tls = &document["tls"];
        assert_eq!(
            shape(tls),
            "{version:str,cipher:str,alpn:str,verified:bool,certificate:{subject:str,issuer:str,names:[str],\
             not_before:str,not_after:str,days:int,pin:str}}"
        );
        let words = ["version", "alpn", "verified"].map(|key| &tls[key]);
        assert_eq!(words, [&json!("TLS 1.3"), &json!("echo"), &json!(true)]);
    }
    let ended = load(&[]);
    assert_eq!(ended.json()["tls"], Value::Null);
}

#[test]
fn the_header_says_what_was_agreed_on_and_whether_it_was_verified() {
    let own = Own::start(&[]);
    let target = own.localhost();
    for (trust, verified) in [
        (&["--cacert", own.ca.as_str()][..], "verified"),
        (&["-k"], "NOT VERIFIED"),
    ] {
        let args = ["load", &target, "--tls", "-n", "10", "--expect", "PING"];
        let ended = run(&[&args[..], trust].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let header = ended.out.lines().next().unwrap();
        let start = format!("target {target} (line, TLS 1.3 TLS");
        assert!(header.starts_with(&start), "{header}");
        assert!(
            header.contains(&format!(", {verified})   1/1 connections")),
            "{header}"
        );
    }
}

#[test]
fn a_certificate_that_is_refused_ends_the_run_with_the_reason() {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let elsewhere = serve(&authority.sign(&files, "db", &["db.example"], 100), &[]);
    let target = format!("tls://{}", localhost(&elsewhere));
    let ended = load(&[&target, "-c", "2", "--cacert", &authority.ca]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let document = ended.json();
    let errors = document["errors"].as_object().unwrap();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["persistent/handshake"]);
    assert_eq!(document["connections"]["established"], 0);
    assert_eq!(document["bytes"], json!({"sent": 0, "received": 0}));
    assert!(
        document["reasons"][0]
            .as_str()
            .unwrap()
            .contains("handshake")
    );
}

/// A server in the clear, and a client that speaks TLS to it: nothing of a request leaves.
#[test]
fn a_server_that_speaks_no_tls_gets_no_request() {
    let plain = Serving::start(&["shout"]);
    let target = format!("tls://{}", plain.address);
    let ended = load(&[&target, "-k", "--connect-timeout", "300ms"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.json()["bytes"], json!({"sent": 0, "received": 0}));
}
