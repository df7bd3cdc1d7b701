//! What a length field may say, in each of its shapes, over a real socket: 0, 1, the limit and one byte more, 2³¹, 2³²−1,
//! 2⁶³, 2⁶⁴−1. What can be is told whole, what cannot ends the connection by name before a byte of it has come.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;

use support::*;
use taut::{Class, Client, Framing, LengthPrefix, Phase, Source};

/// One way to write a length, and the largest frame.
#[derive(Clone, Copy, Debug)]
struct Shape {
    width: usize,
    little_endian: bool,
    offset: usize,
    adjustment: i64,
    with_header: bool,
    limit: u64,
}

/// What a frame with some number in its length field is.
#[derive(Debug, PartialEq)]
enum Meant {
    /// So many bytes follow the header.
    Body(u64),
    Oversize {
        claimed: u64,
    },
    Malformed,
}

impl Shape {
    fn all() -> Vec<Shape> {
        let mut all = Vec::new();
        // Limits that the field can express one byte more than, beyond one read and beyond one growth of the buffer.
        for (width, limit) in [(1, 100), (2, 20_000), (4, 100_000), (8, 100_000)] {
            for (little_endian, with_header) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                for (offset, counts_header) in [(0, false), (0, true), (3, false), (3, true)] {
                    let header = (offset + width) as i64;
                    all.push(Shape {
                        width,
                        little_endian,
                        offset,
                        adjustment: if counts_header { -header } else { 2 },
                        with_header,
                        limit,
                    });
                    all.push(Shape {
                        adjustment: 0,
                        ..all[all.len() - 1]
                    });
                }
            }
        }
        all
    }

    fn framing(&self) -> Framing {
        let mut prefix = LengthPrefix::new(self.width)
            .offset(self.offset)
            .adjustment(self.adjustment);
        if self.little_endian {
            prefix = prefix.little_endian();
        }
        if self.with_header {
            prefix = prefix.with_header();
        }
        Framing::length(prefix).frame_bytes_max(self.limit as usize)
    }

    fn header_bytes(&self) -> u64 {
        (self.offset + self.width) as u64
    }

    fn header(&self, number: u64) -> Vec<u8> {
        let mut header = vec![b'#'; self.offset];
        match self.little_endian {
            true => header.extend_from_slice(&number.to_le_bytes()[..self.width]),
            false => header.extend_from_slice(&number.to_be_bytes()[8 - self.width..]),
        }
        header
    }

    fn largest(&self) -> u64 {
        u64::MAX >> (64 - 8 * self.width)
    }

    /// By the words of the documentation, in numbers that cannot overflow.
    fn meant(&self, number: u64) -> Meant {
        let body = i128::from(number) + i128::from(self.adjustment);
        let counted = match self.with_header {
            true => body + i128::from(self.header_bytes()),
            false => body,
        };
        match u64::try_from(body) {
            Err(_) if body < 0 => Meant::Malformed,
            Ok(body) if counted <= i128::from(self.limit) => Meant::Body(body),
            _ => Meant::Oversize {
                claimed: u64::try_from(counted).unwrap_or(u64::MAX),
            },
        }
    }

    /// The number that makes the limit count so many bytes, if it can be written.
    fn number_for(&self, counted: u64) -> Option<u64> {
        let header = if self.with_header {
            self.header_bytes()
        } else {
            0
        };
        let number = i128::from(counted) - i128::from(header) - i128::from(self.adjustment);
        u64::try_from(number)
            .ok()
            .filter(|number| *number <= self.largest())
    }

    /// Each number of interest that the field can hold.
    fn numbers(&self) -> Vec<u64> {
        let max = self.limit;
        let counted = [0, 1, self.header_bytes(), max - 1, max, max + 1];
        let mut numbers: Vec<_> = counted
            .into_iter()
            .filter_map(|counted| self.number_for(counted))
            .chain([0, 1, self.header_bytes() - 1])
            .chain([1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX])
            .chain([self.largest()])
            .filter(|number| *number <= self.largest())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// All frames that can be, one behind the other on one connection, are told with their bytes.
fn tell_whole(client: &mut Client, peer: &Peer, shape: Shape) -> usize {
    let (connection, mut stream) = connected(client, peer, shape.framing());
    let mut expected = Vec::new();
    for (n, number) in shape.numbers().into_iter().enumerate() {
        let Meant::Body(body) = shape.meant(number) else {
            continue;
        };
        let header = shape.header(number);
        let mut whole = header.clone();
        whole.extend((0..body).map(|byte| (byte as u8) ^ (n as u8)));
        stream.write_all(&whole).unwrap();
        let told = next_frame(client, connection);
        let from = if shape.with_header { 0 } else { header.len() };
        assert!(told == whole[from..], "{shape:?} {number}");
        expected.push(number);
    }
    client.abort(connection).unwrap();
    until_closed(client, connection);
    expected.len()
}

/// A number that cannot be ends its connection, when nothing but the header has come.
fn refuse(client: &mut Client, peer: &Peer, shape: Shape, number: u64, meant: Meant) {
    let (connection, mut stream) = connected(client, peer, shape.framing());
    stream.write_all(&shape.header(number)).unwrap();
    let told = until_closed(client, connection);
    assert!(told.frames.is_empty(), "{shape:?} {number}");
    let error = told.error.unwrap();
    assert_eq!(
        (error.class, error.phase),
        (Class::Protocol, Phase::Read),
        "{shape:?} {number}: {error}"
    );
    match (error.source, meant) {
        (Source::Malformed(_), Meant::Malformed) => {}
        (Source::Oversize { limit, claimed }, Meant::Oversize { claimed: expected }) => {
            assert_eq!(
                (limit as u64, claimed),
                (shape.limit, expected),
                "{shape:?} {number}"
            );
        }
        (source, meant) => panic!("{shape:?} {number}: {source} instead of {meant:?}"),
    }
    assert_eq!(read_to_the_end(&mut stream), b"");
}

#[test]
fn each_length_in_each_shape_is_told_whole_or_refused_from_its_header() {
    let (mut client, peer) = (client(), Peer::new());
    let (mut whole, mut refused) = (0, 0);
    for shape in Shape::all() {
        whole += tell_whole(&mut client, &peer, shape);
        for number in shape.numbers() {
            match shape.meant(number) {
                Meant::Body(_) => {}
                meant => {
                    refuse(&mut client, &peer, shape, number, meant);
                    refused += 1;
                }
            }
        }
    }
    assert_silent(&mut client);
    assert_eq!(client.connections(), 0);
    // The shapes differ in what they can express; together they must express all of it.
    assert!(
        whole > 300 && refused > 300,
        "{whole} whole, {refused} refused"
    );
}
