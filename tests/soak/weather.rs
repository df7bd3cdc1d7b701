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

const ALL: [Weather; 9] = [
    Weather::Calm,
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
    pub(crate) fn drawn(random: &mut Random) -> Weather {
        // Every other time nothing new is wrong, so that what was lost comes back.
        match random.once_in(2) {
            true => Weather::Calm,
            false => random.of(&ALL),
        }
    }

    pub(crate) fn lasts(self, random: &mut Random) -> Duration {
        let drawn = ms(random.below(4_000) as u64);
        match self {
            Weather::Down => drawn / 2,
            Weather::Stall => drawn + ms(500),
            _ => drawn + ms(1_000),
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
