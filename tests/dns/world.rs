//! A machine whose names are the test's: a network namespace with a name server, and a mount namespace in which the
//! files of the system's resolver are others.
//!
//! Those files are the same for every test of the process, for glibc keeps what it has read of them for all threads. The
//! name server they speak of is at 127.0.0.1, which is another one in each network.

use std::path::PathBuf;
use std::sync::OnceLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::server::NameServer;
use crate::support::namespaces::Namespace;

/// One try of a second and another: a name server that is silent is given up after two or three.
const RESOLV_CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n";
const NSSWITCH_CONF: &str = "hosts: files dns\n";
const HOSTS: &str = "127.0.0.1 localhost\n";

/// Runs a test in such a machine, on a thread of its own.
pub(crate) fn in_a_world_with_names(
    purpose: &str,
    test: impl FnOnce(&NameServer) + Send + 'static,
) {
    let namespace = Namespace::new(purpose);
    let server = NameServer::start(&namespace);
    let outcome = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let _inside = namespace.enter();
            replace_files();
            test(&server);
        });
        inside.join()
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// From now on this thread, and those that it starts, see the files of the test.
fn replace_files() {
    static FILES: OnceLock<[(PathBuf, &str); 3]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let pairs = [
            (RESOLV_CONF, "/etc/resolv.conf"),
            (NSSWITCH_CONF, "/etc/nsswitch.conf"),
            (HOSTS, "/etc/hosts"),
        ];
        pairs.map(|(text, target)| {
            let name = format!("taut-dns-{}", target.replace('/', "-"));
            let file = std::env::temp_dir().join(name);
            std::fs::write(&file, text).unwrap();
            (file, target)
        })
    });
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace (needs root)");
    let nothing = None::<&str>;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(nothing, "/", nothing, private, nothing).unwrap();
    for (file, target) in files {
        let bound = mount(Some(file), *target, nothing, MsFlags::MS_BIND, nothing);
        bound.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}
