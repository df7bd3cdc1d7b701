//! What a spool is for: lines go in, come out in order, are confirmed, and are there again at the next start.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn lines_come_out_in_order_and_are_gone_when_they_are_confirmed() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!(told(&mut spool), (vec![], None));
    fill(&mut spool, 1..=30);
    assert_eq!(told(&mut spool), ((1..=30).collect(), None));
    assert_eq!(told(&mut spool), (vec![], None), "each once");
    assert!(dir.segments() > 3);
    spool.confirm(30).unwrap();
    assert_eq!(dir.segments(), 1, "the one that is written stays");
    spool.flush().unwrap();
    drop(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!((spool.resumed(), spool.confirmed()), (0, 30));
    assert_eq!(told(&mut spool), (vec![], None));
    fill(&mut spool, 31..=32);
    assert_eq!(told(&mut spool), (vec![31, 32], None));
}

#[test]
fn what_was_not_confirmed_is_told_at_the_next_start_from_any_place() {
    for confirmed in 0..=30 {
        let dir = Dir::new();
        let mut spool = Spool::open(&dir, small()).unwrap();
        fill(&mut spool, 1..=30);
        spool.flush().unwrap();
        spool.confirm(confirmed).unwrap();
        kill(spool);
        let mut spool = Spool::open(&dir, small()).unwrap();
        assert_eq!(spool.resumed(), 30 - confirmed);
        assert_eq!(spool.bytes_torn(), 0);
        assert_eq!(told(&mut spool), ((confirmed + 1..=30).collect(), None));
        fill(&mut spool, 31..=31);
    }
}

#[test]
fn any_bytes_are_a_line() {
    let dir = Dir::new();
    let config = SpoolConfig::default();
    let lines = [
        vec![],
        vec![0; 1 << 20],
        (0..=255).collect(),
        b"\r\n\n".to_vec(),
        vec![b'x'; 300_000],
        vec![],
    ];
    let mut spool = Spool::open(&dir, config.clone()).unwrap();
    for line in &lines {
        spool.append(line).unwrap();
    }
    for _ in 0..2 {
        let mut line = b"before".to_vec();
        for (number, expected) in (1..).zip(&lines) {
            assert_eq!(spool.next(&mut line), Ok(Some(number)));
            assert!(line == *expected, "line {number}");
        }
        assert_eq!(spool.next(&mut line), Ok(None));
        drop(spool);
        spool = Spool::open(&dir, config.clone()).unwrap();
    }
}

#[test]
fn a_full_spool_takes_nothing_until_lines_are_confirmed_and_then_does_for_ever() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    let full = Err(SpoolError::Full { bytes_max: 2_000 });
    let mut confirmed = 0;
    for round in 0..50 {
        let mut last = spool.last();
        while spool.append(&text(last + 1)) != full {
            last += 1;
            assert_eq!(spool.last(), last);
        }
        assert!(spool.bytes() <= 2_000 && spool.bytes() > 1_950 - 200);
        assert_eq!(spool.last(), last, "nothing was taken");
        // To the end of what is told, to the middle, or nearly to the end.
        let upto = [last, (confirmed + last) / 2 + 5, last - 1][round % 3];
        while confirmed < upto {
            let mut line = Vec::new();
            confirmed = spool.next(&mut line).unwrap().unwrap();
            assert_eq!(line, text(confirmed));
        }
        spool.confirm(confirmed).unwrap();
        if round % 7 == 0 {
            drop(spool);
            spool = Spool::open(&dir, small()).unwrap();
        }
        // It tells again what is not confirmed.
        spool.told = confirmed;
    }
}

#[test]
fn one_segment_that_is_all_there_may_be_is_no_dead_end() {
    let dir = Dir::new();
    let config = SpoolConfig {
        bytes_max: 400,
        segment_bytes: 200,
        ..small()
    };
    let mut spool = Spool::open(&dir, config).unwrap();
    for number in 1..=1_000 {
        assert_eq!(spool.append(&[b'x'; 100]), Ok(number));
        spool.confirm(number).unwrap();
        assert!(spool.bytes() <= 400);
    }
}

#[test]
fn lines_may_be_confirmed_that_were_never_told() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=40);
    spool.confirm(25).unwrap();
    assert_eq!(told(&mut spool), ((26..=40).collect(), None));
    let later = Err(SpoolError::NotTaken { line: 41, last: 40 });
    assert_eq!(spool.confirm(41), later);
    spool.confirm(40).unwrap();
    // As the program may do that starts anew, from what it last knew.
    spool.confirm(3).unwrap();
    assert_eq!(spool.confirmed(), 40);
}

#[test]
fn a_line_is_told_before_it_is_written_and_after() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    let mut line = Vec::new();
    for number in 1..=60 {
        spool.append(&text(number)).unwrap();
        if number % 3 == 0 {
            spool.flush().unwrap();
        }
        if number % 2 == 0 {
            assert_eq!(spool.next(&mut line), Ok(Some(number / 2)));
        }
    }
    assert_eq!(told(&mut spool), ((31..=60).collect(), None));
}

#[test]
fn what_was_not_flushed_may_go_and_its_numbers_are_given_again() {
    let dir = Dir::new();
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=2);
    spool.flush().unwrap();
    fill(&mut spool, 3..=4);
    kill(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 3..=3);
    // Confirmed before they were ever written.
    spool.confirm(3).unwrap();
    kill(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    assert_eq!((spool.last(), spool.confirmed()), (3, 3));
    fill(&mut spool, 4..=4);
    assert_eq!(told(&mut spool), (vec![4], None));
}

#[test]
fn a_second_shipper_is_refused_by_name_and_the_first_keeps_its_spool() {
    let dir = Dir::new();
    let spool = Spool::open(&dir, small()).unwrap();
    let refused = Spool::open(&dir, small()).unwrap_err();
    let locked = SpoolError::Locked {
        dir: dir.as_ref().to_owned(),
        holder: std::process::id().to_string(),
    };
    assert_eq!(refused, locked);
    assert!(
        refused
            .to_string()
            .contains(&*dir.as_ref().to_string_lossy())
    );
    drop(spool);
    Spool::open(&dir, small()).unwrap();
}

#[test]
fn the_disk_is_waited_for_by_the_policy() {
    let dir = Dir::new();
    let started = Instant::now();
    let at = |ms| started + Duration::from_millis(ms);
    let every = |ms| SpoolConfig {
        sync: Sync::Interval(Duration::from_millis(ms)),
        ..small()
    };
    let is_synced = |spool: &Spool| spool.active.as_ref().unwrap().is_synced();
    let mut spool = Spool::open(&dir, every(100)).unwrap();
    assert_eq!(spool.tick(at(0)), Ok(None), "nothing to do");
    fill(&mut spool, 1..=1);
    assert_eq!(spool.tick(at(50)), Ok(Some(at(150))));
    fill(&mut spool, 2..=2);
    assert_eq!(spool.tick(at(149)), Ok(Some(at(150))), "not put off");
    assert!(!is_synced(&spool));
    assert_eq!(spool.tick(at(150)), Ok(None));
    assert!(is_synced(&spool), "what waited in memory, too");
    assert_eq!(spool.tick(at(500)), Ok(None));
    drop(spool);
    let each = SpoolConfig {
        sync: Sync::Each,
        ..small()
    };
    let mut spool = Spool::open(&dir, each).unwrap();
    fill(&mut spool, 3..=3);
    assert!(!is_synced(&spool));
    spool.flush().unwrap();
    assert!(is_synced(&spool));
    drop(spool);
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 4..=4);
    spool.flush().unwrap();
    assert_eq!(spool.tick(at(9_999)), Ok(None));
    assert!(!is_synced(&spool), "never by itself");
}

#[test]
fn a_setting_that_cannot_be_is_refused_by_name() {
    type Change = (&'static str, fn(&mut SpoolConfig));
    let broken: [Change; 5] = [
        ("line_bytes_max", |it| it.line_bytes_max = 0),
        ("line_bytes_max", |it| it.line_bytes_max = usize::MAX),
        ("segment_bytes", |it| it.segment_bytes = 115),
        ("bytes_max", |it| it.bytes_max = 399),
        ("sync", |it| it.sync = Sync::Interval(Duration::ZERO)),
    ];
    let dir = Dir::new();
    for (name, change) in broken {
        let mut config = small();
        change(&mut config);
        let error = Spool::open(&dir, config).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
        assert!(!dir.as_ref().exists(), "nothing was made");
    }
    for config in [
        SpoolConfig::default(),
        SpoolConfig::within(8 << 20),
        small(),
    ] {
        assert_eq!(config.validate(), Ok(()));
    }
    let mut spool = Spool::open(&dir, small()).unwrap();
    let oversize = SpoolError::Oversize {
        bytes: 101,
        limit: 100,
    };
    assert_eq!(spool.append(&[0; 101]), Err(oversize));
    assert_eq!(spool.append(&[0; 100]), Ok(1));
}

#[test]
fn only_the_directory_itself_is_made_and_only_its_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;

    let dir = Dir::new();
    let error = Spool::open(dir.as_ref().join("beneath"), small()).unwrap_err();
    assert!(
        error.to_string().contains("create the directory"),
        "{error}"
    );
    let mut spool = Spool::open(&dir, small()).unwrap();
    fill(&mut spool, 1..=20);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.as_ref()), 0o700);
    for (file, _) in dir.files() {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
