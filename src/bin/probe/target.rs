//! What is probed: `host:port`, `[v6]:port`, `tcp://host:port`.
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
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let bare = match text.split_once("://") {
            Some(("tcp", bare)) => bare,
            Some(("tls", _)) => {
                return Err("TLS is not built yet: use host:port or tcp://host:port".into());
            }
            Some(_) => return Err("a target is host:port or tcp://host:port".into()),
            None => text,
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
        for (text, as_str, host) in [
            ("localhost:6379", "localhost:6379", "localhost"),
            ("tcp://10.0.0.7:1", "10.0.0.7:1", "10.0.0.7"),
            ("[::1]:65535", "[::1]:65535", "::1"),
            ("tcp://[fe80::1]:80", "[fe80::1]:80", "fe80::1"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.as_str(), target.host()), (as_str, host));
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
            "a:80:90",
        ] {
            let why = text.parse::<Target>().unwrap_err();
            assert!(why.contains("target is"), "{text}: {why}");
        }
        assert!("tls://a:443".parse::<Target>().unwrap_err().contains("TLS"));
    }
}
