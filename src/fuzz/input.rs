//! A fuzzer's bytes, read as choices.
//!
//! Every sequence of bytes is a program: where they end, each choice is the first one. Nothing here fails, and equal
//! bytes are equal choices, so a finding is a file.

/// What is left of the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Input<'a> {
        Input { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number below `n`, which is 1 to 256.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// Two bytes.
    pub(crate) fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    pub(crate) fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }

    /// The next `n` bytes, or what there is.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// The sizes of the pieces in which a stream arrives: 1 to 8 of them, each at least a byte.
    pub(crate) fn pieces(&mut self) -> Vec<usize> {
        let count = 1 + self.below(8);
        (0..count).map(|_| 1 + self.below(64)).collect()
    }

    /// The same stream with up to three places of it replaced.
    pub(crate) fn damage(&mut self, mut stream: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.below(4) {
            let from = self.number() % (stream.len() + 1);
            let until = stream.len().min(from + self.below(4));
            let count = self.below(4);
            stream.splice(from..until, self.take(count).iter().copied());
        }
        stream
    }
}
