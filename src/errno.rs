//! The errnos the engine tells apart, and the class of each. The only place outside `net` that names libc, for its
//! constants alone.

use crate::error::Class;

pub(crate) use libc::{EIO, EMFILE, ENFILE, ENOBUFS, ENOMEM};

/// How an errno should be met. What is not named here is the way to the peer, or the peer: transient.
pub(crate) fn class(errno: i32) -> Class {
    match errno {
        EMFILE | ENFILE | ENOBUFS | ENOMEM => Class::Resource,
        libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN => Class::Resource,
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::EPROTOTYPE => Class::Persistent,
        libc::EACCES | libc::EPERM | libc::ENOPROTOOPT | libc::EOPNOTSUPP => Class::Persistent,
        libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK => Class::Local,
        libc::EISCONN | libc::EALREADY => Class::Local,
        _ => Class::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_the_table_has_its_class() {
        let table: [(Class, &[i32]); 4] = [
            (
                Class::Transient,
                &[
                    libc::ECONNREFUSED,
                    libc::ETIMEDOUT,
                    libc::EHOSTUNREACH,
                    libc::ENETUNREACH,
                    libc::ECONNRESET,
                    libc::EPIPE,
                    libc::ECONNABORTED,
                ],
            ),
            (
                Class::Persistent,
                &[libc::EAFNOSUPPORT, libc::EACCES, libc::EPERM],
            ),
            (
                Class::Resource,
                &[
                    EMFILE,
                    ENFILE,
                    ENOBUFS,
                    ENOMEM,
                    libc::EADDRNOTAVAIL,
                    libc::EADDRINUSE,
                ],
            ),
            (Class::Local, &[libc::EBADF, libc::EINVAL]),
        ];
        for (expected, errnos) in table {
            for &errno in errnos {
                assert_eq!(class(errno), expected, "errno {errno}");
            }
        }
    }
}
