//! A rsyslogd of a test's own: in the foreground, with a configuration and a directory of its own, on free loopback
//! ports, stopped by its pid.
//!
//! It may be killed and started again at the same addresses. What it has read it stores at once: the queue is direct,
//! so that the thread that reads a batch writes it, and the file is flushed at the end of each. What is in the file was
//! therefore read and kept, and what it has answered by RELP is in the file.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::free_port;
use crate::shipping::{LINE_BYTES, RUN_PATIENCE, begins_a_line, number_in};
use crate::support::eventually_within;

/// How a line comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Relp,
    /// Octet counting is on by default.
    Tcp,
    PlainTcp,
}

impl Input {
    const ALL: [Input; 3] = [Input::Relp, Input::Tcp, Input::PlainTcp];

    fn module(self) -> &'static str {
        match self {
            Input::Relp => "imrelp",
            Input::Tcp => "imtcp",
            Input::PlainTcp => "imptcp",
        }
    }
}

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// SIGKILL: it has no say in it.
    Kill,
    /// SIGTERM, as a restart of the service does.
    Restart,
}

pub(crate) struct Rsyslogd {
    child: Child,
    directory: PathBuf,
    ports: [u16; 3],
}

impl Rsyslogd {
    /// One that listens.
    pub(crate) fn start(name: &str) -> Rsyslogd {
        let name = format!("taut-rsyslogd-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let ports = Input::ALL.map(|_| free_port());
        let at = directory.display();
        let mut config = format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\")\n\
             main_queue(queue.type=\"direct\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             ruleset(name=\"keep\") {{\n\
             \x20 action(type=\"omfile\" file=\"{at}/stored\" template=\"raw\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n\
             }}\n"
        );
        for (input, port) in Input::ALL.iter().zip(ports) {
            let module = input.module();
            config += &format!(
                "module(load=\"{module}\")\n\
                 input(type=\"{module}\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\")\n"
            );
        }
        std::fs::write(directory.join("conf"), config).unwrap();
        std::fs::write(directory.join("stored"), "").unwrap();
        let daemon = Rsyslogd {
            child: spawn(&directory),
            directory,
            ports,
        };
        for input in Input::ALL {
            let address = daemon.address(input);
            eventually_within(RUN_PATIENCE, "rsyslogd's answer", || {
                TcpStream::connect(address).is_ok()
            });
        }
        daemon
    }

    pub(crate) fn address(&self, input: Input) -> SocketAddr {
        let nth = Input::ALL.iter().position(|it| *it == input).unwrap();
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[nth]))
    }

    /// Ends it, and starts another at the same addresses, which may not listen yet.
    pub(crate) fn suffer(&mut self, harm: Harm) {
        let signal = match harm {
            Harm::Kill => Signal::SIGKILL,
            Harm::Restart => Signal::SIGTERM,
        };
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        eventually_within(RUN_PATIENCE, "rsyslogd's end", || {
            self.child.try_wait().unwrap().is_some()
        });
        self.child = spawn(&self.directory);
    }

    /// Lines stored so far, those that were stored before too.
    pub(crate) fn stored(&self) -> u64 {
        let bytes = std::fs::metadata(self.file()).unwrap().len();
        bytes / (LINE_BYTES as u64 + 1)
    }

    /// How often each line was stored, by number. Anything but lines that were sent panics, and but the beginning of one
    /// that a killed process was about to write: what the next one wrote is glued to it.
    pub(crate) fn times_stored(&self) -> Vec<u32> {
        let mut times = Vec::new();
        let stored = std::fs::read(self.file()).unwrap();
        for line in stored.split(|byte| *byte == b'\n') {
            let mut rest = line;
            while !rest.is_empty() {
                let (whole, bytes) = first_line(rest);
                if let Some(number) = whole {
                    let at = number as usize;
                    times.resize(times.len().max(at + 1), 0);
                    times[at] += 1;
                }
                rest = &rest[bytes..];
            }
        }
        times
    }

    fn file(&self) -> PathBuf {
        self.directory.join("stored")
    }
}

impl Drop for Rsyslogd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The number of the line that this begins with, if it is whole, and its bytes here.
#[track_caller]
fn first_line(bytes: &[u8]) -> (Option<u64>, usize) {
    if let Some(number) = bytes.get(..LINE_BYTES).and_then(number_in) {
        return (Some(number), LINE_BYTES);
    }
    // The longest part of it that any line begins with.
    let begins = (1..=bytes.len())
        .rev()
        .find(|end| begins_a_line(&bytes[..*end]));
    let text = String::from_utf8_lossy(bytes);
    (None, begins.unwrap_or_else(|| panic!("altered: {text:?}")))
}

fn spawn(directory: &std::path::Path) -> Child {
    // A killed one has left its pid file, and another would take it for itself.
    let _ = std::fs::remove_file(directory.join("pid"));
    Command::new("rsyslogd")
        .arg("-n")
        .arg("-f")
        .arg(directory.join("conf"))
        .arg("-i")
        .arg(directory.join("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("rsyslogd is installed (rsyslog, rsyslog-relp)")
}
