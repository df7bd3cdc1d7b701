//! Runs `probe ship` on given bytes, and sinks to ship to.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{DEADLINE, Ended, end, peer, probe};

/// The binary, reading from a pipe.
pub(crate) fn start(args: &[&str]) -> Child {
    let mut command = probe(&[&["ship"], args].concat());
    command.stdin(Stdio::piped()).spawn().unwrap()
}

/// Ships these bytes to their end.
pub(crate) fn ship(args: &[&str], input: &[u8]) -> Ended {
    let mut child = start(args);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let ended = end(child);
    writer.join().unwrap();
    ended
}

pub(crate) fn ship_json(args: &[&str], input: &[u8]) -> Ended {
    ship(&[args, &["--format", "json"]].concat(), input)
}

/// A sink that reads each connection to its end and then closes; tells what each one brought, if anything.
pub(crate) fn reading_sink() -> (String, Receiver<Vec<u8>>) {
    let (bring, brought) = mpsc::channel();
    let address = peer(move |_, mut stream| {
        let mut bytes = Vec::new();
        if stream.read_to_end(&mut bytes).is_ok() && !bytes.is_empty() {
            let _ = bring.send(bytes);
        }
    });
    (address.to_string(), brought)
}

/// A sink that reads and never ends a connection; tells what it reads.
pub(crate) fn endless_sink() -> (String, Receiver<Vec<u8>>) {
    let (bring, brought) = mpsc::channel();
    let address = peer(move |_, mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            let _ = bring.send(buffer[..n].to_vec());
        }
        // It is not closed before the whole test is over.
        std::mem::forget(stream);
    });
    (address.to_string(), brought)
}

pub(crate) fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("probe-ship-{name}-{}", std::process::id()))
}

/// The fates of lines, as the document counts them: confirmed, uncertain, undelivered, refused.
pub(crate) fn fates(document: &Value) -> [u64; 4] {
    let lines = &document["lines"];
    let fates = ["confirmed", "uncertain", "undelivered", "refused"]
        .map(|fate| lines[fate].as_u64().unwrap());
    assert_eq!(
        lines["read"].as_u64(),
        Some(fates.iter().sum()),
        "{document}"
    );
    fates
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never was");
        std::thread::park_timeout(Duration::from_micros(200));
    }
}
