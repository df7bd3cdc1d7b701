//! How connections are made: the flags of every command that makes some, and the library's settings that follow.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::{Args, ValueEnum};
use taut::{Config, SocketOptions, Timeouts};

use crate::tls::TlsArgs;
use crate::units;

/// How connections are made.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct LinkArgs {
    /// All of connecting, the lookup and the TLS handshake included.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = units::duration_above_zero)]
    pub(crate) connect_timeout: Duration,
    /// Poll for so long before blocking.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = units::duration)]
    pub(crate) spin: Duration,
    /// Pin the loop's thread to this CPU.
    #[arg(long, value_name = "N", value_parser = cpu)]
    pub(crate) cpu: Option<usize>,
    /// TCP_NODELAY.
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    pub(crate) nodelay: Switch,
    /// The local address to connect from.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// TCP_USER_TIMEOUT: how long sent data may stay unacknowledged.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = units::duration_above_zero)]
    pub(crate) user_timeout: Duration,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl LinkArgs {
    /// The library's settings, with a write that may stand still for so long.
    pub(crate) fn config(&self, write_stall: Duration) -> Config {
        Config {
            timeouts: Timeouts {
                resolve: self.connect_timeout,
                connect: self.connect_timeout,
                handshake: self.connect_timeout,
                // The kernel's own end comes a little later.
                write_stall: write_stall.min(self.user_timeout * 9 / 10),
                ..Timeouts::default()
            },
            spin: self.spin,
            socket: SocketOptions {
                nodelay: self.nodelay == Switch::On,
                bind: self.bind.map(|ip| SocketAddr::new(ip, 0)),
                user_timeout: Some(self.user_timeout),
                ..SocketOptions::default()
            },
            ..Config::default()
        }
    }
}

pub(crate) fn cpu(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "a CPU is a number from 0 on, such as 1".into())
}
