//! A server's process that is killed, stopped and continued with requests in flight (fault list 15).

use std::time::{Duration, Instant};

use taut::{
    Breaker, Class, Client, Deadline, Expect, Heartbeat, Phase, RequestId, Sent, Source, Upstream,
    UpstreamId,
};

use crate::common::{assert_nothing_is_left, server, sockets_of};
use crate::probe::{Serving, signal};
use crate::support::namespaces::Link;
use crate::support::*;

/// `probe serve shout` in a process of its own at the far end.
fn shouting(link: &Link) -> Serving {
    let at = server().to_string();
    link.far
        .within(|| Serving::start(&["shout", "--listen", &at]))
}

/// A client that makes each request whatever became of the others: what is asked here is what each of them tells.
fn client_that_asks_all(pause_max: Duration) -> Client {
    client_with(|it| {
        it.reconnect.pause_max = pause_max;
        it.breaker = Breaker::off();
    })
}

/// Four connections, eight requests on each.
fn upstream_of_four(client: &mut Client) -> UpstreamId {
    let upstream = Upstream::new(server().to_string()).connections(4).depth(8);
    let upstream = client.add(upstream).unwrap();
    turn_until(client, "four connections", |client| {
        client.upstream_stats(upstream).unwrap().open == 4
    });
    upstream
}

/// Requests with a number each, so that a reply which is another's is seen.
#[derive(Default)]
struct Numbered {
    ledger: Ledger,
    all: Vec<RequestId>,
}

impl Numbered {
    fn ask(&mut self, client: &mut Client, upstream: UpstreamId, deadline: Deadline) {
        let line = format!("request {}\n", self.all.len());
        let request = self
            .ledger
            .request(client, upstream, line.as_bytes(), deadline);
        self.all.push(request);
    }

    /// What became of them; each reply is the one to its request.
    fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.all.iter().enumerate().map(|(number, request)| {
            let ended = self.ledger.ended(*request).unwrap();
            if let Ended::Reply(reply) = ended {
                assert_eq!(*reply, format!("REQUEST {number}").into_bytes());
            }
            ended
        })
    }

    /// Turns and books for a while, or until so many have been answered.
    fn turn_for(&mut self, client: &mut Client, time: Duration, replies: usize) {
        let end = Instant::now() + time;
        while Instant::now() < end && self.ledger.replies() < replies {
            turn(client, ms(20));
            while let Some(event) = client.next_event() {
                self.ledger.book(client, event);
            }
        }
    }
}

/// A new server at the same address serves the same upstream.
#[track_caller]
fn assert_a_new_server_serves(client: &mut Client, upstream: UpstreamId, link: &Link) {
    let _serving = shouting(link);
    let mut ledger = Ledger::default();
    let request = ledger.request(client, upstream, b"again\n", far());
    assert_eq!(ledger.until(client, request).reply(), b"AGAIN");
    ledger.until_all(client);
}

/// It was stopped before, so nothing of what it was sent was read: its kernel resets, and nobody can say what was done.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_killed_with_requests_unread_ends_each_as_maybe_sent_and_what_waited_as_not() {
    let link = Link::new("killed");
    let serving = shouting(&link);
    let _inside = link.near.enter();
    let mut client = client_that_asks_all(ms(100));
    let upstream = upstream_of_four(&mut client);
    signal(serving.pid(), "STOP");
    let mut numbered = Numbered::default();
    for _ in 0..40 {
        numbered.ask(&mut client, upstream, far());
    }
    numbered.turn_for(&mut client, ms(100), 1);
    assert_eq!(numbered.ledger.open(), 40);
    let calm = Calm::begins();
    signal(serving.pid(), "KILL");
    numbered.ledger.until_all(&mut client);
    println!("all 40 ended {:?} after the kill", calm.lasts());
    calm.ends(40);
    for (number, ended) in numbered.ended().enumerate() {
        let error = ended.clone().error();
        let (phase, sent, errno) = match number {
            ..32 => (Phase::Read, Sent::Maybe, libc::ECONNRESET),
            _ => (Phase::Connect, Sent::No, libc::ECONNREFUSED),
        };
        assert_eq!(
            (error.class, error.phase, error.sent, error.errno()),
            (Class::Transient, phase, sent, Some(errno)),
            "number {number}"
        );
    }
    drop(serving);
    assert_a_new_server_serves(&mut client, upstream, &link);
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_killed_in_the_midst_of_a_burst_ends_each_request_once() {
    let link = Link::new("killed");
    let _inside = link.near.enter();
    let mut client = client_that_asks_all(ms(100));
    let mut upstream = None;
    for round in 0..3 {
        let serving = shouting(&link);
        let upstream = *upstream.get_or_insert_with(|| upstream_of_four(&mut client));
        let mut numbered = Numbered::default();
        let calm = Calm::begins();
        for _ in 0..1_000 {
            numbered.ask(&mut client, upstream, Deadline::after(ms(3_000)));
        }
        numbered.turn_for(&mut client, PATIENCE, 100);
        signal(serving.pid(), "KILL");
        numbered.ledger.until_all(&mut client);
        calm.ends(1_000);
        let replies = numbered.ledger.replies();
        println!("round {round}: {replies} of 1,000 answered before the kill");
        assert!(replies >= 100);
        for ended in numbered.ended() {
            if let Ended::Failed(error) = ended {
                assert_eq!(error.class, Class::Transient, "{error}");
                let right = match error.phase {
                    Phase::Connect => error.sent == Sent::No,
                    Phase::Read => error.sent != Sent::No,
                    // It was queued behind others: the look before the write saw the end.
                    phase => phase == Phase::Write,
                };
                assert!(right, "{error}");
            }
        }
        drop(serving);
    }
    assert_a_new_server_serves(&mut client, upstream.unwrap(), &link);
    assert_nothing_is_left(client, &link.near);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_stopped_for_less_than_the_timeouts_loses_nothing() {
    let link = Link::new("stopped");
    let serving = shouting(&link);
    let _inside = link.near.enter();
    let mut client = client();
    let upstream = upstream_of_four(&mut client);
    let mut numbered = Numbered::default();
    let calm = Calm::begins();
    for _ in 0..200 {
        numbered.ask(&mut client, upstream, far());
    }
    numbered.turn_for(&mut client, PATIENCE, 20);
    signal(serving.pid(), "STOP");
    // What was on its way comes; then nothing, for as long as it is stopped.
    numbered.turn_for(&mut client, ms(300), 200);
    signal(serving.pid(), "CONT");
    numbered.ledger.until_all(&mut client);
    calm.ends(200);
    assert_eq!(
        (numbered.ledger.replies(), numbered.ledger.failures()),
        (200, 0)
    );
    assert_eq!(numbered.ended().count(), 200);
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 0);
    assert_nothing_is_left(client, &link.near);
}

/// Its kernel goes on: it acknowledges, and completes connections. When it is continued, it answers what nobody waits
/// for any more; those replies answer nothing.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_stopped_for_longer_than_the_deadlines_answers_nobody_else_when_it_goes_on() {
    let link = Link::new("stopped");
    let serving = shouting(&link);
    let _inside = link.near.enter();
    let mut client = client_that_asks_all(ms(50));
    let upstream = upstream_of_four(&mut client);
    signal(serving.pid(), "STOP");
    let (mut numbered, calm) = (Numbered::default(), Calm::begins());
    for round in 0..3 {
        for _ in 0..20 {
            numbered.ask(&mut client, upstream, Deadline::after(ms(200)));
        }
        numbered.ledger.until_all(&mut client);
        assert_eq!(numbered.ledger.failures(), 20 * (round + 1));
    }
    println!(
        "60 requests in three rounds of 200 ms ended after {:?}",
        calm.lasts()
    );
    calm.ends(60);
    for ended in numbered.ended() {
        let error = ended.clone().error();
        assert_eq!(
            (error.class, error.source),
            (Class::Local, Source::Deadline)
        );
    }
    // More connections than four would mean that those given up are kept.
    assert!(sockets_of(&link.near) <= 4);
    let asked = numbered.all.len();
    signal(serving.pid(), "CONT");
    for _ in 0..100 {
        numbered.ask(&mut client, upstream, far());
    }
    numbered.ledger.until_all(&mut client);
    assert_eq!(numbered.ledger.replies(), 100);
    assert_eq!(
        numbered
            .ended()
            .skip(asked)
            .filter(|it| matches!(it, Ended::Reply(_)))
            .count(),
        100
    );
    assert_nothing_is_left(client, &link.near);
}

/// Stopped and continued again and again while requests are made and heartbeats asked, each time for longer than either
/// is patient: whatever was on its way answers its own request or nobody.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_server_stopped_again_and_again_in_the_midst_of_a_burst_ends_each_request_once() {
    let link = Link::new("stop-go");
    let serving = shouting(&link);
    let _inside = link.near.enter();
    let mut client = client_that_asks_all(ms(50));
    let beat = Heartbeat {
        after: ms(20),
        timeout: ms(150),
        ..Heartbeat::new(b"beat\n", Expect::exactly(b"BEAT"))
    };
    let upstream = Upstream::new(server().to_string()).depth(8);
    let upstream = upstream.connections(4..=4).heartbeat(beat);
    let upstream = client.add(upstream).unwrap();
    let mut numbered = Numbered::default();
    for round in 1..=5 {
        turn_until(&mut client, "four connections", |client| {
            client.upstream_stats(upstream).unwrap().open == 4
        });
        for _ in 0..400 {
            numbered.ask(&mut client, upstream, Deadline::after(ms(250)));
        }
        let replies = numbered.ledger.replies();
        numbered.turn_for(&mut client, PATIENCE, replies + 20 * round);
        signal(serving.pid(), "STOP");
        numbered.ledger.until_all(&mut client);
        // Nothing is asked any more: what still hangs is found by the heartbeat.
        let losses = |client: &Client| client.upstream_stats(upstream).unwrap().losses;
        let before = losses(&client);
        turn_until(&mut client, "the end of silent connections", |client| {
            let stats = client.upstream_stats(upstream).unwrap();
            stats.open == 0 || stats.heartbeats_missed > 0 && losses(client) > before
        });
        signal(serving.pid(), "CONT");
    }
    assert!(numbered.ledger.replies() >= 5 * 20);
    assert_eq!(numbered.ended().count(), 5 * 400);
    let stats = client.upstream_stats(upstream).unwrap();
    println!(
        "{} replies, {} failures, {} heartbeats, {} of them missed",
        numbered.ledger.replies(),
        numbered.ledger.failures(),
        stats.heartbeats,
        stats.heartbeats_missed
    );
    numbered.ask(&mut client, upstream, far());
    numbered.ledger.until_all(&mut client);
    assert_eq!(
        numbered
            .ended()
            .filter(|it| matches!(it, Ended::Reply(_)))
            .count(),
        numbered.ledger.replies()
    );
    assert_nothing_is_left(client, &link.near);
}
