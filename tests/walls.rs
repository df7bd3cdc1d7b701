//! The walls of the house, read off the sources: which floor may import which, where `unsafe` and the system's crates
//! may stand, and that no file outgrows its purpose (`docs/architecture.md`).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms from the ground up. A room may import those of lower floors, and its own.
const FLOORS: &[&[&str]] = &[
    &["errno", "time", "socket_options"],
    &["error"],
    &["wheel", "frame", "event", "kernel"],
    &["config", "buffer"],
    &["net", "conn"],
    &["upstream"],
    &["engine"],
    &["handle"],
    &["client", "server"],
    &["sim", "fuzz"],
];

/// Rooms without a socket, a clock, a thread, randomness of their own or a log line.
const PURE: &[&str] = &["wheel", "frame", "buffer", "conn", "upstream", "time"];

const IMPURE_WORDS: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "Instant",
    "SystemTime",
    "std::thread",
    "thread::",
    "mio::",
    "socket2::",
    "libc::",
    "log::",
    "RandomState",
    "std::fs",
    "std::env",
    "println!",
];

struct Source {
    path: PathBuf,
    room: String,
    /// Without comments and without test modules.
    code: String,
}

#[test]
fn each_floor_imports_only_floors_beneath_it() {
    for source in sources() {
        let Some(floor) = floor_of(&source.room) else {
            assert_eq!(
                source.room,
                "lib",
                "{} stands on no floor",
                source.path.display()
            );
            continue;
        };
        for import in imports(&source.code) {
            let imported = floor_of(&import);
            let allowed =
                import == source.room || imported.is_some_and(|imported| imported < floor);
            assert!(
                allowed,
                "{} (floor {floor}) imports crate::{import}",
                source.path.display()
            );
        }
    }
}

#[test]
fn the_pure_rooms_know_no_socket_clock_thread_or_log() {
    for source in sources()
        .iter()
        .filter(|source| PURE.contains(&source.room.as_str()))
    {
        for word in IMPURE_WORDS {
            assert!(
                !source.code.contains(word),
                "{} is pure and says {word}",
                source.path.display()
            );
        }
    }
}

#[test]
fn the_systems_crates_and_unsafe_stand_in_net_alone() {
    for source in sources().iter().filter(|source| source.room != "net") {
        for word in ["unsafe ", "mio::", "socket2::"] {
            assert!(
                !source.code.contains(word),
                "{} says {word:?}",
                source.path.display()
            );
        }
        if source.room != "errno" {
            assert!(
                !source.code.contains("libc::"),
                "{} names libc",
                source.path.display()
            );
        }
    }
}

#[test]
fn probe_uses_the_public_library_only() {
    let text: String = files(Path::new("src/bin"))
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for word in ["mio::", "socket2::", "libc::", "unsafe "] {
        assert!(!text.contains(word), "probe says {word}");
    }
}

#[test]
fn every_room_has_a_purpose_on_its_door_and_stays_below_400_lines() {
    for path in files(Path::new("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} has no purpose on its door",
            path.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= 400,
            "{} has {lines} lines: what two things does it hold?",
            path.display()
        );
    }
}

#[test]
fn the_walls_are_read_and_not_imagined() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(|source| source.room.as_str()).collect();
    for room in PURE.iter().chain(&["net", "engine", "client"]) {
        assert!(rooms.contains(room), "no source of {room} was read");
    }
    assert!(imports("use crate::net::Net;\nlet a = crate::time::Time::ZERO;").contains("net"));
    assert_eq!(
        code_of("a // unsafe \n#[cfg(test)]\nmod tests {\n x {}\n}\nb"),
        "a \nb\n"
    );
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

fn sources() -> Vec<Source> {
    let all = files(Path::new("src")).into_iter().filter(|path| {
        let of_tests = path
            .components()
            .any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
        !of_tests && !path.starts_with("src/bin") && !path.starts_with("src/sim")
    });
    let source = |path: PathBuf| {
        let room = path
            .strip_prefix("src")
            .unwrap()
            .components()
            .next()
            .unwrap();
        let room = room
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let code = code_of(&std::fs::read_to_string(&path).unwrap());
        Source { path, room, code }
    };
    all.map(source).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all
}

/// The code of a file: no comments, no test modules (whose closing brace stands at the start of a line).
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            if lines.next().is_some_and(|next| next.ends_with('{')) {
                lines.by_ref().find(|line| *line == "}");
            }
            continue;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The rooms named after `crate::`, and those in `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        assert!(
            !part.starts_with('{'),
            "write one `use crate::room` a line, so that walls can be read"
        );
        rooms.insert(
            part.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect(),
        );
    }
    rooms
}
