//! Runs the binary with a deadline, and small servers to run it against.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

/// No run may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The JSON document, or the last line of ndjson.
    pub(crate) fn json(&self) -> Value {
        let document = serde_json::from_str(&self.out);
        document.unwrap_or_else(|_| self.lines().pop().expect("a line of JSON"))
    }

    /// Each line as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        self.out.lines().map(line).collect()
    }
}

/// A command that runs the binary, with its output caught.
pub(crate) fn probe(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probe"));
    command.args(args).env_remove("RUST_LOG");
    caught(command)
}

pub(crate) fn caught(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    end(probe(args).spawn().unwrap())
}

/// Waits for the end of a process; kills it at the deadline.
pub(crate) fn end(child: Child) -> Ended {
    let pid = child.id();
    let (done, wait) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let late = wait.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout);
        if late {
            signal(pid, "KILL");
        }
        late
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(
        !watch.join().unwrap(),
        "it hung; stdout: {out} stderr: {err}"
    );
    Ended {
        code: output.status.code().unwrap_or(-1),
        out,
        err,
    }
}

/// Sends a signal by pid.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// A running `probe serve`; killed when dropped.
pub(crate) struct Serving {
    child: Option<Child>,
    pub(crate) address: String,
}

impl Serving {
    pub(crate) fn start(args: &[&str]) -> Serving {
        let mut child = probe(&[&["serve"], args].concat()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut first)
            .unwrap();
        let address = first
            .strip_prefix("listening on ")
            .expect("its first line")
            .trim()
            .to_owned();
        Serving {
            child: Some(child),
            address,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends SIGTERM and waits for its end.
    pub(crate) fn terminate(self) -> Ended {
        signal(self.pid(), "TERM");
        self.end()
    }

    pub(crate) fn end(mut self) -> Ended {
        end(self.child.take().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server thread that gives each connection, with its number from 0 on, to this function in a thread of its own.
pub(crate) fn peer(serve: impl Fn(usize, TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    address
}

/// A peer that reads and never answers; tells of the first bytes of each connection.
pub(crate) fn silent_peer() -> (SocketAddr, mpsc::Receiver<()>) {
    let (asked, was_asked) = mpsc::channel();
    let address = peer(move |_, mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer) {
            let _ = asked.send(());
        }
    });
    (address, was_asked)
}

/// A peer that answers each read with these bytes, and ends each connection after so many answers.
pub(crate) fn answering_peer(answer: &'static [u8], answers: usize) -> SocketAddr {
    peer(move |_, mut stream| {
        let mut buffer = [0; 4096];
        for _ in 0..answers {
            if !matches!(stream.read(&mut buffer), Ok(1..)) || stream.write_all(answer).is_err() {
                return;
            }
        }
    })
}

/// An address at which nobody listens.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}

/// The shape of a document: keys in their order, and the types of values.
pub(crate) fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(number) if number.is_u64() => "int".into(),
        Value::Number(_) => "float".into(),
        Value::String(_) => "str".into(),
        Value::Array(all) => format!("[{}]", all.first().map_or(String::new(), shape)),
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", shape(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        }
    }
}

/// The shape of a distribution.
pub(crate) const DISTRIBUTION: &str =
    "{count:int,min:int,mean:int,p50:int,p90:int,p99:int,p99.9:int,p99.99:int,max:int}";
