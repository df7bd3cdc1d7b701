//! What a line may hold: every byte of it arrives as it was, or the line is refused by name; nothing is altered in
//! silence.

use std::net::TcpListener;

use taut::ship::{Refusal, ShipConfig, Wire};

use crate::shipping::{Fate, Framed, Sender, Shipping, until_served};
use crate::sink::{Manner, Sink};

const MIB: usize = 1 << 20;

/// Awkward lines, and why they are refused.
type Awkward = (Vec<u8>, Option<Refusal>);

fn awkward(in_lf: bool, escapes: bool) -> Vec<Awkward> {
    let embedded = (in_lf && !escapes).then_some(Refusal::EmbeddedLf);
    let empty = (!in_lf).then_some(Refusal::Empty);
    let oversize = Refusal::Oversize {
        bytes: MIB + 1,
        limit: MIB,
    };
    vec![
        (b"plain".to_vec(), None),
        (b"nul \0 in it, and at its end \0".to_vec(), None),
        (Vec::new(), empty),
        (b"\xff\xfe no UTF-8 \x80".to_vec(), None),
        (b"carriage return at its end\r".to_vec(), None),
        (b"\n".to_vec(), embedded),
        (b"two\nlines\n".to_vec(), embedded),
        (b"12 looks like a length".to_vec(), None),
        (vec![b'x'; MIB], None),
        (vec![b'x'; MIB + 1], Some(oversize)),
        ((0..=u8::MAX).filter(|byte| *byte != b'\n').collect(), None),
        (b" ".to_vec(), None),
    ]
}

/// What arrives is what was carried, in its order.
#[track_caller]
fn carry(wire: Wire, framed: Framed, lines: &[Awkward], arrives: impl Fn(&[u8]) -> Vec<u8>) {
    let manner = Manner {
        framed,
        ..Manner::default()
    };
    let sink = Sink::start(TcpListener::bind("127.0.0.1:0").unwrap(), manner);
    let config = ShipConfig {
        wire,
        ..ShipConfig::to(sink.address().to_string())
    };
    let mut shipping = Box::new(Shipping::new(config, &|_| {}));
    for ((line, _), number) in lines.iter().zip(1..) {
        assert_eq!(shipping.offer_bytes(line), number);
    }
    let shipped = shipping.finish();
    until_served(sink.address());
    let refused = lines.iter().zip(1..);
    let refused = refused.filter_map(|((_, why), number)| Some((number, (*why)?)));
    assert_eq!(shipped.refused, refused.collect::<Vec<(u64, Refusal)>>());
    let carried = lines.iter().filter(|(_, why)| why.is_none());
    let carried: Vec<Vec<u8>> = carried.map(|(line, _)| arrives(line)).collect();
    assert_eq!(shipped.fates.count(Fate::Delivered), carried.len() as u64);
    assert!(sink.others() == carried, "something was altered");
}

#[test]
fn octet_counting_carries_every_byte_and_refuses_the_empty_line() {
    let lines = awkward(false, false);
    carry(Wire::Octet, Framed::Octet, &lines, <[u8]>::to_vec);
}

#[test]
fn lines_ended_by_lf_carry_every_byte_but_lf_which_is_refused_or_escaped() {
    let lines = awkward(true, false);
    carry(
        Wire::Lf { escapes: false },
        Framed::Lf,
        &lines,
        <[u8]>::to_vec,
    );
    let escaped = |line: &[u8]| {
        let parts: Vec<&[u8]> = line.split(|byte| *byte == b'\n').collect();
        parts.join(&b"#012"[..])
    };
    let lines = awkward(true, true);
    carry(Wire::Lf { escapes: true }, Framed::Lf, &lines, escaped);
}
