//! The system calls that std, nix and socket2 do not offer. All `unsafe` of these tests is here, one call a function.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};

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
