//! getaddrinfo(3), called directly, for std hides the code that tells "no such name" from "try again".

use std::ffi::CString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::error::ResolveError;

/// The addresses of a host, in the system's order (RFC 6724). Blocks.
pub(super) fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
    let host = CString::new(host).map_err(|_| ResolveError::NotFound)?;
    // SAFETY: addrinfo is plain data for which zero is valid.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_family = libc::AF_UNSPEC;
    let mut list = std::ptr::null_mut();
    forget_errno();
    // SAFETY: a C string, valid hints, and a place for the list, which is freed below.
    let code = unsafe { libc::getaddrinfo(host.as_ptr(), std::ptr::null(), &hints, &mut list) };
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if code != 0 {
        return Err(why(code, errno));
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    // SAFETY: getaddrinfo returned a list that ends with null, whose entries are valid until freeaddrinfo.
    while let Some(info) = unsafe { entry.as_ref() } {
        addresses.extend(address_of(info, port));
        entry = info.ai_next;
    }
    // SAFETY: the list came from getaddrinfo and is not used after this.
    unsafe { libc::freeaddrinfo(list) };
    match addresses.is_empty() {
        true => Err(ResolveError::NotFound),
        false => Ok(addresses),
    }
}

/// What getaddrinfo's code and errno say of a lookup that failed.
pub(crate) fn why(code: i32, errno: i32) -> ResolveError {
    match code {
        // A system error that nobody has named: EIO, as of any call.
        libc::EAI_SYSTEM if errno == 0 => ResolveError::Os(libc::EIO),
        libc::EAI_SYSTEM => ResolveError::Os(errno),
        libc::EAI_MEMORY => ResolveError::Os(libc::ENOMEM),
        // Without a descriptor glibc can neither read /etc/hosts nor ask a server, and calls every name unknown.
        _ if cfg!(target_os = "linux") && is_want(errno) => ResolveError::Os(errno),
        libc::EAI_NONAME | libc::EAI_NODATA => ResolveError::NotFound,
        libc::EAI_AGAIN => ResolveError::TryAgain,
        code => ResolveError::Failed(code),
    }
}

/// What errno says after a lookup is then of that lookup.
fn forget_errno() {
    #[cfg(target_os = "linux")]
    // SAFETY: the place of this thread's errno, which is always there.
    unsafe {
        *libc::__errno_location() = 0;
    }
}

/// This machine ran out of something.
fn is_want(errno: i32) -> bool {
    matches!(
        errno,
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM
    )
}

fn address_of(info: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: an AF_INET entry holds a sockaddr_in.
            let v4 = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().as_ref() }?;
            Some(SocketAddr::from((
                Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
                port,
            )))
        }
        libc::AF_INET6 => {
            // SAFETY: an AF_INET6 entry holds a sockaddr_in6.
            let v6 = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().as_ref() }?;
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                port,
                v6.sin6_flowinfo,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use libc::{EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_NONAME, EAI_SYSTEM};
    use libc::{EIO, EMFILE, ENFILE, ENOBUFS, ENOENT, ENOMEM};

    use super::*;
    use crate::error::{Class, Source};

    #[test]
    fn a_lookup_that_this_machine_could_not_make_is_a_resource_and_no_missing_name() {
        for (code, errno, expected, class) in [
            (EAI_MEMORY, 0, ENOMEM, Class::Resource),
            (EAI_SYSTEM, EMFILE, EMFILE, Class::Resource),
            (EAI_SYSTEM, EIO, EIO, Class::Transient),
            (EAI_SYSTEM, 0, EIO, Class::Transient),
            (EAI_SYSTEM, ENOENT, ENOENT, Class::Transient),
            (EAI_NONAME, ENFILE, ENFILE, Class::Resource),
            (EAI_AGAIN, ENOBUFS, ENOBUFS, Class::Resource),
        ] {
            let told = why(code, errno);
            assert_eq!(told, ResolveError::Os(expected));
            assert_eq!(Source::Resolve(told).class(), class);
        }
        // glibc looks into files that are not there on its way to an answer.
        assert_eq!(why(EAI_NONAME, ENOENT), ResolveError::NotFound);
        assert_eq!(why(EAI_AGAIN, ENOENT), ResolveError::TryAgain);
        assert_eq!(why(EAI_FAIL, 0), ResolveError::Failed(EAI_FAIL));
    }
}
