//! What the proxy does to all connections for some seconds.

use std::time::Duration;

use crate::proxy::Proxy;
use crate::random::Random;
use crate::support::{End, ms};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing is wrong.
    Calm,
    /// Each byte is late, both ways.
    Late,
    /// A few bytes at a time.
    Slices,
    /// A connection has so many bytes to live, and is reset then.
    Limits,
    /// Ends come late.
    SlowCloses,
    /// All are cut now, by a reset or by a FIN.
    Cut(End),
    /// Nothing is passed on for longer than requests wait.
    Stall,
    /// All are reset, and nobody listens for a while.
    Down,
}

const BAD: [Weather; 8] = [
    Weather::Late,
    Weather::Slices,
    Weather::Limits,
    Weather::SlowCloses,
    Weather::Cut(End::Rst),
    Weather::Cut(End::Fin),
    Weather::Stall,
    Weather::Down,
];

impl Weather {
    /// What comes after that: every other time nothing is wrong.
    pub(crate) fn after(self, random: &mut Random) -> Weather {
        match self {
            Weather::Calm => random.of(&BAD),
            _ => Weather::Calm,
        }
    }

    /// Calm lasts until most of what was lost is back: eight connections of an upstream every 100 ms.
    pub(crate) fn lasts(self, random: &mut Random) -> Duration {
        match self {
            Weather::Calm => ms(10_000 + random.below(20_000) as u64),
            Weather::Down => ms(random.below(2_000) as u64),
            _ => ms(1_000 + random.below(4_000) as u64),
        }
    }

    /// From now on; what was before is over.
    pub(crate) fn comes(self, proxy: &Proxy) {
        proxy.heal();
        match self {
            Weather::Calm => {}
            Weather::Late => proxy.set(|faults| faults.both_ways(|way| way.latency = ms(30))),
            Weather::Slices => {
                proxy.set(|faults| faults.both_ways(|way| way.slices = Some((64, ms(2)))));
            }
            Weather::Limits => {
                proxy.set(|faults| faults.to_client.limit = Some((20_000, End::Rst)));
            }
            Weather::SlowCloses => {
                proxy.set(|faults| faults.both_ways(|way| way.slow_close = ms(200)));
                proxy.cut(End::Fin);
            }
            Weather::Cut(end) => proxy.cut(end),
            Weather::Stall => proxy.set(|faults| faults.both_ways(|way| way.stalled = true)),
            Weather::Down => {
                proxy.set(|faults| faults.down = true);
                proxy.cut(End::Rst);
            }
        }
    }
}
