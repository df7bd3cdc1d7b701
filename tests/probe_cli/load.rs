//! `probe load`: the document, the exact number of requests, and every bad day's exit code.

use serde_json::{Value, json};

use super::support::{
    DEADLINE, DISTRIBUTION, Ended, Serving, answering_peer, caught, end, nobody, probe, run, shape,
    signal, silent_peer,
};

fn load(args: &[&str]) -> Ended {
    run(&[&["load", "--format", "json"], args].concat())
}

#[test]
fn without_a_target_it_loads_its_own_echo_server() {
    let ended = load(&["-c", "4", "-P", "2", "-n", "1k"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let document = ended.json();
    let latency = format!("{{response:{DISTRIBUTION},service:{DISTRIBUTION},lag:{DISTRIBUTION}}}");
    assert_eq!(
        shape(&document),
        format!(
            "{{command:str,version:str,target:str,proto:str,interrupted:bool,\
             connections:{{asked:int,established:int}},pipeline:int,duration_ns:int,warmup_ns:int,\
             requests:{{sent:int,ok:int,failed:int,timed_out:int,mismatched:int}},\
             rate:{{asked:null,achieved:float}},bytes:{{sent:int,received:int}},latency_ns:{latency},\
             errors:{{}},reconnects:int,away_ns:int,tcp:{{rtt_ns:int,retransmits:int,segments_out:int}},tls:null,\
             client:{{cpu_user_ns:int,cpu_sys_ns:int,max_rss_bytes:int}},gates:[],verdict:str,reasons:[]}}"
        )
    );
    let counts = json!({"sent": 1000, "ok": 1000, "failed": 0, "timed_out": 0, "mismatched": 0});
    assert_eq!(document["requests"], counts);
    assert_eq!(document["bytes"], json!({"sent": 5000, "received": 5000}));
    assert_eq!(
        document["connections"],
        json!({"asked": 4, "established": 4})
    );
    assert_eq!(document["latency_ns"]["response"]["count"], 1000);
    assert_eq!(document["latency_ns"]["lag"]["max"], 0);
    assert_eq!(
        (&document["verdict"], &document["errors"]),
        (&json!("valid"), &json!({}))
    );
}

#[test]
fn every_protocol_and_payload_goes_round() {
    let file = std::env::temp_dir().join(format!("probe-payload-{}", std::process::id()));
    std::fs::write(&file, "from a file").unwrap();
    for args in [
        &["--proto", "len32", "--size", "1KiB"][..],
        &["--proto", "fixed:64"],
        &["--proto", "resp", "--size", "100"],
        &["--send", r"caf\xc3\xa9\r\n", "--expect", "café"],
        &["--send-file", file.to_str().unwrap(), "--expect", "/^from/"],
        &["--size", "3MiB", "-n", "3"],
        &[
            "--peek",
            "never",
            "--nodelay",
            "off",
            "--spin",
            "20us",
            "--cpu",
            "0",
        ],
    ] {
        let count = if args.contains(&"-n") {
            &[][..]
        } else {
            &["-n", "50"]
        };
        let ended = load(&[args, count].concat());
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        assert_eq!(ended.json()["requests"]["failed"], 0, "{args:?}");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_duration_is_kept_and_a_warm_up_is_dropped() {
    let ended = load(&["-d", "200ms", "-w", "50ms", "-c", "2"]);
    assert_eq!(ended.code, 0);
    let document = ended.json();
    assert!(document["duration_ns"].as_u64().unwrap() >= 200_000_000);
    let (sent, ok) = (&document["requests"]["sent"], &document["requests"]["ok"]);
    assert_eq!(sent, ok);
    assert_eq!(&document["latency_ns"]["service"]["count"], ok);
}

#[test]
fn ndjson_has_an_object_for_each_interval_and_the_document_last() {
    let ended = run(&[
        "load",
        "-d",
        "300ms",
        "--interval",
        "100ms",
        "--format",
        "ndjson",
    ]);
    assert_eq!(ended.code, 0);
    let mut lines = ended.lines();
    let document = lines.pop().unwrap();
    assert_eq!(document["command"], "load");
    assert!(!lines.is_empty());
    let of_intervals: u64 = lines
        .iter()
        .map(|line| line["requests"]["ok"].as_u64().unwrap())
        .sum();
    assert!(of_intervals <= document["requests"]["ok"].as_u64().unwrap());
    let response = &document["latency_ns"]["response"];
    assert_eq!(response["count"], document["requests"]["ok"]);
    for (line, number) in lines.iter().zip(1u64..) {
        assert_eq!(line["interval"], number);
        assert!(line["end_ns"].as_u64() > line["start_ns"].as_u64());
    }
}

#[test]
fn the_text_has_its_columns_and_the_file_the_document() {
    let file = std::env::temp_dir().join(format!("probe-report-{}", std::process::id()));
    let ended = run(&["load", "-n", "100", "-o", file.to_str().unwrap()]);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(document["requests"]["ok"], 100);
    let starts = [
        "target 127.0.0.1:",
        "rate   ",
        "        ",
        "response",
        "service ",
        "lag     ",
        "errors 0   timeouts 0",
        "tcp    rtt ",
        "VALID",
    ];
    assert_eq!(ended.out.lines().count(), starts.len(), "{}", ended.out);
    for (line, start) in ended.out.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(
        ended
            .out
            .contains("      p50      p90      p99    p99.9      max\n"),
        "{}",
        ended.out
    );
}

#[test]
fn the_file_gets_the_document_though_stdout_is_full() {
    let file = std::env::temp_dir().join(format!("probe-full-{}", std::process::id()));
    let mut shell = std::process::Command::new("sh");
    let script = "exec \"$0\" load -n 10 -o \"$1\" >/dev/full";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe")]);
    let ended = end(caught(shell).arg(&file).spawn().unwrap());
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert_eq!(document["requests"]["ok"], 10);
}

/// It went on with the load to its end.
#[test]
fn when_nobody_reads_the_intervals_any_more_the_load_ends() {
    let mut shell = std::process::Command::new("sh");
    let script = "\"$0\" load -d 1m --interval 10ms --format ndjson | head -n 1";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe")]);
    let ended = end(caught(shell).spawn().unwrap());
    assert_eq!(
        (ended.lines().len(), ended.err.as_str()),
        (1, ""),
        "{ended:?}"
    );
}

#[test]
fn a_target_that_refuses_is_invalid_and_exits_1() {
    let ended = load(&[&nobody(), "-c", "3", "-d", "10s"]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    assert_eq!(document["connections"]["established"], 0);
    assert_eq!(document["errors"], json!({"transient/connect": 3}));
    assert_eq!(document["verdict"], "invalid");
    assert!(
        document["reasons"].to_string().contains("refused"),
        "{document}"
    );
}

/// It read `0ns`, the best latency there is.
#[test]
fn where_nothing_was_measured_stands_a_dash() {
    let ended = run(&["load", &nobody()]);
    let response = ended.out.lines().find(|line| line.starts_with("response"));
    assert_eq!(
        response,
        Some("response        -        -        -        -        -   from the intended send time")
    );
    assert!(ended.out.contains("rtt -"), "{}", ended.out);
}

#[test]
fn a_peer_that_never_answers_times_out_and_ends() {
    let (address, _asked) = silent_peer();
    let ended = load(&[
        &address.to_string(),
        "-c",
        "2",
        "-P",
        "2",
        "-d",
        "200ms",
        "--timeout",
        "50ms",
    ]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    assert!(
        document["requests"]["timed_out"].as_u64().unwrap() >= 4,
        "{document}"
    );
    assert_eq!(
        document["requests"]["sent"],
        document["requests"]["timed_out"]
    );
    assert_eq!(document["verdict"], "invalid");
}

#[test]
fn lost_connections_are_made_again_and_counted() {
    let address = answering_peer(b"pong\n", 20).to_string();
    let ended = load(&[&address, "-n", "50"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let document = ended.json();
    assert!(document["reconnects"].as_u64().unwrap() >= 2, "{document}");
    assert_eq!(document["requests"]["sent"], 50);
}

#[test]
fn garbage_fails_requests_by_class_and_phase_without_a_hot_loop() {
    let address = answering_peer(b"garbage\r\n", 1).to_string();
    let ended = load(&[&address, "--proto", "resp", "-d", "300ms"]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    let failed = document["requests"]["failed"].as_u64().unwrap();
    assert!((1..1000).contains(&failed), "{document}");
    assert_eq!(document["errors"]["protocol/read"], failed);
}

#[test]
fn replies_that_do_not_match_are_no_successes() {
    let ended = load(&["-n", "20", "--expect", "pong"]);
    assert_eq!(ended.code, 1);
    let document = ended.json();
    assert_eq!(document["requests"]["mismatched"], 20);
    assert_eq!(document["requests"]["ok"], 0);
}

/// The CPU time of the warm-up was set against no time at all: `client core 26679 %`.
#[test]
fn a_signal_in_the_warm_up_leaves_nothing_measured() {
    let (address, asked) = silent_peer();
    let args = ["load", &address.to_string(), "-w", "1h", "--format", "json"];
    let child = probe(&args).spawn().unwrap();
    asked.recv_timeout(DEADLINE).unwrap();
    signal(child.id(), "INT");
    let ended = end(child);
    assert_eq!(ended.code, 130);
    let document = ended.json();
    assert_eq!(document["duration_ns"], 0);
    assert_eq!(document["requests"]["sent"], 0);
    assert_eq!(document["bytes"], json!({"sent": 0, "received": 0}));
}

#[test]
fn fewer_connections_than_asked_make_it_invalid() {
    let serving = Serving::start(&["echo"]);
    let mut shell = std::process::Command::new("sh");
    let script = "ulimit -n 40; exec \"$0\" load \"$1\" -c 100 -n 1k --format json";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe"), &serving.address]);
    let ended = end(caught(shell).spawn().unwrap());
    assert_eq!(ended.code, 4, "{ended:?}");
    let document = ended.json();
    let established = document["connections"]["established"].as_u64().unwrap();
    assert!((1..100).contains(&established), "{document}");
    assert_eq!(document["verdict"], "invalid");
    assert!(
        document["reasons"][0]
            .as_str()
            .unwrap()
            .contains("of 100 connections")
    );
}

/// The first requests of a window were all handed over in one go: with far more connections asked for than there are
/// descriptors the loop neither kept -d nor saw a signal for minutes.
#[test]
fn many_connections_that_cannot_be_made_do_not_keep_the_loop() {
    let mut shell = std::process::Command::new("sh");
    let script =
        "ulimit -n 64; exec \"$0\" load \"$1\" -c 200k -d 1ms --timeout 100ms --format json";
    let (address, _asked) = silent_peer();
    let address = address.to_string();
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe"), &address]);
    let ended = end(caught(shell).spawn().unwrap());
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.json()["requests"]["sent"].as_u64().unwrap() < 200_000);
}

#[test]
fn a_signal_ends_it_with_a_partial_report() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (address, asked) = silent_peer();
        let args = ["load", &address.to_string(), "-d", "1h", "--format", "json"];
        let child = probe(&args).spawn().unwrap();
        asked.recv_timeout(DEADLINE).unwrap();
        signal(child.id(), name);
        let ended = end(child);
        assert_eq!(ended.code, code);
        assert_eq!(ended.json()["interrupted"], true);
    }
}

/// Every protocol against the program's own echo server, which returns each request as its reply.
#[test]
fn each_protocol_is_spoken_with_its_smallest_request_and_with_a_payload() {
    for proto in [
        "line",
        "len16",
        "len32",
        "delim:\\r\\n",
        "delim:;",
        "fixed:10",
        "resp",
    ] {
        for payload in [&[][..], &["--size", "10"]] {
            let mut args = vec![
                "load", "-n", "100", "-P", "4", "--proto", proto, "--format", "json",
            ];
            args.extend(payload);
            let ended = run(&args);
            assert_eq!(ended.code, 0, "{ended:?}");
            let document = ended.json();
            assert_eq!(document["requests"]["ok"], 100, "{proto} {payload:?}");
            assert_eq!(document["verdict"], "valid");
        }
    }
}

#[test]
fn a_load_comes_from_the_address_it_was_bound_to() {
    let bound = run(&[
        "load",
        "-n",
        "10",
        "--bind",
        "127.0.0.4",
        "--user-timeout",
        "3s",
    ]);
    assert_eq!(bound.code, 0, "{bound:?}");
    let refused = run(&["load", "-n", "10", "--bind", "192.0.2.1"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let told = format!("{}{}", refused.out, refused.err);
    assert!(told.contains("bind"), "{refused:?}");
}

#[test]
fn a_connection_for_each_request_is_made_and_ended_and_counted() {
    let ended = load(&["-c", "3", "-n", "200", "--per-request"]);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    let document = ended.json();
    assert_eq!(document["requests"]["ok"], 200, "{document}");
    assert_eq!(
        document["connections"],
        json!({"asked": 3, "established": 200})
    );
    assert_eq!(document["reconnects"], 0);
    let ended = run(&["load", "-n", "10", "--per-request"]);
    assert!(
        ended.out.contains("10 connections, one a request"),
        "{ended:?}"
    );
}
