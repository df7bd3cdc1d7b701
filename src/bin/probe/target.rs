//! What is probed: `host:port`, `[v6]:port`, `tcp://host:port`, `tls://host:port`.
//!
//! Checked whole before anything runs, so that a mistyped target ends with one line and not in the middle of a run.

use std::fmt;
use std::str::FromStr;

/// A target, as `host:port` or `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    text: String,
    host: String,
    port: u16,
    scheme: Option<Scheme>,
}

/// What a target says of how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// In the clear.
    Tcp,
    /// In TLS.
    Tls,
}

impl Target {
    /// As the library wants it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `None` when it says nothing of that.
    pub(crate) fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let (scheme, bare) = match text.split_once("://") {
            Some(("tcp", bare)) => (Some(Scheme::Tcp), bare),
            Some(("tls", bare)) => (Some(Scheme::Tls), bare),
            Some(_) => {
                return Err("a target is host:port, tcp://host:port or tls://host:port".into());
            }
            None => (None, text),
        };
        let (host, port) = bare
            .rsplit_once(':')
            .ok_or("a target is host:port, such as localhost:6379; the port is missing")?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err("a target is host:port; the port is 1 to 65535".into()),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(Some(v6)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            Some(_) => return Err("an IPv6 target is [address]:port, such as [::1]:6379".into()),
            None if host.contains(':') => {
                return Err("an IPv6 target is [address]:port, such as [::1]:6379".into());
            }
            None => host,
        };
        let is_strange = |c: char| c.is_whitespace() || c.is_control() || "/@?#[]".contains(c);
        if host.is_empty() || host.contains(is_strange) {
            return Err("a target is host:port, such as localhost:6379; the host is wrong".into());
        }
        Ok(Target {
            text: bare.to_owned(),
            host: host.to_owned(),
            port,
            scheme,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_with_and_without_a_scheme() {
        let (tcp, tls) = (Some(Scheme::Tcp), Some(Scheme::Tls));
        for (text, as_str, host, scheme) in [
            ("localhost:6379", "localhost:6379", "localhost", None),
            ("tcp://10.0.0.7:1", "10.0.0.7:1", "10.0.0.7", tcp),
            ("[::1]:65535", "[::1]:65535", "::1", None),
            ("tcp://[fe80::1]:80", "[fe80::1]:80", "fe80::1", tcp),
            ("tls://db:6380", "db:6380", "db", tls),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.as_str(), target.host()), (as_str, host));
            assert_eq!(target.scheme(), scheme);
        }
    }

    #[test]
    fn a_wrong_target_says_what_would_be_right() {
        for text in [
            "",
            "localhost",
            "localhost:",
            "localhost:0",
            "localhost:65536",
            ":80",
            "a b:80",
            "::1:80",
            "[::1:80",
            "[::1]",
            "[x]:80",
            "http://a:80",
            "tcp://a:80/",
            "tls://a",
            "TLS://a:80",
            "a:80:90",
        ] {
            let why = text.parse::<Target>().unwrap_err();
            assert!(why.contains("target is"), "{text}: {why}");
        }
    }
}
