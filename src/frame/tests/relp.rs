//! RELP frames: out as they went in, however they were cut, and what looks like one refused alike.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Framing, RelpFrame};
use super::{Outcome, clean, feed_every_way, pieces};

/// The parts of a frame, with no more than these bytes of data.
fn parts(data_bytes_max: usize) -> impl Strategy<Value = (u32, String, Vec<u8>)> {
    let txnr = prop_oneof![0_u32..20, 0_u32..1_000_000_000];
    let command = prop_oneof![Just("rsp".to_owned()), "[a-zA-Z]{1,32}"];
    (txnr, command, vec(any::<u8>(), 0..=data_bytes_max))
}

fn frame((txnr, command, data): &(u32, String, Vec<u8>)) -> Vec<u8> {
    let header = format!("{txnr} {command} {}", data.len()).into_bytes();
    match data.is_empty() {
        true => header,
        false => [&header, &b" "[..], data].concat(),
    }
}

/// Frames as above and bytes that nearly make one.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        3 => parts(12).prop_map(|parts| [frame(&parts), b"\n".to_vec()].concat()),
        4 => Just(b" ".to_vec()),
        3 => Just(b"\n".to_vec()),
        3 => "[0-9]{1,10}".prop_map(String::into_bytes),
        3 => "[a-z]{1,33}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(token, 0..16).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn relp_frames_come_out_as_they_went_in(parts in vec(parts(60), 0..10), spaces in any::<u16>(), pieces in pieces()) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (index, parts) in parts.iter().enumerate() {
            let mut frame = frame(parts);
            // The one liberty: a space where there is no data.
            if parts.2.is_empty() && spaces >> index & 1 == 1 {
                frame.push(b' ');
            }
            let (txnr, command, data) = parts;
            let read = RelpFrame { txnr: *txnr, command: command.as_bytes(), data };
            prop_assert_eq!(RelpFrame::parse(&frame), Ok(read));
            stream.extend_from_slice(&frame);
            stream.push(b'\n');
            expected.push(frame);
        }
        let limit = 60 + 53;
        prop_assert_eq!(feed_every_way(&Framing::relp(), limit, &stream, &pieces), clean(&expected));
    }

    #[test]
    fn a_torn_relp_frame_is_left_over_wherever_it_is_torn(parts in parts(40)) {
        let stream = [frame(&parts), b"\n".to_vec()].concat();
        for length in 0..stream.len() {
            let outcome = feed_every_way(&Framing::relp(), 100, &stream[..length], &[3]);
            prop_assert_eq!(outcome, Outcome { left_over: length, ..clean(&[]) });
        }
    }

    #[test]
    fn what_is_nearly_relp_is_refused_alike_however_it_was_cut(stream in nearly(), limit in 0_usize..120, pieces in pieces()) {
        for framing in [Framing::relp(), Framing::relp().skip_oversize()] {
            let outcome = feed_every_way(&framing, limit, &stream, &pieces);
            for payload in &outcome.payloads {
                prop_assert!(RelpFrame::parse(payload).is_ok(), "what is handed on can be read");
            }
        }
    }
}
