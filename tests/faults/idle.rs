//! Thousands of connections on which nobody says anything: they cost the server no turns, harm nobody who does, and go
//! when their time is over, each told once (fault list 42).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taut::{Class, Client, ConnectionId, Event, Framing, Phase, Source};

use crate::churn::{AT_ONCE, CONNECTING_MAX, echo, only_crowd};
use crate::common::{assert_nothing_is_left, server};
use crate::support::namespaces::Link;
use crate::support::*;

const IDLE_TIMEOUT: Duration = Duration::from_secs(8);

/// How long all may take: many times what they take on a busy machine.
const ALL: Duration = Duration::from_secs(60);

/// Connections that say nothing, and when each was begun.
struct Silent {
    client: Client,
    begun: BTreeMap<ConnectionId, Instant>,
    connected: usize,
    ended: usize,
}

impl Silent {
    fn new() -> Silent {
        Silent {
            client: client_with(|it| it.timeouts.idle = 2 * ALL),
            begun: BTreeMap::new(),
            connected: 0,
            ended: 0,
        }
    }

    fn turn(&mut self) {
        turn(&mut self.client, ms(20));
        while let Some(event) = self.client.next_event() {
            match event {
                Event::Connected { .. } => self.connected += 1,
                Event::Closed {
                    connection, error, ..
                } => {
                    let begun = self.begun.remove(&connection).expect("one that was open");
                    let error = error.unwrap();
                    assert_eq!(
                        (error.class, error.phase, error.source),
                        (Class::Transient, Phase::Idle, Source::Eof)
                    );
                    // Its time counts from the turn that accepted it, which began before that by as long as a busy
                    // machine makes a turn.
                    assert!(begun.elapsed() + ms(1_000) >= IDLE_TIMEOUT, "early");
                    self.ended += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect_all(&mut self) {
        let deadline = Instant::now() + ALL;
        while self.connected < AT_ONCE {
            while self.begun.len() + self.ended < AT_ONCE.min(self.connected + CONNECTING_MAX) {
                let target = server().to_string();
                let connection = self.client.connect(&target, Framing::line()).unwrap();
                self.begun.insert(connection, Instant::now());
            }
            self.turn();
            assert!(Instant::now() < deadline, "{} stand", self.connected);
        }
    }
}

/// How often a process has gone to sleep so far: once a turn of a loop that waits.
fn sleeps(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn thousands_of_idle_connections_cost_a_server_no_turns_and_go_when_their_time_is_over() {
    let _alone = only_crowd();
    let link = Link::new("idle");
    link.near
        .sysctl("net.ipv4.ip_local_port_range", "1024 65535");
    let serving = echo(&link, &["--idle-timeout", "8s"]);
    let descriptors = || {
        let folder = format!("/proc/{}/fd", serving.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    let before = descriptors();
    let _inside = link.near.enter();
    let (mut silent, calm) = (Silent::new(), Calm::begins());
    silent.connect_all();
    println!("{AT_ONCE} connected after {:?}", calm.lasts());

    // Nobody says anything for a while, and nobody's time is over before it ends.
    let (still, sleeps_before) = (Instant::now(), sleeps(serving.pid()));
    stall_until(still + ms(500));
    let slept = sleeps(serving.pid()) - sleeps_before;
    if calm.lasts() < IDLE_TIMEOUT {
        assert_eq!(descriptors(), before + AT_ONCE);
        println!("the server slept {slept} times in half a second");
        assert!(slept < 200, "{slept} turns for nothing");
    }
    let mut ledger = Ledger::default();
    let mut another = client();
    let upstream = taut::Upstream::new(server().to_string());
    let upstream = another.add(upstream).unwrap();
    let request = ledger.request(&mut another, upstream, b"and I?\n", far());
    assert_eq!(ledger.until(&mut another, request).reply(), b"and I?");
    drop(another);

    let deadline = Instant::now() + ALL;
    while silent.ended < AT_ONCE {
        silent.turn();
        assert!(Instant::now() < deadline, "{} ended", silent.ended);
    }
    println!("all ended after {:?}", calm.lasts());
    calm.ends(3 * AT_ONCE);
    eventually("the server's descriptors", || descriptors() == before);
    assert_nothing_is_left(silent.client, &link.near);
}
