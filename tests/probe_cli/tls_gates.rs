//! `probe ping --fail-if 'cert_days<14'`: every gate is judged and told for every target in TLS, and the exit code says
//! the worst of it.

use serde_json::{Value, json};

use super::support::{Serving, nobody, probe, run, signal, silent_peer};
use super::tls_support::{Authority, Files, localhost, serve};

/// A peer whose certificate ends at midnight in so many days, and its authority.
fn ending_in(days: i64) -> (Files, Authority, Serving) {
    let files = Files::new();
    let authority = Authority::new(&files, "ca");
    let serving = serve(&authority.sign(&files, "db", &["localhost"], days), &[]);
    (files, authority, serving)
}

fn gates(document: &Value) -> Vec<(&str, &Value, &Value)> {
    let gates = document["gates"].as_array().unwrap().iter();
    gates
        .map(|gate| {
            let expr = gate["expr"].as_str().unwrap();
            (expr, &gate["breached"], &gate["value"])
        })
        .collect()
}

#[test]
fn each_gate_is_judged_and_told_and_one_breached_is_exit_3() {
    let (_files, authority, serving) = ending_in(10);
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
    for (asked, code, breached) in [
        (&["cert_days<9"][..], 0, &[false][..]),
        (&["cert_days<14", "cert_days<7"], 3, &[true, false]),
        (
            &["cert_days<7", "cert_days>800", "cert_days<=9"],
            3,
            &[false, false, true],
        ),
    ] {
        let flags = asked.iter().flat_map(|&gate| ["--fail-if", gate]);
        let args: Vec<&str> = args.iter().copied().chain(flags).collect();
        let ended = run(&[&args[..], &["--format", "json"]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (code, ""));
        let document = ended.json();
        let expected: Vec<Value> = breached.iter().map(|&it| json!(it)).collect();
        let told = gates(&document);
        let days = json!(9);
        for ((told, asked), breached) in told.iter().zip(asked).zip(&expected) {
            assert_eq!(*told, (*asked, breached, &days));
        }
        assert_eq!(told.len(), asked.len());
        assert_eq!(document["gates"][0]["target"], target);
        let text = run(&args);
        assert_eq!(text.code, code);
        for (asked, breached) in asked.iter().zip(breached) {
            let verdict = if *breached { "9, BREACHED" } else { "9, holds" };
            let line = format!("\ngate {asked}   {target}   {verdict}\n");
            assert!(text.out.contains(&line), "{}", text.out);
        }
    }
}

/// What is refused for having expired is judged all the same, and so is what is taken with -k.
#[test]
fn an_expired_certificate_is_judged_whether_it_was_taken_or_not() {
    let (_files, authority, serving) = ending_in(-2);
    let target = localhost(&serving);
    for trust in [&["--cacert", &authority.ca][..], &["-k"]] {
        let args = ["ping", &target, "--tls", "-c", "1", "--format", "json"];
        let gate = ["--fail-if", "cert_days<14"];
        let ended = run(&[&args, trust, &gate[..]].concat());
        assert_eq!(ended.code, 3, "{ended:?}");
        let document = ended.json();
        assert_eq!(
            gates(&document),
            [("cert_days<14", &json!(true), &json!(-3))]
        );
    }
}

#[test]
fn a_certificate_that_was_never_seen_is_not_judged_and_the_run_fails() {
    let (_files, authority, serving) = ending_in(100);
    let (target, dead) = (localhost(&serving), nobody());
    let args = [
        "ping",
        &dead,
        &target,
        "--tls",
        "--cacert",
        &authority.ca,
        "-c",
        "1",
    ];
    let gate = ["--fail-if", "cert_days<14"];
    let ended = run(&[&args[..], &gate, &["--format", "json"]].concat());
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (1, ""),
        "one target has answered"
    );
    let document = ended.json();
    let expected = [
        ("cert_days<14", &Value::Null, &Value::Null),
        ("cert_days<14", &json!(false), &json!(99)),
    ];
    assert_eq!(gates(&document), expected);
    let text = run(&[&args[..], &gate].concat());
    let line = format!("\ngate cert_days<14   {dead}   not judged: no certificate was seen\n");
    assert!(text.out.contains(&line), "{}", text.out);
    // A breach says more.
    let ended = run(&[&args[..], &["--fail-if", "cert_days<200"]].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
}

/// A target in the clear has no certificate to be judged.
#[test]
fn gates_are_for_the_targets_in_tls() {
    let (_files, authority, serving) = ending_in(100);
    let plain = Serving::start(&["echo"]);
    let (secure, clear) = (
        format!("tls://{}", localhost(&serving)),
        format!("tcp://{}", plain.address),
    );
    let args = [
        "ping",
        &clear,
        &secure,
        "--cacert",
        &authority.ca,
        "-c",
        "1",
    ];
    let more = ["--fail-if", "cert_days<14", "--format", "json"];
    let ended = run(&[&args[..], &more].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(gates(&ended.json()).len(), 1);
}

#[test]
fn a_run_that_was_cut_short_judges_no_gate() {
    let (silent, asked) = silent_peer();
    let target = format!("tls://{silent}");
    let args = ["ping", &target, "-k", "--fail-if", "cert_days<14"];
    let child = probe(&[&args[..], &["--format", "json"]].concat())
        .spawn()
        .unwrap();
    asked.recv_timeout(super::support::DEADLINE).unwrap();
    signal(child.id(), "INT");
    let ended = super::support::end(child);
    assert_eq!((ended.code, gates(&ended.json()).len()), (130, 0));
}
