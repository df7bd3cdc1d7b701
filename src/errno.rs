//! The errnos the engine tells apart: libc's constants, and nothing that calls the kernel. The only place outside `net`
//! that names libc.

pub(crate) use libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNABORTED, EFAULT,
    EINTR, EINVAL, EIO, EISCONN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOPROTOOPT, ENOSPC, ENOTSOCK,
    EOPNOTSUPP, EPERM, EPROTONOSUPPORT, EPROTOTYPE,
};

/// Named by tests alone: what is not listed above is transient.
#[cfg(test)]
pub(crate) use libc::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, EPIPE, ETIMEDOUT};
