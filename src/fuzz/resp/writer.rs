//! Writes replies that keep every rule: all types, nested, with attributes before them and pushes between them.

use super::super::input::Input;

/// Arrays that may be open at once.
const DEPTH_MAX: usize = 32;

pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    is_resp3: bool,
}

impl Writer {
    pub(super) fn new(is_resp3: bool) -> Writer {
        Writer {
            bytes: Vec::new(),
            is_resp3,
        }
    }

    /// One reply or, if it says so, push.
    pub(super) fn reply(&mut self, input: &mut Input) -> bool {
        let is_push = self.is_resp3 && input.below(6) == 0;
        if is_push {
            let count = input.below(4);
            self.header(b'>', count);
            self.elements(input, count, 1);
        } else {
            self.element(input, 0);
        }
        is_push
    }

    fn element(&mut self, input: &mut Input, depth: usize) {
        let kinds = if self.is_resp3 { 17 } else { 8 };
        match input.below(kinds) {
            0 => self.line(b'+', input),
            1 => self.line(b'-', input),
            2 => self.integer(input),
            3 => self.string(b'$', input),
            4 => self.bytes.extend(*b"$-1\r\n"),
            5 => self.bytes.extend(*b"*-1\r\n"),
            6 => self.array(b'*', 1, input, depth),
            7 => self.nest(input, depth),
            8 => self.bytes.extend(*b"_\r\n"),
            9 => self
                .bytes
                .extend(if input.flag() { *b"#t\r\n" } else { *b"#f\r\n" }),
            10 => self.line(b',', input),
            11 => self.line(b'(', input),
            12 => self.string(b'!', input),
            13 => self.string(b'=', input),
            14 => self.array(b'~', 1, input, depth),
            15 => self.array(b'%', 2, input, depth),
            _ => {
                self.array(b'|', 2, input, depth);
                self.element(input, depth);
            }
        }
    }

    fn line(&mut self, kind: u8, input: &mut Input) {
        let length = input.below(20);
        self.bytes.push(kind);
        let content = input.take(length).iter();
        self.bytes
            .extend(content.filter(|byte| !b"\r\n".contains(byte)));
        self.bytes.extend(*b"\r\n");
    }

    fn integer(&mut self, input: &mut Input) {
        let number = match input.below(4) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => 0,
            _ => input.number() as i64 - 0x8000,
        };
        self.bytes.extend(format!(":{number}\r\n").into_bytes());
    }

    fn string(&mut self, kind: u8, input: &mut Input) {
        let length = input.below(80);
        let body = input.take(length);
        self.header(kind, body.len());
        self.bytes.extend(body);
        self.bytes.extend(*b"\r\n");
    }

    fn array(&mut self, kind: u8, factor: usize, input: &mut Input, depth: usize) {
        let count = if depth < DEPTH_MAX { input.below(4) } else { 0 };
        self.header(kind, count);
        self.elements(input, count * factor, depth + 1);
    }

    /// Arrays of one element within each other, so that the deepest levels are reached with few choices.
    fn nest(&mut self, input: &mut Input, depth: usize) {
        let levels = input.below(DEPTH_MAX - depth + 1);
        for _ in 0..levels {
            self.header(b'*', 1);
        }
        self.element(input, depth + levels);
    }

    fn elements(&mut self, input: &mut Input, count: usize, depth: usize) {
        for _ in 0..count {
            self.element(input, depth);
        }
    }

    fn header(&mut self, kind: u8, number: usize) {
        self.bytes.push(kind);
        self.bytes.extend(format!("{number}\r\n").into_bytes());
    }
}
