//! `probe serve`: its first line, its drain, its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::support::{DEADLINE, Serving, run, signal};

fn connect(serving: &Serving) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(&serving.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    BufReader::new(stream)
}

/// Sends bytes and reads one line: so the server has read what was sent with it.
fn ask(stream: &mut BufReader<TcpStream>, bytes: &[u8]) -> String {
    stream.get_mut().write_all(bytes).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line
}

#[test]
fn shout_answers_and_drains_idle_connections_with_exit_0() {
    let serving = Serving::start(&["shout"]);
    let mut stream = connect(&serving);
    assert_eq!(ask(&mut stream, b"hello\r\n"), "HELLO\n");
    signal(serving.pid(), "TERM");
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    drop(stream);
    let ended = serving.end();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn sigint_drains_as_sigterm_does() {
    let serving = Serving::start(&["echo"]);
    signal(serving.pid(), "INT");
    assert_eq!(serving.end().code, 0);
}

#[test]
fn a_connection_that_had_to_be_forced_makes_exit_1() {
    let serving = Serving::start(&["shout", "--drain", "50ms"]);
    let mut stream = connect(&serving);
    assert_eq!(ask(&mut stream, b"a\nunfinished"), "A\n");
    let ended = serving.terminate();
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(ended.err.contains("--drain"), "{ended:?}");
}

/// Answers that nobody has read yet, and a line in its midst: both are finished before the process ends.
#[test]
fn a_drain_finishes_answers_that_wait_and_a_line_that_has_begun() {
    const LINES: usize = 4_000;
    let serving = Serving::start(&["shout", "--drain", "1h", "--idle-timeout", "1h"]);
    let (mut busy, mut midway) = (connect(&serving), connect(&serving));
    let asked = "a line that is shouted back\n".repeat(LINES);
    busy.get_mut().write_all(asked.as_bytes()).unwrap();
    let mut first = String::new();
    busy.read_line(&mut first).unwrap();
    assert_eq!(ask(&mut midway, b"a\nbegun "), "A\n");

    signal(serving.pid(), "TERM");
    let mut rest = String::new();
    busy.read_to_string(&mut rest).unwrap();
    assert_eq!((first + &rest).lines().count(), LINES);
    drop(busy);
    assert_eq!(ask(&mut midway, b"and ended\n"), "BEGUN AND ENDED\n");
    assert_eq!(midway.read(&mut [0; 1]).unwrap(), 0);
    drop(midway);
    let ended = serving.end();
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
}

#[test]
fn a_second_signal_aborts_a_drain() {
    let serving = Serving::start(&["shout", "--drain", "1h", "--idle-timeout", "1h"]);
    let mut stream = connect(&serving);
    assert_eq!(ask(&mut stream, b"a\nunfinished"), "A\n");
    signal(serving.pid(), "INT");
    signal(serving.pid(), "TERM");
    let code = serving.end().code;
    assert!(code == 130 || code == 143, "{code}");
}

#[test]
fn a_sink_keeps_its_lines_in_the_dump() {
    let path = std::env::temp_dir().join(format!("probe-dump-{}", std::process::id()));
    let serving = Serving::start(&["sink", "--dump", path.to_str().unwrap()]);
    let mut stream = connect(&serving);
    stream.get_mut().write_all(b"one\ntwo\n").unwrap();
    stream
        .get_mut()
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(serving.terminate().code, 0);
    let dump = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(dump, "one\ntwo\n");
}

#[test]
fn limits_end_connections_and_not_the_server() {
    let serving = Serving::start(&["shout", "--max-line", "8", "--idle-timeout", "50ms"]);
    let mut long = connect(&serving);
    long.get_mut().write_all(b"far too long a line\n").unwrap();
    let mut rest = Vec::new();
    // A reset or an end: either way nothing is answered.
    let _ = long.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    let mut idle = connect(&serving);
    let _ = idle.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert_eq!(ask(&mut connect(&serving), b"short\n"), "SHORT\n");
    assert_eq!(serving.terminate().code, 0);
}

#[test]
fn an_address_in_use_is_told_in_one_line() {
    let serving = Serving::start(&["echo"]);
    let ended = run(&["serve", "echo", "--listen", &serving.address]);
    assert_eq!((ended.code, ended.err.lines().count()), (1, 1), "{ended:?}");
    assert!(ended.err.contains("cannot listen"), "{ended:?}");
}
