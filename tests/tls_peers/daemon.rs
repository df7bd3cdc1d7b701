//! A program of a test's own, mostly a server: in the foreground, in a directory of its own, stopped by
//! its pid with all that it has started.
//!
//! What it says is kept in a file there. It may be killed and started again with the same arguments.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::support::eventually;

pub(crate) struct Daemon {
    child: Child,
    program: &'static str,
    arguments: Vec<String>,
    ports: Vec<u16>,
    directory: Directory,
}

/// A directory that goes with the value that names it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Directory {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("taut-{name}-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, with this content; its path.
    pub(crate) fn put(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Daemon {
    /// One that listens at these ports.
    #[track_caller]
    pub(crate) fn start(
        program: &'static str,
        directory: Directory,
        arguments: &[&str],
        ports: &[u16],
    ) -> Daemon {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let mut daemon = Daemon {
            child: spawn(program, &directory, &arguments),
            program,
            arguments,
            ports: ports.to_vec(),
            directory,
        };
        daemon.until_listening();
        daemon
    }

    #[track_caller]
    pub(crate) fn until_listening(&mut self) {
        for port in self.ports.clone() {
            eventually("a listener", || {
                let ended = self.child.try_wait().unwrap();
                assert_eq!(ended, None, "{} said: {}", self.program, self.output());
                is_listening(port)
            });
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has said so far, on both of its outputs.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join(OUTPUT)).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    pub(crate) fn until_says(&self, wanted: &str) {
        self.until_says_so_often(wanted, 1);
    }

    #[track_caller]
    pub(crate) fn until_says_so_often(&self, wanted: &str, times: usize) {
        eventually(wanted, || self.output().matches(wanted).count() >= times);
    }

    /// On its standard input, at once.
    #[track_caller]
    pub(crate) fn tell(&mut self, words: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(words.as_bytes()).unwrap();
    }

    pub(crate) fn end_of_input(&mut self) {
        self.child.stdin = None;
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).unwrap();
    }

    /// SIGKILL, to it and to all that it has started: none has a say in it, and nobody listens any more.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.end();
        eventually("nobody to listen", || {
            !self.ports.iter().any(|it| is_listening(*it))
        });
    }

    fn end(&mut self) {
        let _ = killpg(Pid::from_raw(self.pid() as i32), Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// Another process with the same arguments, which may not listen yet.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.program, &self.directory, &self.arguments);
    }

    /// The processes that it has started.
    pub(crate) fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = std::fs::read_to_string(path).unwrap();
        let pids = children.split_whitespace().map(str::parse);
        pids.collect::<Result<_, _>>().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("{} said: {}", self.program, self.output());
        }
    }
}

/// What its outputs are kept in.
const OUTPUT: &str = "output";

fn spawn(program: &str, directory: &Directory, arguments: &[String]) -> Child {
    let output = output(directory);
    Command::new(program)
        .args(arguments)
        .current_dir(directory.path())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is installed: {error}"))
}

fn output(directory: &Directory) -> File {
    let path = directory.path().join(OUTPUT);
    let mut options = OpenOptions::new();
    options.create(true).append(true).open(path).unwrap()
}

/// Whether a program listens at this port of loopback. It is not connected to: some serve one connection at a time.
pub(crate) fn is_listening(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[1].ends_with(&port) && columns[3] == LISTEN
    })
}

/// A state of /proc/net/tcp (include/net/tcp_states.h).
const LISTEN: &str = "0A";

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
