//! A rsyslogd of a test's own: in the foreground, with a configuration and a directory of its own, on free loopback
//! ports, stopped by its pid.
//!
//! It may be killed and started again at the same addresses. What it has read it stores at once: the queue is direct,
//! so that the thread that reads a batch writes it, and the file is flushed at the end of each. What is in the file was
//! therefore read and kept, and what it has answered by RELP is in the file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ports::free_port;
use crate::shipping::{LINE_BYTES, RUN_PATIENCE, begins_a_line, number_in, until_listened};
use crate::support::eventually_within;

/// How a line comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Relp,
    /// Octet counting is on by default.
    Tcp,
    PlainTcp,
    /// Over TLS, of whichever library librelp is told to take.
    RelpTls,
    /// RFC 5425, the TLS of OpenSSL.
    OsslTcp,
    /// The same of GnuTLS.
    GtlsTcp,
}

impl Input {
    const PLAIN: [Input; 3] = [Input::Relp, Input::Tcp, Input::PlainTcp];

    fn module(self) -> &'static str {
        match self {
            Input::Relp | Input::RelpTls => "imrelp",
            Input::Tcp | Input::OsslTcp | Input::GtlsTcp => "imtcp",
            Input::PlainTcp => "imptcp",
        }
    }

    pub(crate) fn is_relp(self) -> bool {
        self.module() == "imrelp"
    }
}

/// What a daemon shows its clients, as files; it wants them to show a certificate of the same authority.
pub(crate) struct Certificates {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) authority: String,
    /// The library that librelp takes: `openssl` or `gnutls`.
    pub(crate) library: &'static str,
}

impl Certificates {
    /// In place of the modules' lines without TLS, and before them.
    fn modules(&self) -> String {
        format!(
            "global(DefaultNetstreamDriverCAFile=\"{}\" DefaultNetstreamDriverCertFile=\"{}\" \
             DefaultNetstreamDriverKeyFile=\"{}\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imrelp\" tls.tlslib=\"{}\")\n",
            self.authority, self.chain, self.key, self.library
        )
    }

    /// What an input's line says of it.
    fn options(&self, input: Input) -> String {
        let driver = match input {
            Input::RelpTls => {
                return format!(
                    "tls=\"on\" tls.authmode=\"certvalid\" tls.cacert=\"{}\" tls.mycert=\"{}\" tls.myprivkey=\"{}\"",
                    self.authority, self.chain, self.key
                );
            }
            Input::OsslTcp => "ossl",
            _ => "gtls",
        };
        format!(
            "streamdriver.name=\"{driver}\" streamdriver.mode=\"1\" streamdriver.authmode=\"x509/certvalid\""
        )
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

impl Harm {
    pub(crate) fn signal(self) -> Signal {
        match self {
            Harm::Kill => Signal::SIGKILL,
            Harm::Restart => Signal::SIGTERM,
        }
    }
}

pub(crate) struct Rsyslogd {
    child: Child,
    directory: PathBuf,
    inputs: Vec<(Input, u16)>,
}

impl Rsyslogd {
    /// One that listens.
    pub(crate) fn start(name: &str) -> Rsyslogd {
        let modules = ["imrelp", "imtcp", "imptcp"].map(|it| format!("module(load=\"{it}\")\n"));
        Rsyslogd::listening(name, &Input::PLAIN, &modules.concat(), |_| String::new())
    }

    /// The same with TLS. With `gtls` it takes seconds to start, for it makes parameters of its own (Diffie-Hellman).
    pub(crate) fn secured(name: &str, certificates: &Certificates, inputs: &[Input]) -> Rsyslogd {
        let modules = certificates.modules();
        Rsyslogd::listening(name, inputs, &modules, |it| certificates.options(it))
    }

    fn listening(
        name: &str,
        inputs: &[Input],
        modules: &str,
        options: impl Fn(Input) -> String,
    ) -> Rsyslogd {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let nth = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("taut-rsyslogd-{name}-{}-{nth}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        let at = directory.display();
        let mut config = format!(
            "global(workDirectory=\"{at}\" maxMessageSize=\"64k\")\n\
             main_queue(queue.type=\"direct\")\n\
             template(name=\"raw\" type=\"string\" string=\"%rawmsg%\\n\")\n\
             ruleset(name=\"keep\") {{\n\
             \x20 action(type=\"omfile\" file=\"{at}/stored\" template=\"raw\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n\
             }}\n{modules}"
        );
        let inputs: Vec<_> = inputs.iter().map(|it| (*it, free_port())).collect();
        for (input, port) in &inputs {
            config += &format!(
                "input(type=\"{}\" address=\"127.0.0.1\" port=\"{port}\" ruleset=\"keep\" {})\n",
                input.module(),
                options(*input)
            );
        }
        std::fs::write(directory.join("conf"), config).unwrap();
        std::fs::write(directory.join("stored"), "").unwrap();
        let daemon = Rsyslogd {
            child: spawn(&directory),
            directory,
            inputs,
        };
        daemon.until_listening();
        daemon
    }

    fn until_listening(&self) {
        for (input, _) in &self.inputs {
            until_listened(self.address(*input));
        }
    }

    pub(crate) fn address(&self, input: Input) -> SocketAddr {
        let mut inputs = self.inputs.iter();
        let (_, port) = inputs.find(|(it, _)| *it == input).unwrap();
        SocketAddr::from((Ipv4Addr::LOCALHOST, *port))
    }

    /// Ends it, and starts another at the same addresses, which may not listen yet.
    pub(crate) fn suffer(&mut self, harm: Harm) {
        self.end_by(harm.signal());
        self.child = spawn(&self.directory);
    }

    /// The same by this signal, and the other listens.
    pub(crate) fn end_and_start(&mut self, signal: Signal) {
        self.end_by(signal);
        self.child = spawn(&self.directory);
        self.until_listening();
    }

    fn end_by(&mut self, signal: Signal) {
        self.signal(signal);
        // One that was stopped does not heed it before.
        self.signal(Signal::SIGCONT);
        eventually_within(RUN_PATIENCE, "rsyslogd's end", || {
            self.child.try_wait().unwrap().is_some()
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
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
