//! A redis-server of a test's own: on a free loopback port, in a directory of its own, stopped by its pid.
//!
//! It may be killed and started again at the same address. What it has executed and answered outlives its process: each
//! write is in the append-only file before the answer leaves (`appendfsync no` leaves out the disk, not the write), so
//! that a test can ask a later process what an earlier one did.
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_port;

/// No wait of a passing test takes this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that is killed when it is dropped.
pub(crate) struct Redis {
    child: Child,
    directory: PathBuf,
    port: u16,
    options: Vec<String>,
}

/// A connection to the server for what a test has to say beside its traffic.
pub(crate) struct Control {
    stream: BufReader<TcpStream>,
}

/// A reply without its frame: what the tests here ask for has no arrays in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nil,
    Text(String),
    Error(String),
}

impl Redis {
    /// A server that answers; `options` as on its command line.
    pub(crate) fn start(name: &str, options: &[&str]) -> Redis {
        let directory =
            std::env::temp_dir().join(format!("taut-redis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let options: Vec<String> = options.iter().map(|it| (*it).to_owned()).collect();
        let port = free_port();
        let redis = Redis {
            child: spawn(port, &directory, &options),
            directory,
            port,
            options,
        };
        redis.control();
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// SIGKILL: it has no say in it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.until_ended();
    }

    /// Waits for the end of a server that was told to.
    pub(crate) fn until_ended(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "redis-server does not end");
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }

    /// Another process at the same address, with what the last one has written; it may not listen yet.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.port, &self.directory, &self.options);
    }

    /// A connection to it, as soon as it answers.
    #[track_caller]
    pub(crate) fn control(&self) -> Control {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(control) = Control::to(self.address()) {
                return control;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(port: u16, directory: &PathBuf, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "yes", "--appendfsync", "no"])
        .args(["--enable-debug-command", "yes", "--dir"])
        .arg(directory)
        .args(options)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// A command on the wire.
pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

impl Control {
    /// `None` while nobody answers there, or it is still loading what it had.
    fn to(address: SocketAddr) -> Option<Control> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut control = Control {
            stream: BufReader::new(stream),
        };
        control.try_say(&["PING"]).ok()?;
        let pong = Answer::Text("PONG".to_owned());
        (control.try_hear().ok()? == pong).then_some(control)
    }

    /// Says a command and leaves its answer for [`Control::hear`].
    #[track_caller]
    pub(crate) fn say(&mut self, words: &[&str]) {
        self.try_say(words).unwrap();
    }

    #[track_caller]
    pub(crate) fn hear(&mut self) -> Answer {
        self.try_hear().unwrap()
    }

    #[track_caller]
    pub(crate) fn ask(&mut self, words: &[&str]) -> Answer {
        self.say(words);
        self.hear()
    }

    fn try_say(&mut self, words: &[&str]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(&command(words))
    }

    fn try_hear(&mut self) -> std::io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let Some(line) = line.strip_suffix("\r\n") else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let (kind, rest) = line.split_at(1);
        Ok(match kind {
            "-" => Answer::Error(rest.to_owned()),
            "$" if rest == "-1" => Answer::Nil,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Answer::Text(String::from_utf8(bytes).unwrap())
            }
            _ => Answer::Text(rest.to_owned()),
        })
    }

    /// The ids of the server's other connections.
    #[track_caller]
    pub(crate) fn others(&mut self) -> Vec<u64> {
        let Answer::Text(own) = self.ask(&["CLIENT", "ID"]) else {
            panic!("CLIENT ID has an answer");
        };
        let Answer::Text(list) = self.ask(&["CLIENT", "LIST"]) else {
            panic!("CLIENT LIST has an answer");
        };
        let ids = list.lines().filter_map(|line| line.strip_prefix("id="));
        let ids = ids.filter_map(|rest| rest.split(' ').next());
        ids.filter(|id| *id != own)
            .map(|id| id.parse().unwrap())
            .collect()
    }
}
