//! A sink in a process of its own, which kills itself with SIGKILL when it has read what a script says and has not
//! stored it. Another is started at the same address at once, and lives.
//!
//! It stores a line by writing its number to a file, as a log server does: what is in the file has been read and kept.
//! The kernel ends the connections of a killed process as if it had closed them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::child;
use crate::ports::free_port;
use crate::shipping::{Framed, number_in};

/// When a process ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dies {
    /// So many lines are read.
    AfterLines(u64),
    /// One connection is read to its end; nothing of it is stored.
    AtTheEnd,
    Never,
}

/// The processes, one after the other, and what they store.
pub(crate) struct Mortal {
    address: SocketAddr,
    stored: PathBuf,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    pid: AtomicU32,
    died: AtomicUsize,
    is_over: AtomicBool,
    /// A process is started and told to end by one at a time.
    starting: Mutex<()>,
}

impl Mortal {
    /// In the network of this thread.
    pub(crate) fn start(at: IpAddr, dies: Dies) -> Mortal {
        let address = SocketAddr::from((at, free_port()));
        let name = format!("taut-mortal-{}-{}", std::process::id(), address.port());
        let stored = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&stored);
        let state = Arc::<State>::default();
        let first = begin(&state, address, &stored, dies).unwrap();
        let (kept, at) = (stored.clone(), state.clone());
        // Where this thread is, is the network of the processes that it starts.
        let thread = std::thread::spawn(move || {
            let mut running = Some(first);
            while let Some(it) = running {
                it.end();
                at.pid.store(0, Ordering::SeqCst);
                at.died.fetch_add(1, Ordering::SeqCst);
                running = begin(&at, address, &kept, Dies::Never);
            }
        });
        Mortal {
            address,
            stored,
            state,
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Processes that have ended.
    pub(crate) fn died(&self) -> usize {
        self.state.died.load(Ordering::SeqCst)
    }

    /// How often each line was stored, by number.
    pub(crate) fn times_stored(&self) -> Vec<u32> {
        let mut times = Vec::new();
        for number in std::fs::read_to_string(&self.stored).unwrap().lines() {
            let at: usize = number.parse().expect("a number a line, nothing altered");
            if times.len() <= at {
                times.resize(at + 1, 0);
            }
            times[at] += 1;
        }
        times
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let starting = self.state.starting.lock();
        self.state.is_over.store(true, Ordering::SeqCst);
        let pid = self.state.pid.load(Ordering::SeqCst);
        if pid > 0 {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        drop(starting);
        let _ = self.thread.take().unwrap().join();
        let _ = std::fs::remove_file(&self.stored);
    }
}

/// Starts a process and waits until it listens; `None` when it is over.
fn begin(state: &State, at: SocketAddr, stored: &Path, dies: Dies) -> Option<child::Running> {
    let _starting = state.starting.lock().unwrap();
    if state.is_over.load(Ordering::SeqCst) {
        return None;
    }
    let dies = match dies {
        Dies::AfterLines(lines) => lines.to_string(),
        Dies::AtTheEnd => "end".to_owned(),
        Dies::Never => "never".to_owned(),
    };
    let role = format!("{at} {dies} {}", stored.display());
    let mut command = child::command("mortal::child_that_is_a_sink", &role);
    // Its other end goes with this process, however that ends.
    command.stdin(std::process::Stdio::piped());
    let mut running = child::Running::start(command);
    running.until_says("listening");
    state.pid.store(running.pid(), Ordering::SeqCst);
    Some(running)
}

#[test]
fn child_that_is_a_sink() {
    let Some(role) = child::role() else {
        return;
    };
    let mut words = role.splitn(3, ' ');
    let listener = TcpListener::bind(words.next().unwrap()).unwrap();
    let dies = match words.next().unwrap() {
        "end" => Dies::AtTheEnd,
        "never" => Dies::Never,
        lines => Dies::AfterLines(lines.parse().unwrap()),
    };
    let mut options = std::fs::OpenOptions::new();
    let stored = options.create(true).append(true);
    let stored = Arc::new(stored.open(words.next().unwrap()).unwrap());
    let read = Arc::<Mutex<u64>>::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stored, read) = (stored.clone(), read.clone());
            std::thread::spawn(move || serve(stream.unwrap(), dies, &stored, &read));
        }
    });
    eprintln!("listening");
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

/// Reads a connection to its end; what has come is stored before more is read, or where the process dies at the end of
/// one, all at once behind it.
fn serve(mut stream: TcpStream, dies: Dies, mut stored: &std::fs::File, read: &Mutex<u64>) {
    let (mut pending, mut numbers) = (Vec::new(), String::new());
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        pending.extend_from_slice(&buffer[..n]);
        let mut taken = 0;
        while let Some((line, bytes)) = Framed::Octet.first(&pending[taken..]) {
            numbers += &format!("{}\n", number_in(line).unwrap());
            *read.lock().unwrap() += 1;
            taken += bytes;
        }
        pending.drain(..taken);
        match dies {
            Dies::AfterLines(lines) if *read.lock().unwrap() >= lines => die(),
            Dies::AtTheEnd => {}
            _ => stored
                .write_all(std::mem::take(&mut numbers).as_bytes())
                .unwrap(),
        }
    }
    if !numbers.is_empty() {
        die();
    }
}

fn die() -> ! {
    let _ = kill(Pid::this(), Signal::SIGKILL);
    unreachable!("killed")
}
