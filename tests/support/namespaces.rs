//! Network namespaces: machines of their own for one test, with links, packet filters and settings that no other test
//! sees.
//!
//! They need root, iproute2 and nftables, so a test that uses them is `#[ignore]`d with that reason. A namespace is named
//! after its purpose and the pid of the test's process and goes with its value, also when the test panics; what a killed
//! process left behind is swept by the next one. Nothing is made in the namespace of the system: both ends of a link
//! are made within those of the test, so tests in parallel may use the same devices and addresses. A thread that enters
//! one takes threads and processes that it starts along; sockets stay where they were made.
#![allow(dead_code, reason = "no test binary uses all of it")]

use std::fs::File;
use std::io::Write;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, setns};

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";

/// Begins every name, so that a sweep takes nobody else's.
const PREFIX: &str = "taut";

static SWEPT: Once = Once::new();
static MADE: AtomicU32 = AtomicU32::new(0);
/// `ip netns add` mounts its directory when it is the first, which is no thing to do twice at a time.
static ADDING: Mutex<()> = Mutex::new(());

/// A network namespace with its loopback device up. Removed when dropped; sockets and processes in it keep the
/// kernel's part of it until they end.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(purpose: &str) -> Namespace {
        SWEPT.call_once(sweep);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{purpose}-{}-{number}", std::process::id());
        let adding = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
        run("ip", &["netns", "add", &name], "");
        drop(adding);
        let namespace = Namespace { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// As `ip netns` knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new(NAMES).join(&self.name)
    }

    /// This thread is in the namespace until the guard is dropped.
    pub(crate) fn enter(&self) -> Inside {
        let before = File::open("/proc/thread-self/ns/net").unwrap();
        set(&File::open(self.path()).unwrap());
        Inside {
            before,
            of_this_thread: PhantomData,
        }
    }

    /// Does something within it.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _inside = self.enter();
        work()
    }

    /// A thread that lives in it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        // A new thread is where its parent is.
        self.within(|| std::thread::spawn(work))
    }

    /// Runs commands of ip(8) in it, one a line and without the word `ip`.
    #[track_caller]
    pub(crate) fn ip(&self, commands: &str) {
        run("ip", &["-n", &self.name, "-batch", "-"], commands);
    }

    /// Adds rules of nft(8) as its files have them. To count from the state before, begin with `flush ruleset`.
    #[track_caller]
    pub(crate) fn nft(&self, rules: &str) {
        self.within(|| run("nft", &["-f", "-"], rules));
    }

    /// What arrives in it meets these rules and no others.
    #[track_caller]
    pub(crate) fn filter_input(&self, rules: &str) {
        self.nft(&format!(
            "flush ruleset\n\
             table inet faults {{\n\
               chain input {{\n\
                 type filter hook input priority 0\n\
                 {rules}\n\
               }}\n\
             }}\n"
        ));
    }

    /// Everything arrives again.
    #[track_caller]
    pub(crate) fn clear_filters(&self) {
        self.nft("flush ruleset");
    }

    /// Sets `net.…` of sysctl(8), which each namespace has for itself.
    #[track_caller]
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.within(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// This thread is in another namespace; it goes back when this is dropped.
#[must_use = "the thread goes back as soon as it is dropped"]
#[derive(Debug)]
pub(crate) struct Inside {
    before: File,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        set(&self.before);
    }
}

/// Two namespaces and a link between them: device [`Link::DEVICE`] at both ends.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) near: Namespace,
    pub(crate) far: Namespace,
}

impl Link {
    pub(crate) const DEVICE: &str = "link0";
    pub(crate) const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
    pub(crate) const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
    pub(crate) const NEAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
    pub(crate) const FAR_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));

    pub(crate) fn new(purpose: &str) -> Link {
        let near = Namespace::new(&format!("{purpose}-near"));
        let far = Namespace::new(&format!("{purpose}-far"));
        join(&near, &far, 0);
        Link { near, far }
    }
}

/// Makes a link of two namespaces, up at both ends: device `link{number}`, addresses `10.77.{number}.1` and `.2`,
/// `fd77:0:0:{number}::1` and `::2`.
pub(crate) fn join(near: &Namespace, far: &Namespace, number: u8) {
    let device = format!("link{number}");
    near.ip(&format!(
        "link add {device} type veth peer name {device} netns {}",
        far.name()
    ));
    for (end, host) in [(near, 1), (far, 2)] {
        // An address is not usable while the system looks whether somebody else has it: here nobody has.
        end.ip(&format!(
            "address add 10.77.{number}.{host}/24 dev {device}\n\
             address add fd77:0:0:{number}::{host}/64 dev {device} nodad\n\
             link set {device} up"
        ));
    }
    for end in [near, far] {
        // A device without its queue drops what is sent; the kernel gives it one when it gets round to it, up to a
        // second later where other links are made too.
        let show = ["-n", end.name(), "-brief", "link", "show", "dev", &device];
        super::eventually("a link that is up", || {
            run("ip", &show, "").contains(" UP ")
        });
    }
}

/// Removes namespaces of processes that have ended without doing so.
pub(crate) fn sweep() {
    let Ok(names) = std::fs::read_dir(NAMES) else {
        return;
    };
    for name in names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let pid = name.rsplit('-').nth(1).filter(|pid| !pid.is_empty());
        let of_tests = name.starts_with(&format!("{PREFIX}-"));
        if of_tests && pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}

/// Another process may have swept it.
fn remove(name: &str) {
    let _ = Command::new("ip")
        .args(["netns", "delete", name])
        .stderr(Stdio::null())
        .status();
}

fn set(namespace: &File) {
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|error| panic!("entering a namespace (needs root): {error}"));
}

/// Runs a program to its end, which must be a success. What it printed.
#[track_caller]
fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} (iproute2, nftables): {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{input}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
