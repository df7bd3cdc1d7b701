//! The machine: which CPU a thread runs on, what it used, how many descriptors it may have; and the echo server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use taut::server::{Server, ServerConfig, Service};

const HOUR: Duration = Duration::from_secs(3600);

/// Pins this thread, and those it starts, to one CPU. Where there is none of that number it stays where it is.
pub(crate) fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is the empty set; both calls only touch the set they are given.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set) != 0
    };
    if failed {
        eprintln!("not pinned: there is no CPU {cpu}");
    }
}

/// User and system time of this thread so far.
pub(crate) fn thread_cpu() -> Duration {
    let clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: an all-zero timespec is valid, and clock_gettime fills it.
    let used = unsafe {
        let mut used: libc::timespec = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(clock, &raw mut used), 0);
        used
    };
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Raises the soft limit of descriptors to the hard one.
pub(crate) fn raise_descriptors() {
    // SAFETY: getrlimit writes one rlimit, setrlimit reads one.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(65_536);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

/// The machine in a line.
pub(crate) fn words() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (kernel, load) = (
        read("/proc/sys/kernel/osrelease"),
        read("/proc/loadavg").replace('\n', ""),
    );
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Linux {}, {cpus} CPUs, load {load}", kernel.trim())
}

/// How the echo server is.
pub(crate) fn echo_config() -> ServerConfig {
    ServerConfig {
        service: Service::Echo,
        idle_timeout: HOUR,
        connections_max: 20_000,
        ..ServerConfig::default()
    }
}

/// Runs the echo server until it is killed.
pub(crate) fn serve(at: &str, config: ServerConfig) {
    raise_descriptors();
    pin(1);
    let mut server = Server::bind(at.parse().expect("an address"), config).expect("bound");
    println!("{}", server.local_addr());
    server.run().expect("served");
}

/// A server in a process of its own; killed when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: String,
}

impl Served {
    /// This program, with what has it serve: its first line is its address.
    pub(crate) fn start(args: &[&str]) -> Served {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut address).unwrap();
        Served {
            child,
            address: address.trim().to_owned(),
        }
    }
}

/// The echo server.
pub(crate) fn echo() -> Served {
    Served::start(&["--serve", "127.0.0.1:0"])
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
