//! The system calls that std, nix and socket2 do not offer. All `unsafe` of these tests is here, one call a function.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

/// SIOCGSKNS of linux/sockios.h.
const SIOCGSKNS: libc::c_ulong = 0x894C;

/// The network namespace in which a socket was made. An error where the descriptor is no socket, or closed by now.
pub(crate) fn namespace_of_socket(descriptor: RawFd) -> io::Result<File> {
    // SAFETY: the request takes no argument and touches no memory of ours.
    let namespace = unsafe { libc::ioctl(descriptor, SIOCGSKNS) };
    if namespace < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the call has just made, and nobody else's.
    Ok(unsafe { File::from_raw_fd(namespace) })
}

/// Ends a connection at this end alone: in repair mode (CAP_NET_ADMIN) a close sends neither FIN nor RST.
pub(crate) fn forget(stream: TcpStream) {
    let on: libc::c_int = 1;
    // SAFETY: the option reads one int, alive for the call.
    let outcome = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
}
