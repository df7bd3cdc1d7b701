//! The errnos the engine tells apart, and getaddrinfo's codes: libc's constants, and nothing that calls the kernel. The
//! only place outside `net` that names libc. Each has its row in `docs/errors.md`.

pub(crate) use libc::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNABORTED,
    EDESTADDRREQ, EEXIST, EFAULT, EINTR, EINVAL, EIO, EISCONN, ELOOP, EMFILE, ENFILE, ENOBUFS,
    ENOENT, ENOMEM, ENOPROTOOPT, ENOSPC, ENOTSOCK, EOPNOTSUPP, EPERM, EPIPE, EPROTONOSUPPORT,
    EPROTOTYPE, ESOCKTNOSUPPORT,
};

pub(crate) use libc::{
    EAI_AGAIN, EAI_BADFLAGS, EAI_FAIL, EAI_FAMILY, EAI_MEMORY, EAI_NODATA, EAI_NONAME,
    EAI_OVERFLOW, EAI_SERVICE, EAI_SOCKTYPE, EAI_SYSTEM,
};

/// glibc's netdb.h; the crate libc does not name it. Elsewhere it is no code at all.
#[cfg(target_os = "linux")]
pub(crate) const EAI_ADDRFAMILY: i32 = -9;
#[cfg(not(target_os = "linux"))]
pub(crate) const EAI_ADDRFAMILY: i32 = i32::MIN;

/// Named by tests alone: what is not listed above is transient.
#[cfg(test)]
pub(crate) use libc::{ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT};
