//! Whatever a directory holds: what is told is a part of what was taken, in order and without a hole that nobody was
//! told of, and nothing panics.

use super::*;

struct Whole {
    dir: Dir,
    files: Vec<(PathBuf, Vec<u8>)>,
}

const CONFIRMED: u64 = 12;
const LAST: u64 = 25;
/// Of a line with a number of two digits.
const RECORD_BYTES: usize = 23;

/// Two segments of eight lines each, from line 10 on, with the first three confirmed; and a position.
fn whole() -> Whole {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=LAST);
    spool.flush().unwrap();
    spool.confirm(CONFIRMED - 2).unwrap();
    spool.confirm(CONFIRMED).unwrap();
    drop(spool);
    let files = dir.files();
    assert_eq!(files.len(), 3, "{files:?}");
    Whole { dir, files }
}

impl Whole {
    /// With another content of one file.
    fn with(&self, index: usize, bytes: Vec<u8>) -> Result<Spool, SpoolError> {
        let mut files = self.files.clone();
        files[index].1 = bytes;
        self.dir.put(&files);
        Spool::open(&self.dir, small())
    }
}

/// What is told begins behind what was confirmed (or what was before the last time), and has no hole; where it ends too
/// soon, an error or the getter says so.
fn check(opened: Result<Spool, SpoolError>, what: &str) {
    let mut spool = match opened {
        Ok(spool) => spool,
        Err(error) => {
            let is_clear = matches!(
                error,
                SpoolError::Corrupt { .. } | SpoolError::Position { .. }
            );
            assert!(is_clear, "{what}: {error}");
            return;
        }
    };
    let (numbers, error) = told(&mut spool);
    let first = numbers.first().copied();
    let is_first = first.is_none_or(|it| it == CONFIRMED + 1 || it == CONFIRMED - 1);
    assert!(is_first, "{what}: begins with {first:?}");
    assert!(
        numbers.windows(2).all(|it| it[1] == it[0] + 1),
        "{what}: {numbers:?}"
    );
    match (numbers.last(), error) {
        (_, Some(error)) => {
            assert!(
                matches!(error, SpoolError::Corrupt { .. }),
                "{what}: {error}"
            );
        }
        (Some(&LAST), None) => assert_eq!(spool.bytes_torn(), 0, "{what}"),
        // Cut between two records there is nothing to be seen.
        (last, None) => assert!(
            spool.bytes_torn() > 0 || what.contains("cut"),
            "{what}: {last:?}"
        ),
    }
    // And it goes on.
    let next = spool.last() + 1;
    assert_eq!(spool.append(&text(next)), Ok(next), "{what}");
}

/// Not in the hole between the two slots of a position.
fn is_used(byte: usize) -> bool {
    !(300..4_090).contains(&byte)
}

#[test]
fn cut_at_any_byte_a_spool_tells_what_is_left_or_says_what_is_missing() {
    let whole = whole();
    for (index, (path, bytes)) in whole.files.iter().enumerate() {
        for end in (0..bytes.len()).filter(|it| is_used(*it)) {
            let what = format!("{} cut at {end}", path.display());
            let opened = whole.with(index, bytes[..end].to_vec());
            let is_last = index == 1;
            let is_opened = opened.is_ok();
            assert!(is_opened || !is_last, "{what}: a torn end is no error");
            check(opened, &what);
        }
    }
}

#[test]
fn a_bit_that_has_turned_makes_no_line_another_and_none_vanish_in_silence() {
    let whole = whole();
    for (index, (path, bytes)) in whole.files.iter().enumerate() {
        for bit in (0..bytes.len() * 8).filter(|bit| is_used(bit / 8)) {
            let mut turned = bytes.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            let what = format!("bit {bit} of {}", path.display());
            check(whole.with(index, turned), &what);
        }
    }
}

#[test]
fn damage_before_intact_lines_is_an_error_that_names_the_place_and_changes_nothing() {
    let whole = whole();
    for index in 0..2 {
        let (path, bytes) = &whole.files[index];
        let mut damaged = bytes.clone();
        // The fourth record of each, whose line is not confirmed.
        damaged[3 * RECORD_BYTES + 20] ^= 0xff;
        let corrupt = match whole.with(index, damaged.clone()) {
            Ok(mut spool) => told(&mut spool).1,
            Err(error) => Some(error),
        };
        let Some(SpoolError::Corrupt { file, offset, line }) = corrupt.clone() else {
            panic!("{corrupt:?}");
        };
        assert_eq!(file, *path);
        assert_eq!((line, offset), ([13, 21][index], 3 * RECORD_BYTES as u64));
        assert_eq!(std::fs::read(path).unwrap(), damaged);
        // By leave all others are told.
        let skip = SpoolConfig {
            damaged: Damaged::Skip,
            ..small()
        };
        let mut spool = Spool::open(&whole.dir, skip).unwrap();
        let expected = (CONFIRMED + 1..=LAST).filter(|it| *it != line).collect();
        assert_eq!(told(&mut spool), (expected, None));
        assert_eq!((spool.lines_skipped(), spool.bytes_torn()), (1, 0));
    }
}

#[test]
fn a_segment_that_is_missing_between_others_is_an_error_and_one_before_them_is_told_of() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=LAST);
    drop(spool);
    let files = dir.files();
    let without = |index: usize| {
        let mut files = files.clone();
        files.remove(index);
        dir.put(&files);
    };
    // Lines 10 to 17.
    without(1);
    let mut spool = Spool::open(&dir, small()).unwrap();
    let (numbers, error) = told(&mut spool);
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    assert!(
        matches!(error, Some(SpoolError::Corrupt { line: 10, .. })),
        "{error:?}"
    );
    drop(spool);
    let skip = SpoolConfig {
        damaged: Damaged::Skip,
        ..small()
    };
    let mut spool = Spool::open(&dir, skip).unwrap();
    assert_eq!(told(&mut spool), ((1..=9).chain(18..=25).collect(), None));
    assert_eq!(spool.lines_skipped(), 8);
    drop(spool);
    // Lines 1 to 9: so a loss of power looks that took the position's last state.
    without(0);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!((spool.lines_skipped(), spool.confirmed()), (9, 9));
    assert_eq!(told(&mut spool), ((10..=25).collect(), None));
    drop(spool);
    // The position: all that is left is sent.
    without(3);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!(told(&mut spool), ((1..=25).collect(), None));
}

#[test]
fn a_position_that_cannot_be_read_is_an_error_and_without_it_all_is_told_again() {
    let whole = whole();
    let path = whole.files[2].0.clone();
    let error = whole.with(2, vec![0; 5_000]).unwrap_err();
    assert_eq!(error, SpoolError::Position { file: path.clone() });
    let skip = SpoolConfig {
        damaged: Damaged::Skip,
        ..small()
    };
    let mut spool = Spool::open(&whole.dir, skip).unwrap();
    assert_eq!(told(&mut spool), ((10..=LAST).collect(), None));
    drop(spool);
    std::fs::remove_file(&path).unwrap();
    let mut spool = Spool::open(&whole.dir, small()).unwrap();
    assert_eq!(told(&mut spool), ((10..=LAST).collect(), None));
}

#[test]
fn a_torn_write_of_the_position_leaves_the_number_before_it_at_every_byte() {
    let whole = whole();
    let newest = &whole.files[2].1[..28];
    for torn in 0..28 {
        let mut bytes = whole.files[2].1.clone();
        // What stood in this slot before: two turns ago.
        bytes[torn..28].fill(0xee);
        let spool = whole.with(2, bytes).unwrap();
        assert_eq!(spool.confirmed(), CONFIRMED - 2, "{torn} of {newest:?}");
    }
}

#[test]
fn after_a_loss_of_power_zeros_are_a_torn_end_and_numbers_go_on_behind_the_position() {
    let whole = whole();
    let mut zeroed = whole.files[1].1.clone();
    zeroed[4 * RECORD_BYTES..].fill(0);
    zeroed.resize(3 << 20, 0);
    let mut spool = whole.with(1, zeroed).unwrap();
    assert_eq!(spool.bytes_torn(), (3 << 20) - 4 * RECORD_BYTES as u64);
    assert_eq!(told(&mut spool), ((13..=21).collect(), None));
    drop(spool);
    // The position came to the disk, and the lines did not.
    let mut files = whole.files.clone();
    files.remove(1);
    files[0].1.truncate(2 * RECORD_BYTES);
    whole.dir.put(&files);
    let mut spool = Spool::open(&whole.dir, small()).unwrap();
    assert_eq!(
        (spool.last(), spool.confirmed(), spool.bytes()),
        (12, 12, 0)
    );
    fill(&mut spool, 13..=14);
    assert_eq!(told(&mut spool), (vec![13, 14], None));
}

#[test]
fn what_bears_a_name_of_the_spools_and_is_none_of_it_is_refused_and_the_rest_is_let_be() {
    let whole = whole();
    let own = whole.dir.as_ref().to_owned();
    for name in [
        "x.lines",
        "1.lines",
        "00000000000000000000.lines",
        "18446744073709551615.lines",
    ] {
        whole.dir.put(&whole.files);
        std::fs::write(own.join(name), b"").unwrap();
        let error = Spool::open(&whole.dir, small()).unwrap_err();
        assert_eq!(
            error,
            SpoolError::Foreign {
                file: own.join(name)
            }
        );
    }
    for name in ["00000000000000000010.lines", "position", "lock"] {
        whole.dir.put(&whole.files);
        let _ = std::fs::remove_file(own.join(name));
        // Opening a FIFO would wait for ever.
        let made = std::process::Command::new("mkfifo")
            .arg(own.join(name))
            .status();
        assert!(made.unwrap().success());
        let error = Spool::open(&whole.dir, small()).unwrap_err();
        assert_eq!(
            error,
            SpoolError::Foreign {
                file: own.join(name)
            }
        );
    }
    whole.dir.put(&whole.files);
    for name in ["notes", "position.new", ".lines.swp"] {
        std::fs::write(own.join(name), b"anything").unwrap();
    }
    check(Spool::open(&whole.dir, small()), "beside others");
    assert!(own.join("notes").exists());
}
