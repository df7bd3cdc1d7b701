//! `probe ping`: its objects, its summary, its exit codes.

use serde_json::{Value, json};

use super::support::{
    DISTRIBUTION, Ended, Serving, answering_peer, nobody, peer, probe, run, shape, signal,
    silent_peer,
};

fn ndjson(target: &str, more: &[&str]) -> Ended {
    run(&[&["ping", target, "--format", "ndjson", "-i", "1ms"], more].concat())
}

const ERROR: &str = "{phase:str,class:str,kind:str,sent:str,errno:str,message:str}";

#[test]
fn each_probe_is_an_object_and_the_summary_comes_last() {
    let serving = Serving::start(&["shout"]);
    let ended = ndjson(&serving.address, &["-c", "3", "--expect", "PING"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let lines = ended.lines();
    assert_eq!(lines.len(), 4);
    for (line, seq) in lines.iter().zip(1..=3) {
        assert_eq!(
            shape(line),
            "{target:str,seq:int,ok:bool,dns_ns:int,connect_ns:int,tls_ns:null,first_byte_ns:int,\
             total_ns:int,addr:str,tcp:{rtt_ns:int,retransmits:int},tls:null,error:null}"
        );
        assert_eq!((&line["seq"], &line["ok"]), (&json!(seq), &json!(true)));
        let ns = |key: &str| line[key].as_u64().unwrap();
        assert!(ns("dns_ns") + ns("connect_ns") + ns("first_byte_ns") <= ns("total_ns"));
    }
    let expected = format!(
        "{{command:str,version:str,interrupted:bool,targets:[{{target:str,sent:int,ok:int,failed:int,\
         dns_ns:{DISTRIBUTION},connect_ns:{DISTRIBUTION},tls_ns:null,first_byte_ns:{DISTRIBUTION},\
         total_ns:{DISTRIBUTION},tls:null,errors:{{}},last_error:null,reconnects:int}}],gates:[]}}"
    );
    assert_eq!(shape(&lines[3]), expected);
    assert_eq!(lines[3]["targets"][0]["ok"], 3);
    assert_eq!(lines[3]["targets"][0]["total_ns"]["count"], 3);
}

#[test]
fn json_is_one_document_and_text_says_the_same() {
    let serving = Serving::start(&["echo"]);
    for proto in ["line", "len32", "fixed:16", "resp"] {
        let args = [
            "ping",
            &serving.address,
            "-c",
            "1",
            "--proto",
            proto,
            "--format",
            "json",
        ];
        let ended = run(&args);
        assert_eq!(ended.code, 0, "{proto}: {ended:?}");
        assert_eq!(ended.json()["targets"][0]["ok"], 1, "{proto}");
    }
    let ended = run(&["ping", &serving.address, "-c", "1"]);
    assert!(
        ended.out.contains("1 sent   1 ok   0 failed"),
        "{}",
        ended.out
    );
}

#[test]
fn a_refused_target_fails_in_connect_and_exits_1() {
    let ended = ndjson(&nobody(), &["-c", "2"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
    let lines = ended.lines();
    let error = &lines[0]["error"];
    assert_eq!(shape(error), ERROR);
    let told = ["phase", "class", "kind", "sent", "errno"].map(|key| error[key].as_str().unwrap());
    assert_eq!(told, ["connect", "transient", "os", "no", "ECONNREFUSED"]);
    assert_eq!(lines[0]["ok"], false);
    assert_eq!(
        lines[2]["targets"][0]["errors"],
        json!({"transient/connect": 2})
    );
}

#[test]
fn one_target_that_answers_is_enough_for_exit_0() {
    let serving = Serving::start(&["echo"]);
    let ended = ndjson(&nobody(), &["-c", "2", &serving.address]);
    assert_eq!(ended.code, 0);
    let targets = &ended.json()["targets"];
    assert_eq!(
        (&targets[0]["failed"], &targets[1]["ok"]),
        (&json!(2), &json!(2))
    );
}

#[test]
fn a_name_that_does_not_resolve_fails_in_resolve() {
    // Without a name server the lookup may take its time: the timeout ends it, in the same phase.
    let ended = ndjson(
        "nosuch.invalid:80",
        &["-c", "1", "--connect-timeout", "500ms"],
    );
    assert_eq!(ended.code, 1);
    let probe = &ended.lines()[0];
    assert_eq!(probe["error"]["phase"], "resolve");
    assert_eq!(probe["connect_ns"], Value::Null);
}

#[test]
fn the_lookup_of_a_name_has_its_own_time() {
    let serving = Serving::start(&["echo"]);
    let (_, port) = serving.address.rsplit_once(':').unwrap();
    let ended = ndjson(&format!("tcp://localhost:{port}"), &["-c", "1"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.lines()[0]["dns_ns"].as_u64().unwrap() > 0);
}

#[test]
fn a_peer_that_never_answers_is_given_up_at_the_timeout() {
    let (address, _asked) = silent_peer();
    let ended = ndjson(&address.to_string(), &["-c", "2", "--timeout", "50ms"]);
    assert_eq!(ended.code, 1);
    let error = &ended.lines()[0]["error"];
    let told = ["phase", "class", "kind", "sent"].map(|key| error[key].as_str().unwrap());
    assert_eq!(told, ["read", "local", "deadline", "maybe"]);
    assert_eq!(error["errno"], Value::Null);
}

#[test]
fn garbage_is_a_protocol_error_and_a_wrong_reply_a_mismatch() {
    let garbage = answering_peer(b"garbage\r\n", 1).to_string();
    let ended = ndjson(&garbage, &["-c", "1", "--proto", "resp"]);
    assert_eq!(ended.code, 1);
    let error = &ended.lines()[0]["error"];
    assert_eq!(
        (&error["class"], &error["kind"]),
        (&json!("protocol"), &json!("malformed"))
    );
    let ended = ndjson(&garbage, &["-c", "1", "--expect", "/^PONG$/"]);
    assert_eq!(ended.code, 1);
    assert_eq!(ended.lines()[0]["error"]["kind"], "mismatch");
}

#[test]
fn an_answer_cut_off_is_truncated_and_its_first_byte_was_seen() {
    let address = answering_peer(b"half a li", 1).to_string();
    let ended = ndjson(&address, &["-c", "1"]);
    assert_eq!(ended.code, 1);
    let probe = &ended.lines()[0];
    assert_eq!(
        (&probe["error"]["kind"], &probe["error"]["sent"]),
        (&json!("truncated"), &json!("yes"))
    );
    assert!(probe["first_byte_ns"].is_u64());
}

/// Where the connection had ended in the turn that made it, the report said `local`, `not_open`.
#[test]
fn a_peer_that_closes_at_once_is_told_as_that() {
    let address = peer(|_, stream| drop(stream)).to_string();
    for more in [&["-c", "20"][..], &["-c", "20", "--reuse"]] {
        let ended = ndjson(&address, more);
        assert_eq!(ended.code, 1);
        for probe in &ended.lines()[..20] {
            let error = &probe["error"];
            assert_eq!(error["class"], "transient", "{probe}");
            assert!(error["kind"] == "eof" || error["kind"] == "os", "{probe}");
        }
    }
}

#[test]
fn a_kept_connection_is_connected_once_and_made_again_when_lost() {
    let serving = Serving::start(&["echo"]);
    let ended = ndjson(&serving.address, &["-c", "3", "--reuse"]);
    assert_eq!(ended.code, 0);
    let connects = ended
        .lines()
        .iter()
        .filter(|line| line["connect_ns"].is_u64())
        .count();
    assert_eq!(connects, 1);
    assert_eq!(ended.json()["targets"][0]["reconnects"], 0);

    // Its end may come after the next probe was sent: then that one is lost, and there is a pause.
    let closing = answering_peer(b"pong\n", 1).to_string();
    let ended = run(&[
        "ping", &closing, "-c", "20", "-i", "20ms", "--reuse", "--format", "ndjson",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.json()["targets"][0]["reconnects"].as_u64().unwrap() >= 1,
        "{ended:?}"
    );
}

/// Whether it is refused or lost: it was connected to in each interval.
#[test]
fn a_kept_connection_that_is_away_is_tried_for_with_backoff_and_each_probe_is_told() {
    let dropping = answering_peer(b"", 0).to_string();
    for address in [nobody(), dropping] {
        let tries = |more: &[&str]| {
            let ended = ndjson(&address, &[&["-c", "200"], more].concat());
            let mut lines = ended.lines();
            let summary = lines.pop().unwrap();
            assert_eq!(summary["targets"][0]["failed"], 200, "{ended:?}");
            assert!((1..).zip(&lines).all(|(seq, line)| line["seq"] == seq));
            assert!(lines.iter().all(|line| line["error"].is_object()));
            lines.iter().filter(|it| it["dns_ns"].is_u64()).count()
        };
        assert_eq!(tries(&[]), 200);
        let tries = tries(&["--reuse"]);
        assert!((1..100).contains(&tries), "{tries} of 200");
    }
}

/// Its probes are not failed in a loop meanwhile: each is due when it may be made.
#[test]
fn without_an_interval_a_kept_connection_that_is_away_is_tried_for_by_each_probe() {
    let ended = run(&[
        "ping",
        &nobody(),
        "-c",
        "3",
        "-i",
        "0",
        "--reuse",
        "--format",
        "ndjson",
    ]);
    let lines = ended.lines();
    assert_eq!(lines.len(), 4, "{ended:?}");
    assert!(
        lines[..3].iter().all(|line| line["dns_ns"].is_u64()),
        "{ended:?}"
    );
}

#[test]
fn a_signal_ends_it_with_a_partial_report() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (address, asked) = silent_peer();
        let child = probe(&["ping", &address.to_string(), "--format", "json"])
            .spawn()
            .unwrap();
        asked.recv_timeout(super::support::DEADLINE).unwrap();
        signal(child.id(), name);
        let ended = super::support::end(child);
        assert_eq!(ended.code, code);
        assert_eq!(ended.json()["interrupted"], true);
    }
}
