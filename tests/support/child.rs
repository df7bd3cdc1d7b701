//! A test again, alone in a process of its own: for what belongs to the whole process (what a signal does, a preloaded
//! library), or ends it.
//!
//! The child runs one test of the same binary, which does nothing unless it is told its role. It speaks on its standard
//! error, a line at a time; the harness writes to the other one.
#![allow(dead_code, reason = "not each test binary needs all of it")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

const ROLE: &str = "TAUT_TEST_ROLE";

/// No child may take longer.
const CHILD_PATIENCE: Duration = Duration::from_secs(60);

/// What this process was started for, if another test has started it.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The command that runs this test of this binary in that role.
pub(crate) fn command(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A child that is killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Running { child, lines }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads on until this line comes.
    #[track_caller]
    pub(crate) fn until_says(&mut self, wanted: &str) {
        let mut said = String::new();
        loop {
            let from = said.len();
            let n = self.lines.read_line(&mut said).unwrap();
            assert!(n > 0, "it ended without {wanted:?}; it said: {said}");
            if said[from..].trim_end() == wanted {
                return;
            }
        }
    }

    /// Waits for its end; how it ended and what it still said. It is killed when that takes too long.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let pid = self.pid();
        let (done, wait) = mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            if wait.recv_timeout(CHILD_PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
        });
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.lines, &mut said).unwrap();
        let status = self.child.wait().unwrap();
        drop(done);
        watch.join().unwrap();
        (status, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
