//! `probe ship --spool`: what was read is shipped, by this run or by a later one.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::shipping::{endless_sink, fates, reading_sink, scratch, ship, ship_json, start, until};
use super::support::{DEADLINE, caught, end, nobody, signal};

/// A directory that is gone in the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        Dir(scratch(name))
    }

    fn as_str(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Whether a file in it holds these bytes.
    fn holds(&self, bytes: &[u8]) -> bool {
        let Ok(entries) = std::fs::read_dir(&self.0) else {
            return false;
        };
        let has = |path: &Path| {
            std::fs::read(path).is_ok_and(|all| all.windows(bytes.len()).any(|it| it == bytes))
        };
        entries.flatten().any(|entry| has(&entry.path()))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn lines_that_a_killed_run_had_read_are_shipped_by_the_next_one() {
    let spool = Dir::new("killed");
    let mut child = start(&[
        &nobody(),
        "--spool",
        spool.as_str(),
        "--syslog",
        "--pri",
        "9",
    ]);
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"one\ntwo\nthe last whole line\nhalf")
        .unwrap();
    until(|| spool.holds(b"the last whole line"));
    signal(child.id(), "KILL");
    assert_eq!(end(child).code, -1);
    drop(stdin);

    let (sink, brought) = reading_sink();
    let ended = ship_json(
        &[&sink, "--spool", spool.as_str(), "--framing", "lf"],
        b"new",
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fates(&ended.json()), [4, 0, 0, 0]);
    assert!(ended.err.contains("3 lines of an earlier run"), "{ended:?}");
    let brought = String::from_utf8(brought.recv_timeout(DEADLINE).unwrap()).unwrap();
    let ends = [" - one", " - two", " - the last whole line", "new"];
    assert_eq!(brought.lines().count(), 4, "{brought}");
    for (line, end) in brought.lines().zip(ends) {
        assert!(
            line.ends_with(end) && (line == "new" || line.starts_with("<9>1 ")),
            "{line}"
        );
    }
    // They are settled: nothing is left.
    let ended = ship_json(&[&sink, "--spool", spool.as_str()], b"");
    assert_eq!((ended.code, fates(&ended.json())), (0, [0; 4]), "{ended:?}");
}

#[test]
fn what_is_not_delivered_stays_for_the_next_run_with_its_number() {
    let spool = Dir::new("kept");
    let file = scratch("kept-fates");
    let flags = [
        "--spool",
        spool.as_str(),
        "--drain",
        "300ms",
        "--uncertain",
        file.to_str().unwrap(),
    ];
    let to = |sink: &str, input: &[u8]| ship_json(&[&[sink][..], &flags].concat(), input);
    let ended = to(&nobody(), b"one\ntwo\n");
    assert_eq!(
        (ended.code, fates(&ended.json())),
        (5, [0, 0, 2, 0]),
        "{ended:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1-2 undelivered\n");
    // The sink has it, and never says so: it is sent again, since that is what becomes of lines in doubt.
    let (sink, _brought) = endless_sink();
    let ended = to(&sink, b"three\n");
    assert_eq!(
        (ended.code, fates(&ended.json())),
        (5, [0, 3, 0, 0]),
        "{ended:?}"
    );
    let (sink, brought) = reading_sink();
    let ended = to(&sink, b"\nfive\n");
    assert_eq!(
        (ended.code, fates(&ended.json())),
        (5, [4, 0, 0, 1]),
        "{ended:?}"
    );
    assert_eq!(
        brought.recv_timeout(DEADLINE).unwrap(),
        b"3 one3 two5 three4 five"
    );
    let told = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        told,
        "4-4 refused: it is empty, and octet counting has no empty line\n"
    );
    std::fs::remove_file(&file).unwrap();
    let ended = to(&sink, b"");
    assert_eq!((ended.code, fates(&ended.json())), (0, [0; 4]), "{ended:?}");
}

/// Reading goes on beyond the journal while nobody is there, and the spool gives all of it back.
#[test]
fn a_spool_takes_more_than_the_journal_and_more_than_itself_waits() {
    let spool = Dir::new("larger");
    let line = format!("{}\n", "w".repeat(9_999));
    let flags = [
        "--spool",
        spool.as_str(),
        "--journal",
        "64KiB",
        "--max-line",
        "10k",
        "--drain",
        "200ms",
    ];
    let ended = ship_json(
        &[&[nobody().as_str()][..], &flags].concat(),
        line.repeat(200).as_bytes(),
    );
    assert_eq!(
        (ended.code, fates(&ended.json())),
        (5, [0, 0, 200, 0]),
        "{ended:?}"
    );
    let (sink, brought) = reading_sink();
    let flags = [
        &flags[..6],
        &["--spool-max", "4MiB", "--commit-every", "32KiB"],
    ]
    .concat();
    let ended = ship_json(
        &[&[sink.as_str()][..], &flags].concat(),
        line.repeat(800).as_bytes(),
    );
    assert_eq!(
        (ended.code, fates(&ended.json())),
        (0, [1_000, 0, 0, 0]),
        "{ended:?}"
    );
    let mut arrived = 0;
    while arrived < 1_000 * "9999 ".len() + 1_000 * 9_999 {
        arrived += brought.recv_timeout(DEADLINE).unwrap().len();
    }
}

#[test]
fn two_shippers_on_one_spool_are_one_too_many() {
    let spool = Dir::new("locked");
    let (sink, brought) = endless_sink();
    let mut first = start(&[&sink, "--spool", spool.as_str(), "--drain", "50ms"]);
    first.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    brought.recv_timeout(DEADLINE).unwrap();
    let second = ship(&[&sink, "--spool", spool.as_str()], b"two\n");
    assert_eq!(
        (second.code, second.err.lines().count()),
        (1, 1),
        "{second:?}"
    );
    assert!(
        second.err.contains("in use by another shipper"),
        "{second:?}"
    );
    signal(first.id(), "INT");
    assert_eq!(end(first).code, 130);
    let small = ship(
        &[&sink, "--spool", spool.as_str(), "--spool-max", "64KiB"],
        b"",
    );
    assert_eq!(small.code, 2, "{small:?}");
    assert!(small.err.contains("smaller --max-line"), "{small:?}");
}

/// It is a limit on the size of files that stands for a full disk, as root or not. The spool is synced a second after the
/// first line, and the epoch is not committed before that.
#[test]
fn a_full_disk_is_waited_for_and_warned_of_once_until_there_is_room() {
    let spool = Dir::new("full");
    let (sink, brought) = reading_sink();
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" ship \"$1\" --spool \"$2\" --commit-every 1100ms --format json";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_probe"), &sink]);
    shell.arg(spool.as_str());
    let mut shell = caught(shell);
    let mut child = shell.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = format!("{}\n", "f".repeat(99)).repeat(1_000);
    for epoch in 0..2 {
        let mut arrived = 0;
        stdin.write_all(lines.as_bytes()).unwrap();
        while epoch == 0 && arrived < 1_000 * "99 ".len() + 1_000 * 99 {
            arrived += brought.recv_timeout(DEADLINE).unwrap().len();
        }
    }
    drop(stdin);
    let ended = end(child);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(fates(&ended.json()), [2_000, 0, 0, 0]);
    let warnings = ended.err.matches("File too large").count();
    assert!((1..=4).contains(&warnings), "{ended:?}");
}
