//! `probe load` through the death of its server, a process that is killed: it goes on, brings its connections back, and
//! accounts for each request.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use super::running::Running;
use super::support::{Serving, run};

fn count(requests: &Value, key: &str) -> u64 {
    requests[key].as_u64().unwrap()
}

/// Requests that have ended, of a document.
fn ended(document: &Value) -> u64 {
    let ends = ["ok", "failed", "timed_out", "mismatched"];
    ends.map(|key| count(&document["requests"], key))
        .iter()
        .sum()
}

/// What is counted by class and phase.
fn accounted(document: &Value) -> u64 {
    let errors = document["errors"].as_object().unwrap();
    errors.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn a_server_that_is_killed_and_started_again_is_away_for_so_long_and_each_request_is_accounted_for()
{
    let serving = Serving::start(&["echo"]);
    let address = serving.address.clone();
    let load = ["load", &address, "-c", "4", "-P", "2", "-d", "1h"];
    let mut running = Running::start(&[&load[..], &["--interval", "20ms"]].concat());
    let answers = |line: &Value| count(&line["requests"], "ok") > 0;
    running.until("answers", answers);
    // SIGKILL.
    drop(serving);
    // Eight were under way: what fails beyond them has met nobody at the address.
    let failed = Cell::new(0);
    running.until("refusals", |line| {
        failed.set(failed.get() + count(&line["requests"], "failed"));
        failed.get() > 8
    });
    let _serving = Serving::start(&["echo", "--listen", &address]);
    running.until("answers again", answers);
    let outcome = running.interrupt();
    assert_eq!(outcome.code, 130, "{outcome:?}");
    let document = outcome.json();
    let sent = count(&document["requests"], "sent");
    assert!((sent - 8..=sent).contains(&ended(&document)), "{document}");
    let failed = count(&document["requests"], "failed");
    let timed_out = count(&document["requests"], "timed_out");
    assert_eq!(accounted(&document), failed + timed_out, "{document}");
    for key in document["errors"].as_object().unwrap().keys() {
        let expected = ["transient/connect", "transient/read", "transient/write"];
        assert!(expected.contains(&key.as_str()), "{document}");
    }
    assert!(
        document["errors"]["transient/connect"].is_u64(),
        "{document}"
    );
    assert!(document["reconnects"].as_u64() >= Some(1), "{document}");
    assert!(document["away_ns"].as_u64() > Some(0), "{document}");
    assert_eq!(document["verdict"], "valid", "it came back: {document}");
}

#[test]
fn a_server_that_is_killed_for_good_makes_the_measurement_invalid_and_the_accounts_add_up() {
    let serving = Serving::start(&["echo"]);
    let address = serving.address.clone();
    let load = ["load", &address, "-c", "3", "-d", "1500ms"];
    let mut running = Running::start(&[&load[..], &["--interval", "20ms"]].concat());
    running.until("answers", |line| count(&line["requests"], "ok") > 0);
    drop(serving);
    let outcome = running.end();
    // The library's warning that the server is down, and no other word.
    assert_eq!(outcome.code, 4, "{}", outcome.err);
    let is_warning = |line: &str| line.contains(" WARN ") && line.contains(" is down: ");
    assert!(outcome.err.lines().all(is_warning), "{}", outcome.err);
    let document = outcome.json();
    assert_eq!(count(&document["requests"], "sent"), ended(&document));
    assert_eq!(document["verdict"], "invalid");
    let reasons = document["reasons"].to_string();
    let told = [
        "no connection stood at the end",
        "away for the last",
        "refused",
    ];
    assert!(
        told.iter().all(|words| reasons.contains(words)),
        "{reasons}"
    );
    assert!(document["away_ns"].as_u64() > Some(0), "{document}");
}

/// A server of one connection that answers so often, and is then gone.
fn leaving_peer(answers: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..answers {
            let n = stream.read(&mut [0; 4096]).unwrap();
            assert!(n > 0, "it ended early");
            stream.write_all(b"pong\n").unwrap();
        }
    });
    address
}

#[test]
fn the_text_accounts_by_class_and_phase_too_and_tells_how_long_the_server_was_away() {
    let address = leaving_peer(10).to_string();
    let outcome = run(&["load", &address, "-d", "500ms"]);
    assert_eq!(outcome.code, 4, "{outcome:?}");
    let mut lines = outcome
        .out
        .lines()
        .skip_while(|it| !it.starts_with("errors "));
    let mut next = || lines.next().unwrap_or_default();
    let errors: u64 = next().split_whitespace().nth(1).unwrap().parse().unwrap();
    let mut accounted = 0;
    let mut after = next();
    while let Some((key, count)) = after
        .trim()
        .split_once(' ')
        .filter(|(key, _)| key.contains('/'))
    {
        assert!(key.starts_with("transient/"), "{}", outcome.out);
        accounted += count.parse::<u64>().unwrap();
        after = next();
    }
    assert_eq!(errors, accounted, "{}", outcome.out);
    assert!(
        after.trim().starts_with("last loss: Connection refused"),
        "{after}"
    );
    assert!(
        next().trim().starts_with("the server was away for "),
        "{}",
        outcome.out
    );
    let last = outcome.out.lines().last().unwrap();
    assert!(
        last.starts_with("INVALID: no connection stood at the end"),
        "{last}"
    );
}
