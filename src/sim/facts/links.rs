//! What a kernel makes of a line that swallows packets: when it sends again, what it says when it
//! gives up, and what a connect is told.
//!
//! The real side needs a network namespace of its own, in which nft drops what comes in on the
//! loopback device: each fact runs this test program again inside one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::namespace::{drop_rules, is_inside, nft, runs_inside};
use super::{Pair, holds, real, simulated};
use crate::kernel::{Kernel, Readiness};
use crate::sim::connecting::Unreachable;
use crate::socket_options::{Keepalive, SocketOptions};
use crate::time::Time;

const SECOND: Duration = Duration::from_secs(1);
/// What came before it is taken for the beginning, and a real kernel's timers are late by its tick and
/// by the first sending again.
const EARLY_MAX: Duration = Duration::from_millis(100);
const LATE_MAX: Duration = Duration::from_millis(900);

/// How long it waits for what must come. Waits are not counted: on mio's poll(2) backend a read that
/// would block arms the way out as well, and the next wait ends at once.
const PATIENCE: Duration = Duration::from_secs(10);

impl<K: Kernel> Pair<K> {
    /// The same again with a connection that has these options, at its near end.
    fn with(&mut self, options: &SocketOptions) {
        let near_end = self.near.connect(self.at, options, super::NEAR);
        self.near_end = Some(near_end.ok().unwrap());
        self.settle();
        let (mut end, _) = self.far.accept(&self.listener).unwrap();
        let plain = SocketOptions::default();
        self.far
            .register(&mut end, &plain, super::FAR)
            .ok()
            .unwrap();
        self.far_end = Some(end);
        self.edges();
        self.told.clear();
    }

    /// Nothing arrives any more from the near end, or from the far end, or from both.
    fn hole(&mut self, from_near: bool, from_far: bool) {
        let (near, end) = self.near();
        let near = near.local_addr(end).unwrap();
        let ways = [(from_near, near, self.at), (from_far, self.at, near)];
        for (_, from, to) in ways.iter().filter(|way| way.0) {
            match &self.network {
                Some(network) => {
                    let mut network = network.borrow_mut();
                    network.dig(*from, *to, Time::NEVER, libc::ETIMEDOUT);
                }
                None => nft(&format!(
                    "tcp sport {} tcp dport {} drop",
                    from.port(),
                    to.port()
                )),
            }
        }
    }

    fn close_holes(&mut self) {
        match &self.network {
            Some(network) => network.borrow_mut().fill_holes(),
            None => drop_rules(),
        }
    }

    /// The next edge of the near end, and after how many whole seconds it came, if any did.
    fn next_edge(&mut self, within: Duration) {
        let begun = (Instant::now(), self.near.now());
        let mut all: Vec<Readiness> = Vec::new();
        let took = |pair: &Self| match pair.network {
            Some(_) => pair.near.now().since(begun.1),
            None => begun.0.elapsed(),
        };
        while all.is_empty() && took(self) < within {
            let left = within - took(self);
            self.near
                .wait(Some(left), Duration::ZERO, &mut all)
                .unwrap();
        }
        let after = took(self);
        for edge in all {
            let whole = (after + EARLY_MAX).as_secs();
            let late = (after + EARLY_MAX) - Duration::from_secs(whole);
            assert!(late < LATE_MAX, "{after:?}");
            let told = (edge.readable, edge.writable, edge.read_closed);
            self.say(("after s", whole, told));
        }
    }

    /// Waits until the far end has read so much.
    fn await_far(&mut self, bytes: usize) {
        let mut read: Vec<u8> = Vec::new();
        let until = self.far.now().after(PATIENCE);
        while self.far.now() < until {
            let mut into = [0; 64];
            let (far, end) = self.far();
            read.extend(far.read(end, &mut into).map_or(&[][..], |n| &into[..n]));
            if read.len() >= bytes {
                break;
            }
            self.passes();
        }
        self.say(("far read", read));
    }

    /// Waits until so many bytes are acknowledged, the SYN with them.
    pub(super) fn await_acked(&mut self, bytes: u64) {
        let acked = |pair: &mut Self| {
            let (near, end) = pair.near();
            near.info(end).unwrap().bytes_acked
        };
        let until = self.far.now().after(PATIENCE);
        while acked(self) < bytes && self.far.now() < until {
            self.passes();
        }
        let acked = acked(self);
        self.say(("acked", acked));
    }

    /// A little time; edges that come in it are lost.
    fn passes(&mut self) {
        let little = Some(Duration::from_millis(10));
        self.far
            .wait(little, Duration::ZERO, &mut Vec::new())
            .unwrap();
    }

    /// An address from which nothing comes back, as a rule of nft has it.
    fn silent(&mut self, verdict: &str) -> SocketAddr {
        let at = SocketAddr::new(self.at.ip(), 9);
        match &self.network {
            Some(network) => network.borrow_mut().black_hole(at),
            None => nft(&format!("tcp dport {} {verdict}", at.port())),
        }
        at
    }

    fn cut_off(&mut self, to: SocketAddr, unreachable: Unreachable) {
        if let Some(network) = &self.network {
            network.borrow_mut().cut_off(to, unreachable);
        }
    }

    /// A connect to somewhere; what is told of it, and when.
    fn connects(&mut self, to: SocketAddr, options: &SocketOptions, within: Duration) {
        match self.near.connect(to, options, super::NEAR) {
            Err(refused) => self.say(("at once", refused.error.raw_os_error())),
            Ok(end) => {
                self.near_end = Some(end);
                self.next_edge(within);
                self.look(3);
            }
        }
    }
}

fn options(user_timeout: Option<Duration>, keepalive: Option<Keepalive>) -> SocketOptions {
    SocketOptions {
        user_timeout,
        keepalive,
        ..SocketOptions::default()
    }
}

/// As `holds`, in a namespace of its own.
macro_rules! holds_on_a_link {
    ($name:ident, |$pair:ident| $calls:block) => {
        #[test]
        #[ignore = "needs root: a network namespace and nft"]
        fn $name() {
            fn calls<K: Kernel>(mut pair: Pair<K>) -> Vec<String> {
                let $pair = &mut pair;
                $calls
                pair.told
            }
            let path = concat!(module_path!(), "::", stringify!($name));
            let test = path.split_once("::").unwrap().1;
            if !is_inside() {
                return runs_inside(test);
            }
            assert_eq!(calls(simulated()), calls(real()));
        }
    };
}

holds_on_a_link!(what_fell_into_a_hole_arrives_when_it_has_closed, |pair| {
    pair.with(&SocketOptions::default());
    pair.hole(true, false);
    pair.write();
    pair.write();
    pair.edges();
    pair.close_holes();
    pair.await_far(8);
});

holds_on_a_link!(
    a_lost_acknowledgement_does_not_keep_bytes_from_arriving,
    |pair| {
        pair.with(&SocketOptions::default());
        pair.hole(false, true);
        pair.write();
        pair.await_far(4);
        let (near, end) = pair.near();
        let acked = near.info(end).unwrap().bytes_acked;
        pair.say(("acked", acked));
        pair.close_holes();
        pair.await_acked(5);
    }
);

holds_on_a_link!(
    sent_bytes_that_nobody_acknowledges_end_it_at_the_user_timeout,
    |pair| {
        pair.with(&options(Some(2 * SECOND), None));
        pair.hole(true, true);
        pair.write();
        pair.next_edge(10 * SECOND);
        for call in [3, 0, 1] {
            pair.look(call);
        }
    }
);

holds_on_a_link!(a_lost_acknowledgement_ends_it_too, |pair| {
    pair.with(&options(Some(2 * SECOND), None));
    pair.hole(false, true);
    pair.write();
    pair.next_edge(10 * SECOND);
    for call in [2, 1, 0] {
        pair.look(call);
    }
});

holds_on_a_link!(
    a_quiet_line_that_is_gone_is_found_by_keepalive_after_its_probes,
    |pair| {
        let keepalive = Keepalive {
            idle: SECOND,
            interval: SECOND,
            count: 2,
        };
        pair.with(&options(None, Some(keepalive)));
        pair.hole(true, true);
        pair.next_edge(10 * SECOND);
        for call in [0, 0, 1] {
            pair.look(call);
        }
    }
);

holds_on_a_link!(the_user_timeout_decides_over_the_number_of_probes, |pair| {
    let keepalive = Keepalive {
        idle: SECOND,
        interval: SECOND,
        count: 9,
    };
    pair.with(&options(Some(3 * SECOND), Some(keepalive)));
    pair.hole(false, true);
    pair.next_edge(20 * SECOND);
    for call in [1, 1, 0] {
        pair.look(call);
    }
});

holds_on_a_link!(a_quiet_line_without_probes_stays_quiet, |pair| {
    pair.with(&options(Some(SECOND), None));
    pair.hole(true, true);
    pair.next_edge(3 * SECOND);
    for call in [2, 0, 3] {
        pair.look(call);
    }
});

holds_on_a_link!(
    a_reset_that_was_lost_is_made_up_for_by_the_next_write,
    |pair| {
        pair.with(&SocketOptions::default());
        pair.hole(false, true);
        pair.far_closes(true);
        pair.edges();
        pair.close_holes();
        pair.write();
        pair.edges();
        for call in [0, 1] {
            pair.look(call);
        }
    }
);

holds_on_a_link!(a_connect_into_silence_ends_at_the_user_timeout, |pair| {
    let to = pair.silent("drop");
    pair.connects(to, &options(Some(3 * SECOND), None), 10 * SECOND);
    pair.look(3);
});

holds_on_a_link!(a_connect_without_a_route_fails_at_once, |pair| {
    let to = SocketAddr::from(([10, 77, 0, 1], 9));
    pair.cut_off(to, Unreachable::AtOnce(libc::ENETUNREACH));
    pair.connects(to, &SocketOptions::default(), SECOND);
});

// Loopback brings the ICMP while connect is still being called.
holds_on_a_link!(
    an_icmp_in_the_call_that_connects_is_an_error_and_no_end,
    |pair| {
        let to = pair.silent("reject with icmp type host-unreachable");
        pair.cut_off(to, Unreachable::Softly(libc::EHOSTUNREACH));
        pair.connects(to, &SocketOptions::default(), SECOND);
        pair.look(3);
        // mio's poll(2) backend has forgotten what hung up: there a read that would block says NotFound
        // (docs/sockets.md). The engine reads nothing that does not stand.
        if cfg!(not(mio_unsupported_force_poll_poll)) {
            pair.look(0);
        }
    }
);

// A window needs no namespace: it is the peer's program that shuts it.

/// Writes until no more is taken.
fn fill<K: Kernel>(pair: &mut Pair<K>) {
    loop {
        let (near, end) = pair.near();
        if near.write(end, &[7; 10_000]).is_err() {
            return;
        }
        pair.settle();
    }
}

holds!(
    a_window_that_stays_shut_ends_it_at_the_user_timeout,
    |pair| {
        pair.with(&options(Some(2 * SECOND), None));
        fill(pair);
        pair.next_edge(10 * SECOND);
        for call in [3, 0, 1] {
            pair.look(call);
        }
    }
);

holds!(a_window_that_stays_shut_ends_nothing_without_one, |pair| {
    let keepalive = Keepalive {
        idle: SECOND,
        interval: SECOND,
        count: 1,
    };
    pair.with(&options(None, Some(keepalive)));
    fill(pair);
    pair.next_edge(3 * SECOND);
    pair.look(3);
});
