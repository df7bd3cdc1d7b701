//! The options of a socket, with their defaults and units. Which of them a kernel knows, the kernel says: a refused
//! option is an error by name ([`Source::Option`](crate::Source::Option)).

use std::net::SocketAddr;
use std::time::Duration;

/// Options set on each socket of a client, before it connects. What is `None` is left as the system has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// TCP_NODELAY: small writes leave at once. Default: true; the loop coalesces what was queued between two turns by
    /// itself.
    pub nodelay: bool,
    /// TCP_QUICKACK, set once: acknowledge at once instead of waiting for data to ride on. The kernel leaves the mode
    /// by itself (tcp(7)). Linux only. Default: false.
    pub quickack: bool,
    /// Probes on a connection that is quiet in both directions. They do not run while data is in flight: that is what
    /// `user_timeout` is for. Default: after 15 s, every 5 s, 3 times.
    pub keepalive: Option<Keepalive>,
    /// TCP_USER_TIMEOUT: how long sent data may stay unacknowledged. It also ends a live peer that holds its window at
    /// zero, so it must be longer than the stall that backpressure may cause. Whole milliseconds; Linux only.
    /// Default: 20 s.
    pub user_timeout: Option<Duration>,
    /// SO_SNDBUF, in bytes, as asked for: Linux doubles it, and no longer tunes it by itself. Default: `None`.
    pub send_buffer_bytes: Option<usize>,
    /// SO_RCVBUF, in bytes, likewise. Default: `None`.
    pub receive_buffer_bytes: Option<usize>,
    /// The local address to connect from; port 0 lets the kernel choose. Default: `None`.
    pub bind: Option<SocketAddr>,
    /// The DS field of outgoing packets (RFC 2474; IP_TOS, or IPV6_TCLASS). Default: `None`.
    pub tos: Option<u8>,
    /// TCP_FASTOPEN_CONNECT: with a cookie from before, the first bytes ride on the SYN (RFC 7413), and a connect
    /// succeeds before the peer has answered. Linux only. Default: false.
    pub fastopen_connect: bool,
    /// SO_BUSY_POLL: how long the kernel polls the device for a blocking read. Whole microseconds; raising it needs
    /// CAP_NET_ADMIN; Linux only. Default: `None`.
    pub busy_poll: Option<Duration>,
    /// SO_BINDTODEVICE: the network device to use. May need CAP_NET_RAW; Linux only. Default: `None`.
    pub device: Option<String>,
    /// SO_MARK: the mark for routing and filters. Needs CAP_NET_ADMIN; Linux only. Default: `None`.
    pub mark: Option<u32>,
}

/// When and how often a quiet connection is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Quiet for so long before the first probe (TCP_KEEPIDLE). Whole seconds.
    pub idle: Duration,
    /// Between two probes (TCP_KEEPINTVL). Whole seconds.
    pub interval: Duration,
    /// Unanswered probes after which the connection is dead (TCP_KEEPCNT).
    pub count: u32,
}

impl Default for SocketOptions {
    fn default() -> SocketOptions {
        SocketOptions {
            nodelay: true,
            quickack: false,
            keepalive: Some(Keepalive::default()),
            user_timeout: Some(Duration::from_secs(20)),
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            bind: None,
            tos: None,
            fastopen_connect: false,
            busy_poll: None,
            device: None,
            mark: None,
        }
    }
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive {
            idle: Duration::from_secs(15),
            interval: Duration::from_secs(5),
            count: 3,
        }
    }
}
