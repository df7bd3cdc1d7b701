//! Lines are what lies between LFs, whatever the blocks they come in.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc::Sender;

use proptest::prelude::*;

use super::*;

fn block(bytes: &[u8]) -> Block {
    Block {
        bytes: bytes.into(),
        length: bytes.len(),
        read_at: Timestamp::UNIX_EPOCH,
    }
}

/// All lines of these blocks, with their lengths; each is asked for twice, as by a loop that had no room at first.
fn lines_of<'a>(
    blocks: impl IntoIterator<Item = &'a [u8]>,
    line_bytes_max: usize,
) -> Vec<(Vec<u8>, usize)> {
    let mut lines = Lines::new(line_bytes_max);
    let mut found = Vec::new();
    for bytes in blocks {
        lines.enter(block(bytes));
        while let Some(line) = lines.line() {
            let line = (line.bytes.to_vec(), line.length);
            let again = lines.line().unwrap();
            assert_eq!((again.bytes, again.length), (&*line.0, line.1));
            found.push(line);
            lines.taken();
        }
        assert!(lines.carried.len() <= line_bytes_max + 1);
        lines.leave().unwrap();
    }
    if let Some(line) = lines.last() {
        found.push((line.bytes.to_vec(), line.length));
        lines.taken();
    }
    assert_eq!(lines.last(), None);
    found
}

/// What must come out, in other words.
fn between_line_feeds(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(Vec::from).collect();
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

fn whole(lines: &[(Vec<u8>, usize)]) -> Vec<Vec<u8>> {
    lines.iter().map(|(bytes, _)| bytes.clone()).collect()
}

#[test]
fn a_line_is_what_it_is_byte_for_byte() {
    for (text, lines) in [
        (&b""[..], vec![]),
        (b"\n", vec![&b""[..]]),
        (b"\n\n", vec![b"", b""]),
        (b"a\nb\n", vec![b"a", b"b"]),
        (b"no end", vec![b"no end"]),
        (b"a\r\nb\r", vec![b"a\r", b"b\r"]),
        (b"\0\n\xff\xfe\x80\n \n", vec![b"\0", b"\xff\xfe\x80", b" "]),
    ] {
        assert_eq!(whole(&lines_of([text], 100)), lines, "{text:?}");
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(whole(&lines_of(bytes, 100)), lines, "{text:?} by the byte");
    }
}

#[test]
fn a_mebibyte_runs_through_many_blocks() {
    let long = vec![b'x'; 1 << 20];
    let text = [&long[..], b"\nshort\n", &long].concat();
    let lines = lines_of(text.chunks(BLOCK_BYTES), 1 << 20);
    assert_eq!(whole(&lines), [&long[..], b"short", &long]);
}

#[test]
fn of_what_is_too_long_no_more_is_kept_than_shows_it() {
    let text = [
        &b"one\n"[..],
        &vec![b'x'; 100_000],
        b"\ntwo\n",
        &[b'y'; 500],
    ]
    .concat();
    let lines = lines_of(text.chunks(64), 99);
    let lengths: Vec<(usize, usize)> = lines
        .iter()
        .map(|(bytes, length)| (bytes.len(), *length))
        .collect();
    assert_eq!(lengths, [(3, 3), (100, 100_000), (3, 3), (100, 500)]);
    assert_eq!(lines[2].0, b"two");
}

proptest! {
    #[test]
    fn blocks_change_nothing(
        text in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..300),
        cuts in prop::collection::vec(1_usize..40, 1..50),
    ) {
        let mut blocks = Vec::new();
        let mut rest = &text[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (block, after) = rest.split_at((*cut).min(rest.len()));
            blocks.push(block);
            rest = after;
        }
        let lines = lines_of(blocks, 1_000);
        prop_assert_eq!(whole(&lines), between_line_feeds(&text));
        prop_assert!(lines.iter().all(|(bytes, length)| bytes.len() == *length));
    }
}

/// Reads what it is told, and fails last.
struct Told(Vec<io::Result<&'static [u8]>>);

impl Read for Told {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let bytes = self.0.remove(0)?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

fn telling(to: Sender<()>) -> impl Fn() + Send {
    move || {
        let _ = to.send(());
    }
}

#[test]
fn the_thread_wakes_the_loop_for_each_block_and_for_the_end() {
    let (woken, wakes) = mpsc::channel();
    let interrupted = io::Error::from(io::ErrorKind::Interrupted);
    let told = Told(vec![Ok(b"a\nb"), Err(interrupted), Ok(b"c\n")]);
    let input = Input::start(told, telling(woken)).unwrap();
    let mut read = Vec::new();
    loop {
        wakes.recv().unwrap();
        match input.next() {
            Next::Block(block) => {
                read.extend_from_slice(block.filled());
                input.give_back(block);
            }
            Next::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, b"a\nbc\n");
}

#[test]
fn an_input_that_fails_says_so_behind_what_it_had() {
    let (woken, wakes) = mpsc::channel();
    let told = Told(vec![
        Ok(b"a"),
        Err(io::Error::from_raw_os_error(5)),
        Ok(b"b"),
    ]);
    let input = Input::start(told, telling(woken)).unwrap();
    wakes.recv().unwrap();
    assert!(matches!(input.next(), Next::Block(_)));
    wakes.recv().unwrap();
    assert!(matches!(input.next(), Next::Failed(error) if error.raw_os_error() == Some(5)));
    assert!(matches!(input.next(), Next::End));
}

/// It reads ahead to its bound and no further; stopped, it ends.
#[test]
fn an_endless_input_is_read_ahead_to_a_bound_and_stopped() {
    let (woken, wakes) = mpsc::channel();
    let input = Input::start(io::repeat(b'\n'), telling(woken)).unwrap();
    for _ in 0..BLOCKS_AHEAD {
        wakes.recv().unwrap();
    }
    input.stop();
    let mut blocks = 0;
    loop {
        match input.next() {
            Next::Block(_) => blocks += 1,
            Next::Later => wakes.recv().unwrap(),
            Next::End => break,
            Next::Failed(error) => panic!("{error}"),
        }
    }
    assert!(
        (BLOCKS_AHEAD..=BLOCKS_AHEAD + 1).contains(&blocks),
        "{blocks}"
    );
}
