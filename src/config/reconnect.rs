//! How a lost connection of an upstream is made again.

use std::time::Duration;

/// The pauses before a lost connection of an upstream is made again: full jitter. The nth pause since the last stable
/// uptime is a random part of `min(pause_max, first_pause_max · 2ⁿ)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The longest the first pause may be. Default: 100 ms.
    pub first_pause_max: Duration,
    /// The longest any pause may be. Default: 10 s.
    pub pause_max: Duration,
    /// A connection that stood for so long was a good one: pauses begin anew. Default: 10 s.
    pub stable_uptime: Duration,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect {
            first_pause_max: Duration::from_millis(100),
            pause_max: Duration::from_secs(10),
            stable_uptime: Duration::from_secs(10),
        }
    }
}
