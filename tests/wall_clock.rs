//! The wall clock jumps by a year, forth and back, while a client runs: nobody notices, for only the monotonic clock is
//! asked. libfaketime makes it jump, in a process of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/child.rs"]
mod child;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use support::*;
use taut::{Client, Deadline, Framing, Source, Upstream, UpstreamId};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where libfaketime is told the time.
struct Dial(PathBuf);

impl Dial {
    fn new(name: &str) -> Dial {
        let dial = Dial(std::env::temp_dir().join(format!("taut-{name}-{}", std::process::id())));
        dial.turn("+0");
        dial
    }

    /// Sets the offset of the wall clock from the true one. A rename, so that nobody reads half of it.
    fn turn(&self, offset: &str) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(&next, &self.0).unwrap();
    }

    /// Makes a command live by this clock; the monotonic one stays the true one.
    fn rule(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn library() -> PathBuf {
    let in_it = |directory: std::fs::DirEntry| directory.path().join("faketime/libfaketimeMT.so.1");
    let all = std::fs::read_dir("/usr/lib").unwrap().flatten().map(in_it);
    let mut found = all.filter(|path| path.exists());
    found.next().expect("libfaketime (Debian: faketime)")
}

/// A client to which everything happens while the clock jumps.
struct Bench {
    client: Client,
    ledger: Ledger,
    echo: UpstreamId,
    silent: UpstreamId,
    peer: Peer,
}

impl Bench {
    /// All that has a deadline, across one jump.
    fn across(&mut self, jump: impl FnOnce()) {
        let asked_at = Instant::now();
        let timeout = ms(200);
        let unanswered = self.ledger.request(
            &mut self.client,
            self.silent,
            b"x\n",
            Deadline::after(timeout),
        );
        let answered: Vec<_> = (0..16)
            .map(|_| {
                self.ledger
                    .request(&mut self.client, self.echo, b"ping\n", Deadline::Standard)
            })
            .collect();
        let connecting = self
            .client
            .connect(&self.peer.target(), Framing::line())
            .unwrap();
        let before = (Instant::now(), SystemTime::now());
        jump();
        eventually("the wall clock's jump", || {
            let wall = match SystemTime::now().duration_since(before.1) {
                Ok(forth) => forth,
                Err(back) => back.duration(),
            };
            wall > YEAR / 2
        });
        assert!(
            before.0.elapsed() < PATIENCE,
            "the monotonic clock jumped too"
        );

        until_connected_among(&mut self.client, connecting, &mut self.ledger);
        self.client.abort(connecting).unwrap();
        until_closed_among(&mut self.client, &mut self.ledger);
        drop(self.peer.accept());
        for request in answered {
            let reply = self.ledger.until(&mut self.client, request).reply();
            assert_eq!(reply, b"ping");
        }
        let error = self.ledger.until(&mut self.client, unanswered).error();
        assert_eq!(error.source, Source::Deadline);
        assert!(asked_at.elapsed() >= timeout, "early by the jump");
        self.ledger.until_all(&mut self.client);
    }
}

fn until_connected_among(client: &mut Client, wanted: taut::ConnectionId, ledger: &mut Ledger) {
    client_until(client, |client, event| match event {
        taut::Event::Connected { connection, .. } => {
            assert_eq!(connection, wanted);
            Some(())
        }
        other => {
            ledger.book(client, other);
            None
        }
    });
}

fn until_closed_among(client: &mut Client, ledger: &mut Ledger) {
    client_until(client, |client, event| match event {
        taut::Event::Closed { error, .. } => {
            assert_eq!(error.unwrap().source, Source::Closed);
            Some(())
        }
        other => {
            ledger.book(client, other);
            None
        }
    });
}

#[test]
fn child_whose_wall_clock_jumps() {
    let Some(dial) = child::role() else {
        return;
    };
    let dial = std::mem::ManuallyDrop::new(Dial(PathBuf::from(dial)));
    let (target, _server) = serve(1, echo);
    let (mut client, silent, peer) = (client(), Peer::new(), Peer::new());
    let echo = client
        .add(Upstream::new(target).connections(1).depth(64))
        .unwrap();
    let silent = client
        .add(Upstream::new(silent.target()).connections(1))
        .map(|upstream| (upstream, silent))
        .unwrap();
    // It is idle all the time, and nothing but the monotonic clock may end it.
    let (idle, _idle_stream) = connected(&mut client, &peer, Framing::line());
    let mut bench = Bench {
        client,
        ledger: Ledger::default(),
        echo,
        silent: silent.0,
        peer,
    };
    for offset in ["+365d", "-365d", "+365d", "+0"] {
        bench.across(|| dial.turn(offset));
    }
    let Bench { client, ledger, .. } = bench;
    assert!(
        client.peer_addr(idle).is_some(),
        "the idle connection ended"
    );
    let stats = client.upstream_stats(echo).unwrap();
    assert_eq!((stats.connects, stats.losses), (1, 0));
    eprintln!(
        "{} replies, {} failures",
        ledger.replies(),
        ledger.failures()
    );
}

#[test]
#[ignore = "needs libfaketime (Debian: faketime)"]
fn a_wall_clock_that_jumps_by_a_year_ends_nothing_and_puts_nothing_off() {
    let dial = Dial::new("wall-clock");
    let mut command = child::command("child_whose_wall_clock_jumps", path_text(&dial.0));
    dial.rule(&mut command);
    let (status, said) = child::Running::start(command).end();
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("64 replies, 4 failures"), "{said}");
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The binary measures durations: a clock that jumps all the time changes none of them.
#[cfg(feature = "probe")]
#[test]
#[ignore = "needs libfaketime (Debian: faketime)"]
fn a_load_whose_wall_clock_jumps_all_the_time_measures_the_same() {
    let dial = Dial::new("wall-clock-load");
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    command.args(["load", "-c", "4", "-d", "1s", "--format", "json"]);
    dial.rule(&mut command);
    let running = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let waiting = std::thread::spawn(move || running.wait_with_output().unwrap());
    let mut jumps = ["+365d", "-365d", "+0"].into_iter().cycle();
    eventually("the end of the load", || {
        dial.turn(jumps.next().unwrap());
        waiting.is_finished()
    });
    let output = waiting.join().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let requests = &document["requests"];
    assert_eq!(
        (requests["failed"].as_u64(), requests["timed_out"].as_u64()),
        (Some(0), Some(0)),
        "{document}"
    );
    let max_ns = document["latency_ns"]["service"]["max"].as_u64().unwrap();
    assert!(u128::from(max_ns) < PATIENCE.as_nanos(), "{document}");
    let duration_ns = document["duration_ns"].as_u64().unwrap();
    assert!(
        (900_000_000..PATIENCE.as_nanos() as u64).contains(&duration_ns),
        "{document}"
    );
}
