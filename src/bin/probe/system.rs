//! What is asked of the operating system: pinning, descriptors, what a run has used.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use crate::exit::Fault;

/// CPU time, user and system.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Of the calling thread so far (of the whole process where threads are not told apart).
    pub(crate) fn of_thread() -> CpuTime {
        #[cfg(target_os = "linux")]
        let who = UsageWho::RUSAGE_THREAD;
        #[cfg(not(target_os = "linux"))]
        let who = UsageWho::RUSAGE_SELF;
        let Ok(usage) = getrusage(who) else {
            return CpuTime::default();
        };
        let duration = |time: nix::sys::time::TimeVal| {
            let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
            Duration::from_micros(micros.unsigned_abs())
        };
        CpuTime {
            user: duration(usage.user_time()),
            system: duration(usage.system_time()),
        }
    }

    /// What was used since then.
    pub(crate) fn since(self, before: CpuTime) -> CpuTime {
        CpuTime {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub(crate) fn sum(self) -> Duration {
        self.user + self.system
    }
}

/// The largest resident size of the process so far, in bytes.
pub(crate) fn max_rss_bytes() -> u64 {
    // Linux counts KiB, the BSDs and macOS do as well or bytes; only Linux is measured on.
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss().unsigned_abs() * 1024)
}

/// As many descriptors as the hard limit allows: a connection is one. Failing is no harm: EMFILE is told then.
pub(crate) fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        log::info!("the limit of descriptors stays at {soft}: {error}");
    }
}

/// Pins the calling thread, and threads it starts from now on, to one CPU.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cpu: usize) -> Result<(), Fault> {
    use nix::sched::{CpuSet, sched_setaffinity};
    use nix::unistd::Pid;

    let mut set = CpuSet::new();
    let outcome = set
        .set(cpu)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    outcome.map_err(|error| Fault::usage(format!("--cpu {cpu}: {}; {}", error.desc(), allowed())))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(_: usize) -> Result<(), Fault> {
    Err(Fault::usage("--cpu: threads can only be pinned on Linux"))
}

/// The CPUs this process may run on, as a text.
#[cfg(target_os = "linux")]
fn allowed() -> String {
    let cpus: Vec<String> = allowed_cpus().iter().map(usize::to_string).collect();
    format!("this process may use {}", cpus.join(", "))
}

/// The CPUs this thread may run on.
#[cfg(target_os = "linux")]
fn allowed_cpus() -> Vec<usize> {
    use nix::sched::{CpuSet, sched_getaffinity};
    use nix::unistd::Pid;

    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else {
        return Vec::new();
    };
    (0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect()
}

/// A CPU for a second thread when the first is pinned to this one: another that may be used, if there is any.
#[cfg(target_os = "linux")]
pub(crate) fn other_cpu(than: usize) -> Option<usize> {
    allowed_cpus().into_iter().find(|&cpu| cpu != than)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn other_cpu(_: usize) -> Option<usize> {
    None
}
