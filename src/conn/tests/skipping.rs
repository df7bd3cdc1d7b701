//! Frames over the limit that are dropped as they come.

use super::*;

const LIMIT: usize = 64;

fn bench(half_close: bool) -> Bench {
    let framing = Framing::len32().skip_oversize();
    Bench::framed(profile(half_close, u64::MAX), framing)
}

fn header(bytes: u32) -> [u8; 4] {
    bytes.to_be_bytes()
}

impl Bench {
    fn cut(&mut self) -> Option<Cut> {
        self.conn.poll_frame(&mut self.buffer)
    }

    fn payload(&mut self) -> Vec<u8> {
        match self.cut() {
            Some(Cut::Frame { offset, len }) => {
                self.buffer.bytes(offset, len as usize).unwrap().to_vec()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn skipped(claimed: u64) -> Option<Cut> {
    Some(Cut::Skipped {
        limit: LIMIT,
        claimed,
    })
}

#[test]
fn a_body_of_100_mib_passes_without_being_held() {
    let mut it = bench(false);
    let mut left = 100 << 20;
    it.receive(&header(left));
    assert_eq!(it.cut(), None);
    while left > 0 {
        assert_eq!(it.conn.wanted(), 1, "nothing is asked ahead for it");
        let n = left.min(64);
        it.receive(&[7; 64][..n as usize]);
        left -= n;
        assert_eq!(it.cut(), if left > 0 { None } else { skipped(100 << 20) });
        assert!(it.buffer.capacity() <= 64, "{}", it.buffer.capacity());
    }
    assert!(it.conn.is_quiet());
    it.receive(&[&header(2)[..], b"ok"].concat());
    assert_eq!(it.payload(), b"ok");
}

#[test]
fn what_stands_around_a_skipped_frame_is_cut_as_ever() {
    let mut it = bench(false);
    let stream = [
        &header(1)[..],
        b"a",
        &header(65),
        &[7; 65],
        &header(64),
        &[8; 64],
    ]
    .concat();
    for split in 0..stream.len() {
        let mut told = Vec::new();
        for piece in [&stream[..split], &stream[split..]] {
            for part in piece.chunks(16) {
                it.receive(part);
                while let Some(cut) = it.cut() {
                    told.push(match cut {
                        Cut::Frame { len, .. } => u64::from(len),
                        Cut::Skipped { claimed, .. } => 1_000 + claimed,
                        Cut::Push { .. } => panic!("a push"),
                    });
                    if let Cut::Frame { offset, len } = cut {
                        it.buffer.pull(offset + u64::from(len));
                    }
                }
            }
        }
        assert_eq!(told, [1, 1_065, 64], "split at {split}");
        it.buffer.release(64, &mut it.pool);
    }
}

#[test]
fn an_end_within_a_skipped_frame_is_truncated_with_the_bytes_that_came() {
    let mut it = bench(false);
    it.receive(&header(1 << 31));
    it.receive(&[7; 30]);
    assert_eq!(it.cut(), None);
    assert!(it.conn.reply_begun() && !it.conn.is_quiet());
    it.receive(&[7; 30]);
    it.conn.handle_eof();
    assert_eq!(it.cut(), None);
    let error = it.closed().unwrap();
    assert_eq!(error.source, Source::Truncated { received: 64 });
}

#[test]
fn a_skipped_frame_that_stops_coming_stalls_like_any_other() {
    let mut it = bench(false);
    it.receive(&header(100));
    assert_eq!(it.cut(), None);
    it.wait(Timeouts::default().read_stall);
    let error = it.closed().unwrap();
    assert_eq!(
        error.source,
        Source::Timeout(Timeouts::default().read_stall)
    );
}

#[test]
fn a_half_closed_peer_leaves_nothing_to_skip() {
    let mut it = bench(true);
    it.receive(&header(100));
    it.conn.handle_eof();
    assert_eq!(it.cut(), None);
    assert!(matches!(it.conn.poll_event(), Some(ConnEvent::HalfClosed)));
    assert_eq!(it.cut(), None);
    assert_eq!(
        it.conn.poll_timeout(),
        it.now.after(Timeouts::default().idle)
    );
}
