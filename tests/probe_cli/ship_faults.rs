//! `probe ship` on bad days: nobody there, a sink that never ends, a signal, an input or a file that fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::shipping::{endless_sink, fates, reading_sink, scratch, ship, ship_json, start, until};
use super::support::{DEADLINE, Serving, end, nobody, signal};

#[test]
fn lines_for_nobody_are_undelivered_and_without_a_line_nobody_is_a_failure() {
    let nobody = nobody();
    let file = scratch("nobody");
    let flags = [
        &nobody,
        "--drain",
        "50ms",
        "--uncertain",
        file.to_str().unwrap(),
    ];
    let ended = ship_json(&flags, b"one\ntwo\nthree");
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 0, 3, 0]);
    assert_eq!(ended.json()["verdict"], "undelivered");
    assert!(
        ended.err.contains(" WARN ") && ended.err.contains("refused"),
        "{ended:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1-3 undelivered\n");
    std::fs::remove_file(&file).unwrap();

    let ended = ship(&[&nobody], b"");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("\nUNREACHABLE\n"), "{ended:?}");
    let (second, third) = (super::support::nobody(), super::support::nobody());
    let ended = ship(&[&nobody, &second, &third], b"");
    assert_eq!(ended.code, 1, "{ended:?}");
    for told in [&nobody, &second, &third] {
        assert!(
            ended.err.contains(&format!("{told}: ")),
            "{told}: {ended:?}"
        );
    }
    let (sink, _brought) = reading_sink();
    for targets in [&[&sink][..], &[&nobody, &second, &sink]] {
        let targets: Vec<&str> = targets.iter().map(|it| it.as_str()).collect();
        let ended = ship_json(&targets, b"");
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.json()["verdict"], "delivered");
    }
}

/// The sink behind it gets a connection an epoch meanwhile.
#[test]
fn a_sink_that_is_gone_is_warned_of_once_while_another_stands() {
    let (sink, _brought) = reading_sink();
    let flags = ["--commit-every", "1b", "-v"];
    let mut child = start(&[&[nobody().as_str(), &sink], &flags[..]].concat());
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        while stdin.write_all(b"line\n").is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let log = BufReader::new(child.stderr.take().unwrap());
    let lost = log.lines().map(Result::unwrap);
    let lost: Vec<_> = lost.filter(|it| it.contains("refused")).take(3).collect();
    assert!(lost[0].contains(" WARN "), "{lost:?}");
    assert!(
        lost[1].contains(" INFO ") && lost[2].contains(" INFO "),
        "{lost:?}"
    );
    signal(child.id(), "INT");
    assert_eq!(end(child).code, 130);
    feeding.join().unwrap();
}

/// It can be connected to each time.
#[test]
fn a_sink_that_does_not_speak_relp_is_warned_of_once() {
    let serving = Serving::start(&["echo"]);
    let flags = [&serving.address, "--framing", "relp", "-v"];
    let mut child = start(&flags);
    child.stdin.as_mut().unwrap().write_all(b"line\n").unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let lost = log.lines().map(Result::unwrap);
    let lost: Vec<_> = lost.filter(|it| it.contains("malformed")).take(3).collect();
    assert!(lost[0].contains(" WARN "), "{lost:?}");
    assert!(
        lost[1].contains(" INFO ") && lost[2].contains(" INFO "),
        "{lost:?}"
    );
    signal(child.id(), "KILL");
    assert_eq!(end(child).code, -1);
}

/// It has read them, and nothing proves it.
#[test]
fn lines_of_which_the_sink_never_says_that_it_has_read_them_are_uncertain() {
    let (sink, _brought) = endless_sink();
    let file = scratch("uncertain");
    let flags = [
        &sink,
        "--timeout",
        "300ms",
        "--uncertain",
        file.to_str().unwrap(),
    ];
    let ended = ship_json(&flags, b"one\ntwo\n");
    assert_eq!(ended.code, 5, "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 2, 0, 0]);
    assert_eq!(ended.json()["verdict"], "uncertain");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1-2 uncertain\n");
    std::fs::remove_file(&file).unwrap();
}

/// The pipe stays open: only the signal ends it.
#[test]
fn a_signal_ends_reading_and_what_was_taken_is_committed() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let dump = scratch(&format!("dump-{name}"));
        let serving = Serving::start(&["sink", "--dump", dump.to_str().unwrap()]);
        let flags = [&serving.address, "--framing", "lf", "--commit-every", "1h"];
        let mut child = start(&[&flags[..], &["--format", "json"]].concat());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"one\ntwo\nhalf of").unwrap();
        until(|| std::fs::read(&dump).is_ok_and(|it| it == b"one\ntwo\n"));
        signal(child.id(), name);
        let ended = end(child);
        drop(stdin);
        assert_eq!(ended.code, code, "{ended:?}");
        assert_eq!(fates(&ended.json()), [2, 0, 0, 0], "{ended:?}");
        assert_eq!(ended.json()["interrupted"], true);
        assert!(
            ended.err.contains("first 7 bytes are not shipped"),
            "{ended:?}"
        );
        assert_eq!(serving.terminate().code, 0);
        assert_eq!(std::fs::read(&dump).unwrap(), b"one\ntwo\n");
        std::fs::remove_file(&dump).unwrap();
    }
}

#[test]
fn what_a_signal_leaves_is_settled_within_the_drain() {
    let (sink, brought) = endless_sink();
    let child = {
        let mut child = start(&[&sink, "--drain", "100ms", "--format", "json"]);
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(b"one\n").unwrap();
        child
    };
    brought.recv_timeout(DEADLINE).unwrap();
    signal(child.id(), "INT");
    let ended = end(child);
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 1, 0, 0], "{ended:?}");
    assert_eq!(ended.json()["verdict"], "uncertain");
}

#[test]
fn a_second_signal_aborts() {
    let (sink, brought) = endless_sink();
    let mut child = start(&[&sink, "--drain", "1h", "--timeout", "1h", "-v"]);
    child.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    brought.recv_timeout(DEADLINE).unwrap();
    signal(child.id(), "INT");
    signal(child.id(), "TERM");
    let ended = end(child);
    assert!(ended.code == 130 || ended.code == 143, "{ended:?}");
    assert_eq!(ended.out, "");
}

#[test]
fn an_input_that_fails_on_the_way_is_told_after_what_became_of_the_rest() {
    let (sink, _brought) = reading_sink();
    let ended = ship_json(&[&sink, "--input", "/"], b"");
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(
        ended.err.contains("could not be read to its end"),
        "{ended:?}"
    );
    assert_eq!(fates(&ended.json()), [0, 0, 0, 0]);
    let ended = ship_json(
        &[&sink, "--uncertain", "/dev/full", "--max-line", "1"],
        b"ab\n",
    );
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(ended.err.contains("cannot write --uncertain"), "{ended:?}");
    assert_eq!(fates(&ended.json()), [0, 0, 0, 1]);
}

/// It takes far longer than the drain, which counts from when something last moved.
#[test]
fn a_slow_sink_is_waited_for_as_long_as_something_moves() {
    let lines = format!("{}\n", "z".repeat(999)).repeat(3_000);
    let sink = slow_sink();
    let flags = ["--framing", "lf", "--ack", "kernel", "--drain", "1s"];
    let ended = ship_json(&[&[sink.as_str()][..], &flags].concat(), lines.as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
    let document = ended.json();
    assert_eq!(fates(&document), [3_000, 0, 0, 0]);
    assert!(
        document["elapsed_ns"].as_u64() > Some(1_500_000_000),
        "{document}"
    );
}

/// Reads 16 KiB at a time with pauses, from a small buffer: 3 MB in two seconds.
fn slow_sink() -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 << 10).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(8).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 16 << 10];
                while let Ok(1..) = stream.read(&mut buffer) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
    address.to_string()
}

/// The input has ended, and the sink takes its time: the signal ends what would go on for minutes.
#[test]
fn a_signal_ends_the_wait_for_a_slow_sink_too() {
    let sink = slow_sink();
    let flags = [
        &sink,
        "--framing",
        "lf",
        "--drain",
        "300ms",
        "-v",
        "--format",
        "json",
    ];
    let mut child = start(&flags);
    let mut stdin = child.stdin.take().unwrap();
    let line = format!("{}\n", "z".repeat(99_999));
    stdin.write_all(line.repeat(400).as_bytes()).unwrap();
    drop(stdin);
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut log = stderr.lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains("the input has ended")));
    signal(child.id(), "INT");
    let ended = end(child);
    assert_eq!(ended.code, 130, "{ended:?}");
    let [_, _, undelivered, _] = fates(&ended.json());
    assert!(undelivered > 0, "{ended:?}");
}
