//! Two ends of a line, whose bytes are moved by hand.

use crate::buffer::Pool;
use crate::session::{LineEnd, SEAL_BYTES_MAX, Secured};
use crate::sim::random::{Chance, Random};
use crate::sim::session::{Book, FakeSessions, Habits, Side};

/// A record of a byte and all around it.
const RECORD_BYTES: usize = 8;
/// Tickets and other keys around a seal.
const AROUND_SEAL_BYTES: usize = 4 * 80;

pub(super) struct Pair {
    pub(super) ends: [End; 2],
    pub(super) pool: Pool,
}

pub(super) struct End {
    pub(super) secured: Secured,
    /// What its program has said, and how much of that was sealed.
    pub(super) said: Vec<u8>,
    pub(super) sealed: usize,
    /// What its program was told.
    pub(super) got: Vec<u8>,
    /// Bytes in the kernels, on their way to the other end.
    pub(super) line: Vec<u8>,
    /// The end was told.
    pub(super) ended: Option<LineEnd>,
    /// Bytes of its line, so far; and of the program's, how much lies in how much of it.
    pub(super) line_bytes: u64,
    pub(super) seals: Vec<(u64, u64)>,
}

impl Pair {
    pub(super) fn new(habits: &Habits, seed: u64) -> Pair {
        let (book, mut pool) = (Book::default(), Pool::new(64, 1 << 16));
        let mut end = |side| {
            let session = FakeSessions::new(side, habits.clone(), seed, &book).next();
            let secured = Secured::new(Box::new(session), true, &mut pool);
            End {
                secured,
                said: Vec::new(),
                sealed: 0,
                got: Vec::new(),
                line: Vec::new(),
                ended: None,
                line_bytes: 0,
                seals: Vec::new(),
            }
        };
        let ends = [end(Side::Client), end(Side::Server)];
        Pair { ends, pool }
    }

    /// Seals so much of what its program says, if it may.
    pub(super) fn seal(&mut self, at: usize, bytes: usize) {
        let end = &mut self.ends[at];
        if !end.secured.may_seal() {
            return;
        }
        let nth = end.said.len();
        end.said.extend((nth..nth + bytes).map(|it| it as u8));
        let (before, pending) = (end.sealed, end.secured.pending().len());
        assert_eq!(pending, 0, "sealed behind what waits");
        let n = end
            .secured
            .seal(&end.said[before..], before as u64, &mut self.pool);
        assert_eq!(n, (end.said.len() - before).min(SEAL_BYTES_MAX));
        end.sealed += n;
        let line = end.line_bytes + end.secured.pending().len() as u64;
        end.seals.push((end.sealed as u64, line));
        let most = n * (1 + RECORD_BYTES) * 2 + AROUND_SEAL_BYTES;
        assert!(end.secured.pending().len() <= most, "more than a seal");
    }

    /// The kernel takes so many bytes of what waits.
    pub(super) fn write(&mut self, at: usize, bytes: usize) {
        let end = &mut self.ends[at];
        let n = bytes.min(end.secured.pending().len());
        end.line.extend_from_slice(&end.secured.pending()[..n]);
        end.secured.written(n, &mut self.pool);
        end.line_bytes += n as u64;
        assert_eq!(end.secured.line_written(), end.line_bytes);
    }

    /// So many bytes of the other's line come: read, or by a look.
    pub(super) fn read(&mut self, at: usize, bytes: usize, looks: bool) {
        let line = &mut self.ends[1 - at].line;
        let bytes: Vec<u8> = line.drain(..bytes.min(line.len())).collect();
        let end = &mut self.ends[at];
        let received = end.secured.line_received();
        if looks {
            end.secured.look(&bytes, &mut self.pool);
        } else {
            // What a look has brought in goes first.
            end.got.extend(end.secured.take_held());
            let got = &mut end.got;
            let mut program = |bytes: &[u8]| got.extend_from_slice(bytes);
            end.secured.receive(&bytes, &mut self.pool, &mut program);
            assert!(!end.secured.holds());
        }
        let so_far = end.secured.line_received();
        assert_eq!(so_far, received + bytes.len() as u64);
    }

    pub(super) fn take_held(&mut self, at: usize) {
        let end = &mut self.ends[at];
        end.got.extend(end.secured.take_held());
        assert!(!end.secured.holds());
    }

    /// Whatever waits leaves and arrives, until nothing does.
    pub(super) fn settle(&mut self, random: &mut Random) {
        loop {
            let mut is_done = true;
            for at in [0, 1] {
                is_done &= self.ends[at].secured.pending().is_empty();
                self.write(at, usize::MAX);
                is_done &= self.ends[1 - at].line.is_empty();
                let looks = random.happens(Chance(300));
                self.read(at, random.within(1..=5_000) as usize, looks);
            }
            if is_done {
                return;
            }
        }
    }

    /// What must hold at each moment.
    pub(super) fn check(&mut self) {
        for at in [0, 1] {
            let [client, server] = &mut self.ends;
            let (end, other) = match at {
                0 => (client, server),
                _ => (server, client),
            };
            let sealed = &other.said[..other.sealed];
            assert!(sealed.starts_with(&end.got), "not what was said, in order");
            let told = end.secured.end();
            let is_early = told.is_some() && end.secured.holds();
            assert!(!is_early, "the end before what came before it");
            assert!(end.ended.is_none() || told == end.ended, "another end");
            assert!(told.is_none() || end.secured.is_ending());
            end.ended = told;
            let whole = end.seals.iter().filter(|(_, line)| *line <= end.line_bytes);
            let whole = whole.map(|(program, _)| *program).max().unwrap_or(0);
            assert_eq!(end.secured.within(end.line_bytes), Some(whole));
            let is_silent = end.secured.is_handshaking();
            assert!(!is_silent || end.sealed == 0 && end.got.is_empty());
        }
    }
}
