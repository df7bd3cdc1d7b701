//! Shipping over TLS on loopback: to the bundled sink, and to sinks that end their connections as no sink should. What
//! is lost, doubled and in doubt is held against the ladder of `docs/guarantees.md`.
#![cfg(all(target_os = "linux", feature = "_tls"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bundled;
mod ends;
mod handshakes;
mod relp;
#[path = "../support/shipping/mod.rs"]
mod shipping;
mod sink;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tls/mod.rs"]
mod tls;

use std::time::Duration;

use shipping::{Fates, Outcome, Sender, Shipped, Shipping};
use taut::TlsConfig;
use taut::ship::{Ack, ShipConfig};

/// To a sink of this authority's, with pauses and deadlines of a test.
fn to(target: &str, authority: &tls::Authority, ack: Ack) -> ShipConfig {
    let trusted = TlsConfig::builder().ca_pem(authority.pem());
    let mut config = ShipConfig {
        ack,
        tls: Some(trusted.build().unwrap()),
        ..ShipConfig::to(target)
    };
    config.client.reconnect.first_pause_max = Duration::from_millis(5);
    config.client.reconnect.pause_max = Duration::from_millis(20);
    config
}

/// Ships so many numbered lines; and what they came to, by what the sink has then.
fn ship(config: ShipConfig, lines: u64, times_read: impl Fn(u64) -> u32) -> (Outcome, Shipped) {
    let mut shipping = Box::new(Shipping::new(config, &|_| {}));
    (1..=lines).for_each(|number| shipping.offer(number));
    let shipped = shipping.finish();
    (outcome(&shipped.fates, times_read), shipped)
}

fn outcome(fates: &Fates, times_read: impl Fn(u64) -> u32) -> Outcome {
    Outcome::of(fates, times_read)
}
