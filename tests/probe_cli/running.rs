//! The binary while it runs: its lines of ndjson as they come, so that a test does the next thing when the last one has
//! been seen. It is killed at the deadline, and when it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout};
use std::sync::mpsc;

use serde_json::Value;

use super::support::{DEADLINE, Ended, end, probe, signal};

/// A run whose stdout is read by the line.
pub(crate) struct Running {
    child: Option<Child>,
    lines: BufReader<ChildStdout>,
    /// All that was read.
    out: String,
    /// Dropped when the run has ended: then nobody is killed.
    _watched: mpsc::Sender<()>,
}

impl Running {
    /// Starts it with `--format ndjson`.
    pub(crate) fn start(args: &[&str]) -> Running {
        let mut child = probe(&[args, &["--format", "ndjson"]].concat())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let (watched, wait) = mpsc::channel::<()>();
        let pid = child.id();
        std::thread::spawn(move || {
            if wait.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                signal(pid, "KILL");
            }
        });
        Running {
            child: Some(child),
            lines,
            out: String::new(),
            _watched: watched,
        }
    }

    /// Reads on to the first line that is it.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let from = self.out.len();
            let n = self.lines.read_line(&mut self.out).unwrap();
            assert!(n > 0, "it ended before {what}; it said: {}", self.out);
            let line = serde_json::from_str(&self.out[from..]).unwrap();
            if is_it(&line) {
                return line;
            }
        }
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn interrupt(self) -> Ended {
        signal(self.child.as_ref().unwrap().id(), "INT");
        self.end()
    }

    /// Waits for its end; with all that it ever said.
    pub(crate) fn end(mut self) -> Ended {
        self.lines.read_to_string(&mut self.out).unwrap();
        let ended = end(self.child.take().unwrap());
        Ended {
            out: std::mem::take(&mut self.out),
            ..ended
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
