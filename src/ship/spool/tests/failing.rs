//! Errors of the disk, made by putting something in the file's place that fails: what was taken is not lost by them.
//! (A file system that is full is in tests/spool.)

use std::os::fd::OwnedFd;

use super::*;

/// A file to which nothing can be written at an offset (ESPIPE), and which cannot be synced (EINVAL).
fn broken() -> File {
    let (_, writer) = std::io::pipe().unwrap();
    File::from(OwnedFd::from(writer))
}

fn is_io(error: &SpoolError, doing: &str) -> bool {
    matches!(error, SpoolError::Io { doing: it, .. } if *it == doing)
}

#[test]
fn what_cannot_be_written_is_told_and_confirmed_all_the_same_and_written_later() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=3);
    spool.flush().unwrap();
    let good = spool.active.as_mut().unwrap().replace_file(broken());
    fill(&mut spool, 4..=6);
    let error = spool.flush().unwrap_err();
    assert!(is_io(&error, "write"), "{error}");
    assert_eq!(told(&mut spool), ((1..=6).collect(), None));
    spool.confirm(4).unwrap();
    // A new segment would be begun, were this one whole.
    while spool.append(&text(spool.last() + 1)).is_ok() {}
    let last = spool.last();
    spool.active.as_mut().unwrap().replace_file(good);
    spool.flush().unwrap();
    kill(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!(told(&mut spool), ((5..=last).collect(), None));
}

#[test]
fn where_all_is_confirmed_what_cannot_be_written_is_in_nobodys_way() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=3);
    spool.active.as_mut().unwrap().replace_file(broken());
    while spool.append(&text(spool.last() + 1)).is_ok() {}
    let last = spool.last();
    spool.confirm(last).unwrap();
    fill(&mut spool, last + 1..=last + 20);
    kill(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    let (numbers, error) = told(&mut spool);
    assert_eq!((numbers.first(), error), (Some(&(last + 1)), None));
}

#[test]
fn a_sync_that_failed_is_told_of_from_then_on_and_lines_are_written_still() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=1);
    spool.flush().unwrap();
    let good = spool.active.as_mut().unwrap().replace_file(broken());
    let error = spool.sync().unwrap_err();
    assert!(is_io(&error, "sync"), "{error}");
    // As the kernel would, that tells of it once.
    spool.active.as_mut().unwrap().replace_file(good);
    fill(&mut spool, 2..=2);
    assert_eq!(spool.sync(), Err(error));
    kill(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!(told(&mut spool), (vec![1, 2], None));
    assert_eq!(spool.sync(), Ok(()));
}

#[test]
fn a_segment_that_cannot_be_made_or_deleted_is_tried_again() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=9);
    // A directory where the next segment should be, and then where the first was.
    let second = files::segment_path(dir.as_ref(), 10);
    std::fs::create_dir(&second).unwrap();
    let refused = spool.append(&text(10));
    assert_eq!(
        refused,
        Err(SpoolError::Foreign {
            file: second.clone()
        })
    );
    std::fs::remove_dir(&second).unwrap();
    fill(&mut spool, 10..=20);
    let first = files::segment_path(dir.as_ref(), 1);
    std::fs::remove_file(&first).unwrap();
    std::fs::create_dir(&first).unwrap();
    let error = spool.confirm(15).unwrap_err();
    assert!(is_io(&error, "remove"), "{error}");
    assert_eq!(spool.confirmed(), 15, "it is recorded first");
    std::fs::remove_dir(&first).unwrap();
    let bytes = spool.bytes();
    spool.confirm(15).unwrap();
    assert!(spool.bytes() < bytes);
    assert_eq!(told(&mut spool), ((16..=20).collect(), None));
}
