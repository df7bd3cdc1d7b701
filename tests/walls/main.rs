//! The walls of the house, read off the sources: which floor may import which, what a room may take from the standard
//! library and from other crates, where `unsafe` may stand, and that no file outgrows its purpose
//! (`docs/architecture.md`).
//!
//! What is not allowed is refused: a room that needs more says so in the tables of `rules`. Sources are found as the
//! compiler finds them, along their `mod` lines, so a module is of the tests when it is compiled for them alone.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cheats;
mod rules;
mod tokens;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rules::PURE;
use tokens::Names;

/// One module of the library or of the binary.
struct Source {
    file: PathBuf,
    module: Vec<String>,
    names: Names,
}

impl Source {
    fn of(file: PathBuf, text: &str, module: Vec<String>) -> Source {
        let names = Names::of(text, &module);
        Source {
            file,
            module,
            names,
        }
    }

    fn room(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

#[test]
fn no_room_reaches_over_its_walls() {
    let library = sources("src/lib.rs");
    let rooms: BTreeSet<&str> = library.iter().map(Source::room).collect();
    for room in PURE.iter().chain(&["net", "engine", "client", "lib"]) {
        assert!(rooms.contains(room), "no source of {room} was read");
    }
    let breaches: Vec<String> = library.iter().flat_map(rules::breaches).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn probe_uses_the_public_library_only() {
    let probe = sources("src/bin/probe/main.rs");
    assert!(
        probe.len() > 5,
        "{} sources of probe were read",
        probe.len()
    );
    let breaches: Vec<String> = probe.iter().flat_map(rules::breaches_of_probe).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn unsafe_code_stands_in_net_alone_in_tests_too() {
    for file in files("src".as_ref())
        .into_iter()
        .filter(|file| !file.starts_with("src/net"))
    {
        let names = Names::of(&std::fs::read_to_string(&file).unwrap(), &[]);
        for word in ["unsafe", "unsafe_code"] {
            let is_said = [&names.words, &names.test_words, &names.attributes]
                .iter()
                .any(|words| words.contains(word));
            assert!(!is_said, "{} says {word}", file.display());
        }
    }
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n"));
}

#[test]
fn every_room_has_a_purpose_on_its_door_and_stays_below_400_lines() {
    for file in ["src", "tests", "benches"]
        .iter()
        .flat_map(|it| files(it.as_ref()))
    {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} has no purpose on its door",
            file.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= 400,
            "{} has {lines} lines: what two things does it hold?",
            file.display()
        );
    }
}

/// The modules of a crate that are compiled without its tests.
fn sources(root: &str) -> Vec<Source> {
    let root = Path::new(root);
    let text = std::fs::read_to_string(root).unwrap();
    let mut all = vec![Source::of(root.to_owned(), &text, Vec::new())];
    let mut next = 0;
    while let Some(source) = all.get(next) {
        for module in source.names.children.clone() {
            let file = root.with_file_name(module.join("/"));
            let files = [file.with_extension("rs"), file.join("mod.rs")];
            let found = files.iter().find(|file| file.exists());
            let file = found.expect("a `mod` line without a #[path] has its file");
            let text = std::fs::read_to_string(file).unwrap();
            all.push(Source::of(file.clone(), &text, module));
        }
        next += 1;
    }
    all
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
