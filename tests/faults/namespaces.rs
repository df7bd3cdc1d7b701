//! The namespaces themselves: what is made is there, does what it should, and is gone afterwards.

use std::io::Write;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::namespaces::{Link, Namespace, sweep};
use crate::support::{Peer, ms, read_exactly};

fn of_this_thread() -> PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").unwrap()
}

fn path_of(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn two_namespaces_speak_over_their_link_in_both_families() {
    let link = Link::new("speak");
    for address in [Link::FAR, Link::FAR_V6] {
        let peer = link.far.within(|| Peer::at((address, 0)));
        let mut near = link
            .near
            .within(|| TcpStream::connect(peer.addr()).unwrap());
        near.write_all(b"over the link").unwrap();
        assert_eq!(read_exactly(&mut peer.accept(), 13), b"over the link");
        // Outside of the namespaces there is no such network.
        let elsewhere = Namespace::new("elsewhere");
        assert!(elsewhere.within(|| TcpStream::connect_timeout(&peer.addr(), ms(50)).is_err()));
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn threads_and_processes_started_within_are_within() {
    let namespace = Namespace::new("within");
    let outside = of_this_thread();
    let inside = namespace.within(of_this_thread);
    assert_ne!(inside, outside);
    assert_eq!(of_this_thread(), outside);
    assert_eq!(namespace.spawn(of_this_thread).join().unwrap(), inside);
    let mut command = Command::new("readlink");
    let output = namespace.within(|| command.arg("/proc/self/ns/net").output().unwrap());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        inside.to_str().unwrap()
    );
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn settings_are_of_one_namespace_alone() {
    let (one, other) = (Namespace::new("settings"), Namespace::new("settings"));
    let retries = || std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syn_retries").unwrap();
    let before = other.within(retries);
    one.sysctl("net.ipv4.tcp_syn_retries", "2");
    assert_eq!(one.within(retries).trim(), "2");
    assert_eq!(other.within(retries), before);
    assert_eq!(retries(), before);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_was_made_is_removed_also_after_a_panic() {
    let (mut names, outside) = (Vec::new(), of_this_thread());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let link = Link::new("panics");
        names = vec![link.near.name().to_owned(), link.far.name().to_owned()];
        let _inside = link.near.enter();
        assert!(names.iter().all(|name| path_of(name).exists()));
        panic!("as a test that fails");
    }));
    assert!(outcome.is_err());
    assert!(
        names.iter().all(|name| !path_of(name).exists()),
        "{names:?}"
    );
    assert_eq!(of_this_thread(), outside);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_a_killed_process_left_is_swept_and_what_a_live_one_has_is_not() {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let left = format!("taut-killed-{}-0", child.id());
    let mut add = Command::new("ip");
    assert!(
        add.args(["netns", "add", &left])
            .status()
            .unwrap()
            .success()
    );
    let live = Namespace::new("live");
    sweep();
    assert!(!path_of(&left).exists());
    assert!(path_of(live.name()).exists());
}
