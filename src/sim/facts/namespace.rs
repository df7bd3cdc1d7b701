//! A network namespace in which a fact may drop packets: nobody else's traffic is in it, and it is gone
//! at the end, also after a panic.
//!
//! A thread would have to be moved into one by a system call; here the test program runs again inside.

use std::process::{Command, Stdio};

/// Set for the process inside the namespace.
const INSIDE: &str = "TAUT_SIM_FACT_INSIDE";
/// A namespace that is gone at the end.
struct Namespace(String);

/// Runs a test of this program again, in a namespace of its own.
pub(super) fn runs_inside(test: &str) {
    let namespace = Namespace::new(test);
    let program = std::env::current_exe().unwrap();
    let status = Command::new("ip")
        .args(["netns", "exec", &namespace.0])
        .arg(program)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}, in its namespace");
}

pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

impl Namespace {
    fn new(test: &str) -> Namespace {
        let end = test.rsplit("::").next().unwrap();
        let name = format!("fact-{}-{}", &end[..end.len().min(40)], std::process::id());
        run("ip", &["netns", "add", &name]);
        let namespace = Namespace(name);
        run("ip", &["-n", &namespace.0, "link", "set", "lo", "up"]);
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let gone = Command::new("ip").args(["netns", "del", &self.0]).status();
        assert!(gone.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}");
}

/// Adds a rule for what comes in on loopback.
pub(super) fn nft(rule: &str) {
    let chain = "add table ip fact; add chain ip fact input { type filter hook input priority 0; }";
    run("nft", &[&format!("{chain}; add rule ip fact input {rule}")]);
}

/// Everything comes in again.
pub(super) fn drop_rules() {
    run("nft", &["delete table ip fact"]);
}
