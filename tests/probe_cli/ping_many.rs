//! `probe ping` of many targets over one loop: each goes its own way, and one that hangs costs the others nothing.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::running::Running;
use super::support::{Serving, nobody, run, silent_peer};

/// An address that does not answer a SYN: its queue of connections to be accepted is full.
struct Unanswering {
    address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<Socket>,
}

impl Unanswering {
    fn new() -> Unanswering {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        // One is queued; who comes then waits for an answer that the kernel drops.
        let queued = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        });
        Unanswering {
            address,
            _queued: queued.collect(),
            _listener: listener,
        }
    }
}

/// The lines of one target.
fn of<'a>(lines: &'a [Value], target: &str) -> Vec<&'a Value> {
    let is_its = |line: &&Value| line["target"] == target;
    lines.iter().filter(is_its).collect()
}

#[test]
fn a_target_that_hangs_delays_no_other() {
    let serving = Serving::start(&["echo"]);
    let unanswering = Unanswering::new();
    let (silent, asked) = silent_peer();
    let (dead, hung) = (unanswering.address.to_string(), silent.to_string());
    let (live, refusing) = (serving.address.as_str(), nobody());
    let targets = ["ping", &dead, &hung, live, &refusing, "-i", "1ms"];
    let never = ["--timeout", "1h", "--connect-timeout", "1h"];
    let mut running = Running::start(&[&targets[..], &never].concat());
    for target in [live, &refusing] {
        running.until("its hundredth probe", |line| {
            line["target"] == target && line["seq"].as_u64() >= Some(100)
        });
    }
    asked.recv_timeout(super::support::DEADLINE).unwrap();
    let ended = running.interrupt();
    assert_eq!(ended.code, 130, "{ended:?}");
    let lines = ended.lines();
    for hanging in [&dead, &hung] {
        assert_eq!(of(&lines, hanging), [] as [&Value; 0]);
    }
    for (target, ok) in [(live, true), (&refusing, false)] {
        for (line, seq) in of(&lines, target).iter().zip(1..) {
            assert_eq!((&line["seq"], &line["ok"]), (&seq.into(), &ok.into()));
        }
    }
    let summary = &lines.last().unwrap()["targets"];
    let told = summary.as_array().unwrap().iter();
    let told: Vec<_> = told.map(|target| &target["target"]).collect();
    assert_eq!(told, [&dead, &hung, live, &refusing], "in the order asked");
    assert_eq!(summary[0]["sent"], 0);
    assert_eq!(summary[1]["sent"], 0);
    assert!(summary[2]["ok"].as_u64() >= Some(100));
    assert!(summary[3]["failed"].as_u64() >= Some(100));
}

#[test]
fn each_target_has_its_own_deadline() {
    let unanswering = Unanswering::new();
    let (silent, _asked) = silent_peer();
    let (dead, hung) = (unanswering.address.to_string(), silent.to_string());
    let ended = run(&[
        "ping",
        &dead,
        &hung,
        "-c",
        "3",
        "-i",
        "1ms",
        "--timeout",
        "100ms",
        "--format",
        "ndjson",
    ]);
    assert_eq!(ended.code, 1, "nothing answered: {ended:?}");
    let lines = ended.lines();
    for (target, phase) in [(&dead, "connect"), (&hung, "read")] {
        let probes = of(&lines, target);
        assert_eq!(probes.len(), 3, "{target}: {ended:?}");
        for probe in probes {
            let error = &probe["error"];
            let told = ["phase", "class", "kind"].map(|key| error[key].as_str().unwrap());
            assert_eq!(told, [phase, "local", "deadline"], "{probe}");
        }
    }
}

#[test]
fn hundreds_of_targets_are_probed_side_by_side() {
    let serving = Serving::start(&["echo", "--listen", "0.0.0.0:0"]);
    let (_, port) = serving.address.rsplit_once(':').unwrap();
    let targets: Vec<String> = (0..300)
        .map(|number| format!("127.0.{}.{}:{port}", 1 + number / 100, 1 + number % 100))
        .collect();
    let mut args = vec!["ping", "-c", "3", "-i", "20ms", "--format", "json"];
    args.extend(targets.iter().map(String::as_str));
    let ended = run(&args);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let document = ended.json();
    let told = document["targets"].as_array().unwrap();
    assert_eq!(told.len(), 300);
    for (summary, target) in told.iter().zip(&targets) {
        assert_eq!(summary["target"], **target);
        assert_eq!(
            (&summary["sent"], &summary["ok"]),
            (&3.into(), &3.into()),
            "{summary}"
        );
    }
}

#[test]
fn the_text_names_the_target_of_each_probe_and_sums_each_up() {
    let serving = Serving::start(&["echo"]);
    let refusing = nobody();
    let ended = run(&["ping", &serving.address, &refusing, "-c", "2", "-i", "1ms"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for target in [&serving.address, &refusing] {
        let probes = ended.out.lines().filter(|line| {
            let rest = line.strip_prefix(target.as_str()).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with("seq "))
        });
        assert_eq!(probes.count(), 2, "{}", ended.out);
    }
    let live = format!("\n{}   2 sent   2 ok   0 failed\n", serving.address);
    let dead = format!("\n{refusing}   2 sent   0 ok   2 failed\ntransient/connect    2\n");
    assert!(ended.out.contains(&live), "{}", ended.out);
    assert!(ended.out.contains(&dead), "{}", ended.out);
}

/// What a kept connection loses, the next probe brings back.
#[test]
fn a_kept_connection_comes_back_with_its_server_and_the_other_target_sees_nothing() {
    let (serving, other) = (Serving::start(&["echo"]), Serving::start(&["echo"]));
    let address = serving.address.clone();
    let mut running = Running::start(&["ping", &address, &other.address, "--reuse", "-i", "5ms"]);
    let answers = |line: &Value, ok: bool| line["target"] == *address && line["ok"] == ok;
    running.until("an answer", |line| answers(line, true));
    drop(serving);
    running.until("a refusal", |line| {
        answers(line, false) && line["error"]["errno"] == "ECONNREFUSED"
    });
    let _serving = Serving::start(&["echo", "--listen", &address]);
    running.until("an answer again", |line| answers(line, true));
    let ended = running.interrupt();
    let summary = &ended.json()["targets"];
    assert_eq!(summary[0]["reconnects"], 1, "{ended:?}");
    assert_eq!(
        (&summary[1]["failed"], &summary[1]["reconnects"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn exit_1_is_for_runs_in_which_no_target_answered() {
    let refusing = [nobody(), nobody()];
    let ended = run(&["ping", &refusing[0], &refusing[1], "-c", "1"]);
    assert_eq!((ended.code, ended.err.as_str()), (1, ""));
}
