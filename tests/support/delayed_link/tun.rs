//! The one system call of the delayed link that no safe interface has: making a TUN device.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// A TUN device of this name in the namespace of this thread: each read is a packet that the kernel sends there, each
/// write one that it receives; nonblocking. It goes with its last descriptor.
#[allow(
    unsafe_code,
    reason = "ioctl(2) has no safe interface for TUNSETIFF (linux/if_tun.h)"
)]
pub(super) fn open(name: &str) -> File {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .unwrap_or_else(|error| panic!("/dev/net/tun (needs root): {error}"));
    assert!(name.len() < libc::IFNAMSIZ);
    // SAFETY: an `ifreq` of zeros is a valid value: it is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    let outcome =
        unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    assert_eq!(outcome, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    device
}
