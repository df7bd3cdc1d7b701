//! A target as the program writes it: `host:port` or `[v6]:port`.

use crate::error::{Error, Phase, ResolveError, Source};

/// Splits `host:port` or `[v6]:port`.
pub(crate) fn split_target(target: &str) -> Result<(&str, u16), Error> {
    let bad = |why| Error::new(Phase::Resolve, Source::Invalid(why));
    let (host, port) = target
        .rsplit_once(':')
        .ok_or(bad("a target is host:port; the port is missing"))?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or(bad(
        "a target is host:port; the port is a number from 0 to 65535",
    ))?;
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').ok_or(bad(
            "an IPv6 target is [address]:port; the bracket is not closed",
        ))?,
        None if host.contains(':') => {
            return Err(bad(
                "an IPv6 target is [address]:port; the brackets are missing",
            ));
        }
        None => host,
    };
    match host.is_empty() || host.contains('\0') {
        true => Err(bad("a target is host:port; the host is missing")),
        false => Ok((host, port)),
    }
}

/// The error of a lookup that found no address.
pub(crate) fn no_address() -> Error {
    Error::new(Phase::Resolve, Source::Resolve(ResolveError::NotFound))
}
