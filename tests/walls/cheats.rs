//! Ways around the walls, each of which is found; and honest lines, which are not accused.
//!
//! A way that nobody has thought of yet is added here first.

use super::{Source, rules};

/// In which module, and how.
const CHEATS: &[(&str, &str)] = &[
    // Written otherwise.
    ("conn", "use std::{net::TcpStream, fmt};"),
    ("conn", "use std::{time::{self, Duration}};"),
    ("conn", "use std::time::*;"),
    ("conn", "use ::std::thread;"),
    ("conn", "use std as s; fn f() { s::thread::yield_now(); }"),
    ("conn", "use core::time as t; use std::time as u;"),
    ("conn", "fn f() { let _ = r#std::time::Instant::now(); }"),
    ("conn", "fn f() -> <std::net::TcpStream as Sized>::T {}"),
    ("conn", "use std\n    ::  /* far */ thread;"),
    ("conn", "extern crate std as s;"),
    ("conn", "extern crate alloc;"),
    ("conn", "fn f() { let x = [std::thread::current()]; }"),
    ("conn", "mod inner { use std::thread; }"),
    ("conn", "fn f() { use std::env; }"),
    (
        "conn",
        "type T = HashMap<u8, u8>; use std::collections::HashMap;",
    ),
    ("upstream::ids", "use std::hash::RandomState;"),
    (
        "upstream::ids",
        "use std::collections::hash_map::RandomState;",
    ),
    (
        "config",
        "use std::time::Instant; fn f() { Instant::now(); }",
    ),
    ("config", "fn f(i: std::time::Instant) { i.elapsed(); }"),
    ("engine::core", "use std::net::{SocketAddr, TcpStream};"),
    ("engine::core", "use std::time::Instant;"),
    ("error", "fn f() { std::io::stderr(); }"),
    // By macros.
    ("conn", "fn f() { println!(); }"),
    ("conn", "fn f() { std::eprintln!(); }"),
    ("conn", "thread_local! { static T: u8 = 0; }"),
    ("conn", "include!(\"../net/socket.rs\");"),
    ("conn", "fn f() { env!(\"HOME\"); }"),
    ("conn", "fn f() { vec![std::thread::current()]; }"),
    (
        "conn",
        "macro_rules! m { ($a:ident) => { std::$a::current() } }",
    ),
    (
        "conn",
        "macro_rules! m { ($a:ident) => { $a::thread::current() } } m!(std);",
    ),
    ("conn", "use log::info as note; fn f() { note!(); }"),
    ("conn", "fn f() { log::info!(); }"),
    ("conn", "#[macro_use] mod inner {}"),
    // Other crates.
    ("conn", "use mio;"),
    ("conn", "use ::mio::{Poll as P};"),
    ("engine", "fn f() -> libc::c_int { 0 }"),
    ("upstream", "use {std::fmt, socket2::Socket};"),
    ("frame", "#[clap::derive] struct S;"),
    // Other rooms.
    ("conn", "use crate::{time::Time, net::Net};"),
    ("conn", "use crate::*;"),
    ("conn", "use crate as all;"),
    ("conn", "use crate::SystemResolver;"),
    ("conn", "use super::net;"),
    ("conn::timeouts", "use super::super::engine::Core;"),
    ("conn::timeouts", "use super::{super::{client, time}};"),
    (
        "conn::timeouts",
        "mod a { use super::super::super::server; }",
    ),
    ("conn::timeouts", "fn f() { self::super::super::net::f() }"),
    ("conn", "use crate::kernel::Kernel;"),
    ("buffer", "use crate::config::Config;"),
    ("engine", "use crate::net::Net;"),
    ("engine", "use crate::sim::world;"),
    ("attic", "fn f() {}"),
    // Unsafe.
    ("conn", "fn f() { unsafe{ g() } }"),
    ("conn", "#![allow(unsafe_code)]"),
    ("conn", "#[unsafe(no_mangle)] fn f() {}"),
    ("conn", "extern \"C\" { fn f(); }"),
    // What only looks like tests, or hides beside them.
    ("conn", "#[cfg(any(test, unix))] use std::thread;"),
    ("conn", "#[cfg(all(unix, not(test)))] use std::thread;"),
    (
        "conn",
        "#[cfg(any(all(test, unix), feature = \"sim\"))] use std::thread;",
    ),
    ("conn", "#[cfg(not(test))] mod tests { use std::thread; }"),
    ("conn", "mod tests { use std::thread; }"),
    ("conn", "#[cfg(test)] use std::fmt; use std::thread;"),
    ("conn", "#[cfg(test)] mod t { } use std::thread;"),
    (
        "conn",
        "struct S { #[cfg(test)] a: u8, b: std::thread::Thread }",
    ),
    ("conn", "#[path = \"../net/socket.rs\"] mod socket;"),
    (
        "conn",
        "#[cfg_attr(unix, path = \"../net/socket.rs\")] mod socket;",
    ),
];

const HONEST: &[(&str, &str)] = &[
    (
        "conn",
        "use std::fmt::{self, Debug}; use crate::{time::Time, frame};",
    ),
    (
        "conn",
        "use core::time::Duration; // unsafe\n/* std::thread */ /// mio::Poll\nstruct S;",
    ),
    (
        "conn",
        "fn f() { panic!(\"std::thread {}\", unsafe_of(x)); }",
    ),
    ("conn", "#[cfg(test)] mod tests { use std::thread; }"),
    (
        "conn",
        "#[cfg(all(test, unix))]\n#[rustfmt::skip]\npub(crate) use std::thread;",
    ),
    (
        "conn",
        "#[cfg(any(test, fuzzing))] pub(crate) mod meter { use std::thread; }",
    ),
    (
        "conn::timeouts",
        "use super::{Conn, State}; use super::super::time::Time;",
    ),
    ("conn", "fn f() { if a != (b) { log.push(core.x); } }"),
    (
        "net::socket",
        "use mio::net::TcpStream; fn f() { unsafe { std::thread::current() } }",
    ),
    ("sim::kernel", "use crate::kernel::Kernel; use libc::EBADF;"),
];

fn breaches(module: &str, text: &str) -> Vec<String> {
    let module = module.split("::").map(str::to_owned).collect();
    rules::breaches(&Source::of("a source".into(), text, module))
}

#[test]
fn every_way_around_the_walls_is_found() {
    for (module, text) in CHEATS {
        let found = breaches(module, text);
        assert!(!found.is_empty(), "{module}: {text}");
    }
}

#[test]
fn what_is_allowed_is_not_accused() {
    for (module, text) in HONEST {
        let found = breaches(module, text);
        assert!(found.is_empty(), "{module}: {text}: {found:?}");
    }
}
