//! The bundled server's drain, whatever its connections are doing: nothing, answering, in the midst of a line, ending;
//! begun twice, and at its deadline. (A client has no drain of its own yet.)
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::*;
use taut::server::{Server, ServerConfig, ServerStats, Service};

/// A server in the test's own thread: it moves only when the test says so.
struct Bench {
    server: Server,
}

impl Bench {
    fn new(change: impl FnOnce(&mut ServerConfig)) -> Bench {
        // Nothing but the drain itself, and its deadline where a test sets one, wakes the loop.
        let never = Duration::from_secs(3_600);
        let mut config = ServerConfig {
            service: Service::Shout,
            idle_timeout: never,
            write_stall_timeout: never,
            drain_timeout: never,
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = Server::bind(([127, 0, 0, 1], 0).into(), config).unwrap();
        Bench { server }
    }

    /// A connection that the server has accepted.
    fn connect(&mut self) -> TcpStream {
        let accepted = self.server.stats().accepted;
        let stream = patient(TcpStream::connect(self.server.local_addr()).unwrap());
        self.turn_until("the accept", |stats| stats.accepted == accepted + 1);
        stream
    }

    #[track_caller]
    fn turn_until(&mut self, what: &str, condition: impl Fn(ServerStats) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self.server.stats()) {
            let stats = self.server.stats();
            assert!(Instant::now() < deadline, "never came: {what}, {stats:?}");
            self.server.turn(Some(ms(5))).unwrap();
        }
    }

    /// Turns until it is drained; how many turns that took.
    #[track_caller]
    fn until_drained(&mut self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut turns = 0;
        while !self.server.is_drained() {
            let stats = self.server.stats();
            assert!(Instant::now() < deadline, "never drained: {stats:?}");
            self.server.turn(None).unwrap();
            turns += 1;
        }
        turns
    }

    /// The rest of it in a thread of its own, for peers that block.
    fn run(mut self) -> std::thread::JoinHandle<ServerStats> {
        std::thread::spawn(move || {
            self.until_drained();
            self.server.stats()
        })
    }
}

/// One line, asked and answered.
fn ask(bench: &mut Bench, stream: &mut TcpStream, line: &str) -> String {
    let before = bench.server.stats().lines;
    stream.write_all(line.as_bytes()).unwrap();
    bench.turn_until("the line", |stats| stats.lines > before);
    bench.server.turn(Some(Duration::ZERO)).unwrap();
    let mut answer = String::new();
    BufReader::new(&*stream).read_line(&mut answer).unwrap();
    answer
}

/// Waits, without a turn of the server, until so many bytes of this peer have come to its kernel, a FIN being one.
fn until_come(stream: &TcpStream, bytes: u64) {
    let [ours, its] = [stream.local_addr(), stream.peer_addr()].map(|end| end.unwrap().port());
    let ends = [its, ours].map(|port| format!(":{port:04X}"));
    eventually("the bytes in the server's kernel", || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let is_it = columns[1].ends_with(&ends[0]) && columns[2].ends_with(&ends[1]);
            let (_, received) = columns[4].split_once(':').unwrap_or_default();
            is_it && u64::from_str_radix(received, 16).is_ok_and(|received| received >= bytes)
        })
    });
}

/// The drain begins when they are in the kernel, and the loop has not been told: a look at the line before its FIN.
#[test]
fn lines_that_came_just_before_the_drain_are_answered() {
    let mut bench = Bench::new(|_| {});
    let mut stream = bench.connect();
    assert_eq!(ask(&mut bench, &mut stream, "first\n"), "FIRST\n");
    stream.write_all(b"in time\n").unwrap();
    until_come(&stream, 8);
    bench.server.drain();
    let running = bench.run();
    assert_eq!(read_to_the_end(&mut stream), b"IN TIME\n");
    drop(stream);
    let stats = running.join().unwrap();
    assert_eq!((stats.forced, stats.failed, stats.lines), (0, 0, 2));
}

#[test]
fn without_connections_a_drain_is_over_at_once() {
    let mut bench = Bench::new(|_| {});
    assert!(!bench.server.is_drained(), "before it was begun");
    bench.server.drain();
    assert!(bench.server.is_drained());
    assert!(TcpStream::connect(bench.server.local_addr()).is_err());
}

/// Nobody has accepted them yet: they are not served any more, and do not hold up the drain.
#[test]
fn connections_that_wait_to_be_accepted_are_turned_away_with_the_listener() {
    let mut bench = Bench::new(|_| {});
    let mut waiting: Vec<_> = (0..3)
        .map(|_| patient(TcpStream::connect(bench.server.local_addr()).unwrap()))
        .collect();
    bench.server.drain();
    assert!(bench.server.is_drained());
    for stream in &mut waiting {
        let outcome = stream.read(&mut [0; 1]);
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(matches!(&outcome, Ok(0)) || outcome.as_ref().is_err_and(reset));
    }
    assert_eq!(bench.server.stats().accepted, 0);
}

#[test]
fn an_idle_connection_gets_its_fin_in_the_turn_of_the_drain_and_goes_with_its_own() {
    let mut bench = Bench::new(|_| {});
    let mut used = bench.connect();
    assert_eq!(ask(&mut bench, &mut used, "hello\n"), "HELLO\n");
    let fresh = bench.connect();
    bench.server.drain();
    bench.server.turn(Some(Duration::ZERO)).unwrap();
    for mut stream in [used, fresh] {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    let turns = bench.until_drained();
    assert!(turns < 20, "{turns} turns for two FINs: the loop spins");
    let stats = bench.server.stats();
    assert_eq!((stats.forced, stats.failed, stats.open), (0, 0, 0));
}

/// Answers that nobody has read yet, and lines that nobody has looked at yet: all of it goes before the FIN.
#[test]
fn a_busy_connection_gets_every_answer_before_its_fin() {
    const LINES: usize = 6_000;
    let mut bench = Bench::new(|_| {});
    let mut stream = bench.connect();
    let asked: Vec<u8> = (0..LINES)
        .flat_map(|n| format!("{n:040} a line\n").into_bytes())
        .collect();
    stream.write_all(&asked).unwrap();
    bench.turn_until("the first lines", |stats| stats.lines > 0);
    let lines = bench.server.stats().lines as usize;
    assert!(lines < LINES, "all was read before the drain");
    bench.server.drain();
    let running = bench.run();
    assert_eq!(read_to_the_end(&mut stream), asked.to_ascii_uppercase());
    drop(stream);
    let stats = running.join().unwrap();
    assert_eq!((stats.forced, stats.failed), (0, 0));
    assert_eq!(stats.lines as usize, LINES);
}

/// The line goes on byte by byte: each byte may be the last, and none but the newline ends it.
#[test]
fn a_line_that_has_begun_is_finished_and_answered_and_the_next_is_not_begun() {
    let mut bench = Bench::new(|_| {});
    let mut stream = bench.connect();
    assert_eq!(ask(&mut bench, &mut stream, "first\nse"), "FIRST\n");
    bench.server.drain();
    for byte in b"cond" {
        stream.write_all(&[*byte]).unwrap();
        bench.server.turn(Some(ms(5))).unwrap();
        assert!(!bench.server.is_drained(), "its line has not ended");
    }
    stream.write_all(b"\n").unwrap();
    let running = bench.run();
    assert_eq!(read_to_the_end(&mut stream), b"SECOND\n");
    drop(stream);
    let stats = running.join().unwrap();
    assert_eq!((stats.forced, stats.failed, stats.lines), (0, 0, 2));
}

#[test]
fn a_half_closed_connection_gets_its_answers_and_goes() {
    let mut bench = Bench::new(|_| {});
    let mut stream = bench.connect();
    stream.write_all(b"one\ntwo\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    until_come(&stream, 9);
    bench.server.drain();
    let running = bench.run();
    assert_eq!(read_to_the_end(&mut stream), b"ONE\nTWO\n");
    assert_eq!(running.join().unwrap().forced, 0);
}

/// A torn line, answers that nobody reads: at its deadline, and not before, a drain resets what is left, each once.
#[test]
fn at_its_deadline_and_not_before_a_drain_resets_what_is_left() {
    let timeout = ms(150);
    let mut bench = Bench::new(|it| it.drain_timeout = timeout);
    let mut torn = bench.connect();
    assert_eq!(ask(&mut bench, &mut torn, "a\nunfin"), "A\n");
    // It does not read, and far more is owed to it than the kernels hold.
    let deaf = bench.connect();
    deaf.set_nonblocking(true).unwrap();
    let chunk = b"a line to shout\n".repeat(4_096);
    let deadline = Instant::now() + PATIENCE;
    let mut idle_turns = 0;
    while idle_turns < 50 {
        assert!(Instant::now() < deadline, "the pipes never fill");
        let before = bench.server.stats();
        let blocks = (&deaf).write(&chunk).is_err();
        bench.server.turn(Some(ms(1))).unwrap();
        idle_turns = match blocks && bench.server.stats() == before {
            true => idle_turns + 1,
            false => 0,
        };
    }
    let began_at = Instant::now();
    bench.server.drain();
    let turns = bench.until_drained();
    assert!(began_at.elapsed() >= timeout, "forced too early");
    assert!(turns < 50, "{turns} turns in one wait: the loop spins");
    assert_eq!(bench.server.stats().forced, 2);
    for mut stream in [torn, deaf] {
        stream.set_nonblocking(false).unwrap();
        let error = loop {
            match stream.read(&mut [0; 4_096]) {
                Ok(0) => panic!("a clean end of what was cut off"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

/// Asked for again and again, it is still the same drain: its deadline is that of the first time.
#[test]
fn a_drain_that_is_begun_twice_ends_at_the_deadline_of_the_first() {
    let timeout = ms(150);
    let mut bench = Bench::new(|it| it.drain_timeout = timeout);
    let mut torn = bench.connect();
    assert_eq!(ask(&mut bench, &mut torn, "a\nunfin"), "A\n");
    let stopper = bench.server.stopper();
    let began_at = Instant::now();
    bench.server.drain();
    while !bench.server.is_drained() {
        assert!(began_at.elapsed() < PATIENCE, "it is put off for ever");
        stopper.stop();
        bench.server.drain();
        bench.server.turn(Some(ms(5))).unwrap();
    }
    assert!(began_at.elapsed() >= timeout);
    assert_eq!(bench.server.stats().forced, 1);
    bench.server.drain();
    assert!(bench.server.is_drained(), "over is over");
}
