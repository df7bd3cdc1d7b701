//! The rules of the house, as tables, and what a source breaks of them.
//!
//! A name in a table allows what lies beneath it, too: `std::fmt` allows `std::fmt::Debug`.

use std::sync::LazyLock;

use super::Source;

/// The rooms from the ground up. A room may import those of lower floors, and its own.
const FLOORS: &[&[&str]] = &[
    &["errno", "time", "socket_options"],
    &["error"],
    &["wheel", "frame", "event", "kernel", "parting"],
    &["config", "buffer", "stats", "observer"],
    &["net", "conn", "names", "session"],
    &["tls"],
    &["upstream"],
    &["engine"],
    &["handle"],
    &["client", "server", "ship"],
    &["sim"],
    &["fuzz"],
];

/// Rooms without a socket, a clock, a thread, randomness of their own or a log line.
pub(crate) const PURE: &[&str] = &[
    "wheel", "frame", "buffer", "conn", "names", "upstream", "time", "session",
];

/// What a pure room may import besides other pure rooms: words, not deeds. Of `kernel` not even the seam.
const PURE_IMPORTS: &[&str] = &["errno", "error", "event", "config"];

/// What every room may take from the standard library: data and its shapes.
const STD: &[&str] = &[
    "array",
    "borrow",
    "cmp",
    "collections::BTreeMap",
    "collections::BTreeSet",
    "collections::VecDeque",
    "convert",
    "error::Error",
    "fmt",
    "hash::BuildHasherDefault",
    "hash::Hash",
    "hash::Hasher",
    "iter",
    "marker",
    "mem",
    "num",
    "ops",
    "slice",
    "str",
    "sync::Arc",
    "time::Duration",
];

/// What some may take besides. `net` may take all.
const STD_OF: &[(&str, &[&str])] = &[
    ("client", &["net::SocketAddr", "os::fd"]),
    // A deadline may be given as an instant; nobody here asks for the time.
    ("config", &["time::Instant"]),
    ("conn", &["net::SocketAddr"]),
    (
        "engine",
        &[
            "collections::HashMap",
            "io",
            "net",
            "sync::Mutex",
            "sync::MutexGuard",
            "sync::PoisonError",
            "sync::mpsc",
        ],
    ),
    ("error", &["io"]),
    ("event", &["net::SocketAddr", "time::Instant"]),
    ("handle", &["sync::mpsc"]),
    ("kernel", &["io", "net::SocketAddr", "time::Instant"]),
    ("names", &["net::SocketAddr"]),
    ("observer", &["net::SocketAddr"]),
    ("server", &["io", "net::SocketAddr", "sync::atomic"]),
    (
        "sim",
        &[
            "cell",
            "io",
            "net::IpAddr",
            "net::Ipv4Addr",
            "net::Ipv6Addr",
            "net::SocketAddr",
            "rc",
            // What sessions have said: a session may be anybody's.
            "sync::Mutex",
            "sync::MutexGuard",
            "sync::PoisonError",
            "sync::atomic",
            "time::Instant",
        ],
    ),
    ("ship", &["net::SocketAddr", "os::fd"]),
    // The journal on disk: the one room besides `net` that touches files.
    (
        "ship::spool",
        &[
            "fs",
            "io",
            "os::unix::fs",
            "path",
            "process::id",
            "time::Instant",
        ],
    ),
    ("socket_options", &["net::SocketAddr"]),
    // When a target is asked again is told as an instant; nobody here asks for the time.
    ("stats", &["time::Instant"]),
    // Certificates and keys are read when a setting is built; `session` reads and writes rustls' buffers alone.
    ("tls", &["cell", "fs", "io", "net::IpAddr", "path"]),
    // An assertion of rustls' debug builds is no panic of ours.
    ("tls::session", &["panic"]),
    // With a hasher that is always the same.
    ("upstream::ids", &["collections::HashMap"]),
];

/// Sockets and clocks of the standard library, wherever what is around them is allowed.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "elapsed",
    "RandomState",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "UnixStream",
    "stderr",
    "stdin",
    "stdout",
];

/// Which room may name which other crates.
const CRATES_OF: &[(&str, &[&str])] = &[
    ("engine", &["log", "slab"]),
    ("errno", &["libc"]),
    ("names", &["slab"]),
    ("net", &["libc", "log", "mio", "socket2"]),
    ("server", &["log"]),
    ("ship", &["log"]),
    ("ship::spool", &["crc32fast"]),
    ("sim", &["libc"]),
    ("tls", &["base64", "rustls", "rustls_native_certs"]),
    ("upstream", &["slab"]),
];

/// What every room may call.
const MACROS: &[&str] = &[
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "format",
    "matches",
    "panic",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

const MACROS_OF: &[(&str, &[&str])] = &[
    ("engine", &["debug", "info", "warn"]),
    ("lib", &["include_str"]),
    ("net", &["cfg", "debug", "thread_local", "warn"]),
    ("server", &["error"]),
    ("ship", &["debug", "warn"]),
    // The version of this crate, which RELP tells.
    ("ship", &["concat", "env"]),
    ("ship::spool", &["warn"]),
    // What a verifier has refused, until the session that asked takes it.
    ("tls", &["thread_local"]),
    ("tls::session", &["cfg"]),
];

/// Words that no source says: they bring in what `use` and `mod` lines do not tell of.
const WORDS: &[&str] = &["extern"];
const ATTRIBUTES: &[&str] = &["path", "macro_use", "no_std", "no_mangle", "link"];

/// The names of all crates this one depends on, for whatever purpose.
static CRATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let sections = manifest.split("\n[").filter(|section| {
        section.starts_with("dependencies]") || section.starts_with("dev-dependencies]")
    });
    let lines = sections.flat_map(str::lines);
    let names = lines.filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")));
    names.filter(|name| !name.starts_with('#')).collect()
});

/// What a module of the library breaks.
pub(crate) fn breaches(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let names = &source.names;
    let floor = FLOORS
        .iter()
        .position(|floor| floor.contains(&source.room()));
    if floor.is_none() && source.room() != "lib" {
        found.push("stands on no floor".to_owned());
    }
    for path in &names.paths {
        let (root, rest) = path.split_once("::").unwrap_or((path, ""));
        let is_wrong = match root {
            "crate" => !may_import(source, floor, rest),
            "std" => !may_take_from_std(source, rest),
            other => CRATES.iter().any(|it| it == other) && !listed(CRATES_OF, source, other),
        };
        if is_wrong {
            found.push(format!("names {path}"));
        }
    }
    for word in IMPURE.iter().filter(|_| source.room() != "net") {
        let ends = |path: &String| path.strip_suffix(word).is_some_and(is_start);
        if names.words.contains(*word) || names.paths.iter().any(ends) {
            found.push(format!("says {word}"));
        }
    }
    for name in &names.macros {
        if !MACROS.contains(&name.as_str()) && !listed(MACROS_OF, source, name) {
            found.push(format!("calls {name}!"));
        }
    }
    found.extend(hidden(source));
    let place = source.file.display();
    found
        .into_iter()
        .map(|what| format!("{place} {what}"))
        .collect()
}

/// What a module of the binary breaks.
pub(crate) fn breaches_of_probe(source: &Source) -> Vec<String> {
    let system = ["libc", "mio", "slab", "socket2"];
    let named = source.names.paths.iter().filter(|path| {
        let root = path.split("::").next().unwrap_or_default();
        system.contains(&root)
    });
    let mut found: Vec<String> = named.map(|path| format!("names {path}")).collect();
    found.extend(hidden(source));
    let place = source.file.display();
    found
        .into_iter()
        .map(|what| format!("{place} {what}"))
        .collect()
}

/// What is brought in, or allowed, past the lines that are read.
fn hidden(source: &Source) -> Vec<String> {
    let names = &source.names;
    let mut found = Vec::new();
    for word in WORDS.iter().filter(|word| names.words.contains(**word)) {
        found.push(format!("says {word}"));
    }
    for word in ATTRIBUTES
        .iter()
        .filter(|word| names.attributes.contains(**word))
    {
        found.push(format!("has an attribute with {word}"));
    }
    let is_unsafe = names.words.contains("unsafe") || names.attributes.contains("unsafe_code");
    if is_unsafe && source.room() != "net" {
        found.push("is unsafe".to_owned());
    }
    found
}

/// `room::…`, from the root of the crate.
fn may_import(source: &Source, floor: Option<usize>, path: &str) -> bool {
    let room = path.split("::").next().unwrap_or_default();
    if room == source.room() || source.room() == "lib" {
        return true;
    }
    let imported = FLOORS.iter().position(|floor| floor.contains(&room));
    let is_beneath = imported.is_some_and(|imported| Some(imported) < floor);
    let is_pure = PURE.contains(&room) || PURE_IMPORTS.contains(&room);
    // The loop is the same over any kernel: it knows the seam, and not the one kernel behind it.
    let is_behind_the_seam = source.room() == "engine" && room == "net";
    is_beneath && (is_pure || !PURE.contains(&source.room())) && !is_behind_the_seam
}

fn may_take_from_std(source: &Source, path: &str) -> bool {
    source.room() == "net"
        || STD.iter().any(|it| is_beneath(path, it))
        || listed(STD_OF, source, path)
}

/// Whether a table allows it to a module, or to one that this lies in.
fn listed(table: &[(&str, &[&str])], source: &Source, path: &str) -> bool {
    let module = match source.module.is_empty() {
        true => "lib".to_owned(),
        false => source.module.join("::"),
    };
    let mut rows = table.iter().filter(|(place, _)| is_beneath(&module, place));
    rows.any(|(_, allowed)| allowed.iter().any(|it| is_beneath(path, it)))
}

fn is_beneath(path: &str, root: &str) -> bool {
    let rest = path.strip_prefix(root);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_start(before: &str) -> bool {
    before.is_empty() || before.ends_with("::")
}
