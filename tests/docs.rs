//! The documents speak of what exists: each file that one of them names in backticks is there, and so is each test.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where files stand whose names the documents write: at the root, and rooms within the house.
const PLACES: &[&str] = &["", "src"];

struct Named {
    document: PathBuf,
    line: usize,
    words: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let mut all = vec![root().join("README.md")];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "md") {
            all.push(path);
        }
    }
    all
}

/// What stands in backticks on a line, outside of blocks of code.
fn in_backticks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let quoted = line.split('`').skip(1).step_by(2);
            found.extend(quoted.map(|words| (number + 1, words.to_owned())));
        }
    }
    found
}

fn named() -> Vec<Named> {
    let mut all = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (line, words) in in_backticks(&text) {
            all.push(Named {
                document: document.clone(),
                line,
                words,
            });
        }
    }
    all
}

/// The file of `tests/peek.rs::a_name`, and the name.
fn split(words: &str) -> Option<(&str, Option<&str>)> {
    let (path, test) = match words.split_once("::") {
        Some((path, test)) => (path, Some(test)),
        None => (words, None),
    };
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let tells = path.ends_with('/')
        || path.ends_with(".rs")
        || ["src/", "tests/", "benches/", "docs/", ".ci/"]
            .iter()
            .any(|place| path.starts_with(place));
    (is_plain && tells).then_some((path, test))
}

/// All sources of a file or of a directory.
fn text_of(path: &Path) -> String {
    if path.is_file() {
        return std::fs::read_to_string(path).unwrap();
    }
    let entries = std::fs::read_dir(path).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| text_of(path)).collect()
}

#[test]
fn each_file_that_a_document_names_is_there_and_each_test_is_in_its_file() {
    let mut missing = BTreeSet::new();
    let mut seen = 0;
    for Named {
        document,
        line,
        words,
    } in named()
    {
        let Some((path, test)) = split(&words) else {
            continue;
        };
        seen += 1;
        let mut places = PLACES.iter().map(|place| root().join(place).join(path));
        let there = places.find(|path| path.exists()).is_some_and(|path| {
            test.is_none_or(|test| text_of(&path).contains(&format!("fn {test}(")))
        });
        if !there {
            missing.insert(format!("{}:{line}: {words}", document.display()));
        }
    }
    assert!(missing.is_empty(), "not there: {missing:#?}");
    assert!(seen > 50, "only {seen} files are named");
}

#[test]
fn what_is_looked_for_is_found() {
    let text = "see `tests/peek.rs` and\n```\n`tests/none.rs`\n```\n`a word`, `tests/a.rs::b`";
    let found = in_backticks(text);
    let words: Vec<_> = found
        .iter()
        .map(|(line, words)| (*line, &**words))
        .collect();
    assert_eq!(
        words,
        [(1, "tests/peek.rs"), (5, "a word"), (5, "tests/a.rs::b")]
    );
    assert_eq!(split("tests/a.rs::b"), Some(("tests/a.rs", Some("b"))));
    assert_eq!(split("src/frame/tests/"), Some(("src/frame/tests/", None)));
    assert_eq!(split("frame/"), Some(("frame/", None)));
    assert_eq!(split("cargo test"), None);
    assert_eq!(split("class/phase"), None);
    assert_eq!(split("tests/mutants/*.patch"), None);
}
