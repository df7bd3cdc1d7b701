//! TCP_INFO, read by byte offset, for the returned length tells how much of it the running kernel knows.
//!
//! The offsets are those of Linux's `struct tcp_info` (include/uapi/linux/tcp.h), which only ever grows at its end;
//! `tests/kernel_facts` pins them.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

use crate::kernel::TcpInfo;

const BYTES: usize = 232;

/// The states between the peer's FIN and the end: CLOSE_WAIT, LAST_ACK, CLOSING (include/net/tcp_states.h).
const FIN_RECEIVED: [u8; 3] = [8, 9, 11];

#[cfg(target_os = "linux")]
pub(super) fn read(fd: RawFd) -> io::Result<TcpInfo> {
    let mut bytes = [0u8; BYTES];
    let mut len = BYTES as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `bytes` and the length it wrote into `len`.
    let outcome = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &mut len,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let known = &bytes[..(len as usize).min(BYTES)];
    Ok(TcpInfo {
        rtt: Duration::from_micros(u32_at(known, 68).into()),
        rtt_min: Duration::from_micros(u32_at(known, 148).into()),
        retransmits: u32_at(known, 100),
        segments_out: u32_at(known, 136),
        bytes_acked: u64_at(known, 120),
        bytes_received: u64_at(known, 128),
        fin_received: known
            .first()
            .is_some_and(|state| FIN_RECEIVED.contains(state)),
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: RawFd) -> io::Result<TcpInfo> {
    Err(io::ErrorKind::Unsupported.into())
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u32::from_ne_bytes(*chunk))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |chunk| u64::from_ne_bytes(*chunk))
}
