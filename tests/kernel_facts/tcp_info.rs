//! What `TCP_INFO` counts, where, and how long.

use std::mem::offset_of;
use std::net::{Shutdown, TcpStream};

use crate::support::{
    drain, eventually, fill, narrow_pair, pair, reset, send_all, until_received, until_state,
};
use crate::sys::{self, TcpInfo};

/// Waits until everything written was acknowledged.
fn until_all_acked(socket: &TcpStream) {
    eventually("every byte acknowledged", || sys::outq(socket) == 0);
}

#[test]
fn the_offsets_are_those_of_the_kernels_struct() {
    assert_eq!(offset_of!(TcpInfo, state), 0);
    assert_eq!(offset_of!(TcpInfo, retransmits), 2);
    assert_eq!(offset_of!(TcpInfo, rto), 8);
    assert_eq!(offset_of!(TcpInfo, unacked), 24);
    assert_eq!(offset_of!(TcpInfo, rtt), 68);
    assert_eq!(offset_of!(TcpInfo, total_retrans), 100);
    assert_eq!(offset_of!(TcpInfo, bytes_acked), 120);
    assert_eq!(offset_of!(TcpInfo, bytes_received), 128);
    assert_eq!(offset_of!(TcpInfo, notsent_bytes), 144);
    assert_eq!(offset_of!(TcpInfo, min_rtt), 148);
    assert_eq!(offset_of!(TcpInfo, bytes_sent), 200);
    assert_eq!(offset_of!(TcpInfo, snd_wnd), 228);
    assert_eq!(size_of::<TcpInfo>(), 232);
}

#[test]
fn the_kernel_writes_no_more_than_asked_and_says_how_much() {
    let (near, _far) = pair();
    let mut short = [0xAA; 128];
    assert_eq!(sys::tcp_info_bytes(&near, &mut short[..104]).unwrap(), 104);
    assert_eq!(short[0], sys::ESTABLISHED);
    assert_eq!(short[104..], [0xAA; 24]);
    assert_eq!(sys::tcp_info_bytes(&near, &mut short[..3]).unwrap(), 3);
    assert_eq!(sys::tcp_info_bytes(&near, &mut short[..0]).unwrap(), 0);
}

#[test]
fn the_kernel_says_where_its_struct_ends_in_a_larger_room() {
    let (near, _far) = pair();
    let mut room = [0xAA; 4096];
    let length = sys::tcp_info_bytes(&near, &mut room).unwrap();
    assert!(length >= size_of::<TcpInfo>(), "{length}");
    assert!(length < room.len(), "{length}");
    assert!(room[length..].iter().all(|byte| *byte == 0xAA));
}

#[test]
fn the_fields_mean_what_their_names_say() {
    let (near, far) = narrow_pair();
    send_all(&near, &[b'x'; 100]);
    until_all_acked(&near);
    until_received(&far, 100);
    send_all(&far, b"answer");
    until_received(&near, 6);
    let info = sys::tcp_info(&near);
    assert_eq!(info.state, sys::ESTABLISHED);
    assert_eq!((info.bytes_sent, info.bytes_acked), (100, 101));
    assert_eq!((info.bytes_received, info.unacked), (6, 0));
    assert_eq!((info.retransmits, info.notsent_bytes), (0, 0));
    assert!(info.rtt > 0 && info.min_rtt > 0, "{info:?}");
    assert!(info.snd_wnd > 0, "{info:?}");

    let written = 100 + fill(&near);
    let info = sys::tcp_info(&near);
    assert_eq!(info.unacked, 0);
    assert_eq!(
        info.bytes_acked - 1 + u64::from(info.notsent_bytes),
        written
    );
    assert_eq!(i64::from(sys::outq(&near)), i64::from(info.notsent_bytes));
}

#[test]
fn bytes_acked_counts_one_for_our_syn_at_the_connecting_end() {
    let (near, far) = pair();
    assert_eq!(sys::tcp_info(&near).bytes_acked, 1);
    assert_eq!(sys::tcp_info(&near).bytes_received, 0);
    // The accepting end counts neither its SYN nor ours.
    assert_eq!(sys::tcp_info(&far).bytes_acked, 0);
    assert_eq!(sys::tcp_info(&far).bytes_received, 0);
    // Its bytes_sent counts data alone.
    assert_eq!(sys::tcp_info(&near).bytes_sent, 0);
}

#[test]
fn bytes_acked_counts_one_more_for_our_fin_once_acknowledged() {
    let (near, far) = pair();
    send_all(&near, b"12345");
    until_received(&far, 5);
    until_all_acked(&near);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 5 + 1);

    near.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::FIN_WAIT2);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 5 + 2);
    assert_eq!(sys::tcp_info(&far).bytes_received, 5 + 1);
}

#[test]
fn outq_counts_our_fin_until_it_is_acknowledged() {
    let (near, _far) = narrow_pair();
    let written = fill(&near);
    let before = sys::outq(&near);
    near.shutdown(Shutdown::Write).unwrap();
    let info = sys::tcp_info(&near);
    assert_eq!(sys::outq(&near), before + 1);
    assert_eq!(i64::from(info.notsent_bytes), i64::from(before) + 1);
    assert!(info.bytes_acked <= written, "{info:?}");
}

#[test]
fn outq_is_zero_once_our_fin_is_acknowledged() {
    let (near, _far) = pair();
    near.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::FIN_WAIT2);
    assert_eq!(sys::outq(&near), 0);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 2);
}

#[test]
fn bytes_received_counts_one_more_than_was_read_once_a_fin_has_come() {
    let (near, far) = pair();
    send_all(&far, b"12345");
    until_received(&near, 5);
    assert_eq!(drain(&near).0, 5);
    assert_eq!(sys::tcp_info(&near).bytes_received, 5);

    far.shutdown(Shutdown::Write).unwrap();
    until_state(&near, sys::CLOSE_WAIT);
    assert_eq!(sys::tcp_info(&near).bytes_received, 5 + 1);
}

#[test]
fn both_counts_survive_a_reset_until_close() {
    let (near, far) = pair();
    send_all(&near, b"1234567");
    send_all(&far, b"123");
    until_received(&far, 7);
    until_received(&near, 3);
    until_all_acked(&near);
    reset(far);
    until_state(&near, sys::CLOSE);

    for _ in 0..2 {
        let info = sys::tcp_info(&near);
        assert_eq!((info.bytes_acked, info.bytes_received), (7 + 1, 3));
        // Telling the error changes nothing in them.
        let _ = sys::peek(&near);
        let _ = near.take_error().unwrap();
    }
}

#[test]
fn both_counts_survive_a_fin_and_a_reset_until_close() {
    let (near, far) = pair();
    drop(far);
    until_state(&near, sys::CLOSE_WAIT);
    send_all(&near, b"to nobody");
    until_state(&near, sys::CLOSE);

    let info = sys::tcp_info(&near);
    assert_eq!((info.bytes_acked, info.bytes_received), (1, 1));
    assert_eq!(info.bytes_sent, 9);
}

#[test]
fn outq_survives_a_reset_too() {
    let (near, far) = narrow_pair();
    let written = fill(&near);
    let before = (sys::outq(&near), sys::tcp_info(&near));
    assert!(before.0 > 0);
    reset(far);
    until_state(&near, sys::CLOSE);

    let after = (sys::outq(&near), sys::tcp_info(&near));
    assert_eq!(after.1.bytes_acked, before.1.bytes_acked);
    assert_eq!(after.0, before.0);
    let unacked = u64::try_from(after.0).unwrap();
    assert_eq!(after.1.bytes_acked - 1 + unacked, written);
    // Not so the queue itself: nothing of it waits to be sent any more.
    assert_eq!(
        (after.1.unacked, after.1.notsent_bytes),
        (0, before.1.notsent_bytes)
    );
}

#[test]
fn a_peer_that_read_everything_and_closed_leaves_acked_at_exactly_what_it_read() {
    let (near, far) = pair();
    send_all(&near, b"read");
    until_received(&far, 4);
    assert_eq!(drain(&far).0, 4);
    drop(far);
    until_state(&near, sys::CLOSE_WAIT);
    send_all(&near, b"lost");
    until_state(&near, sys::CLOSE);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 4 + 1);
}

#[test]
fn a_peer_that_closed_with_unread_input_leaves_acked_beyond_what_it_read() {
    let (near, far) = pair();
    send_all(&near, b"1234567");
    until_received(&far, 7);
    assert_eq!(sys::recv(&far, &mut [0; 3]).unwrap(), 3);
    until_all_acked(&near);
    drop(far);
    until_state(&near, sys::CLOSE);
    assert_eq!(sys::tcp_info(&near).bytes_acked, 7 + 1);
    assert_eq!(sys::tcp_info(&near).bytes_received, 0);
}
