//! Heartbeats against a real Redis, `PING` and `+PONG`: what they keep alive and what not, and that nobody gets their
//! answers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/redis.rs"]
mod redis;
mod support;

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use redis::{Redis, command};
use support::*;
use taut::{
    Client, Event, Expect, Framing, Heartbeat, Phase, Source, Timeouts, Upstream, UpstreamId,
    UpstreamStats,
};

fn ping(after: Duration, timeout: Duration) -> Heartbeat {
    Heartbeat {
        after,
        timeout,
        ..Heartbeat::new(command(&["PING"]), Expect::exactly(b"+PONG\r\n"))
    }
}

fn upstream(redis: &Redis) -> Upstream {
    Upstream::new(redis.address().to_string()).framing(Framing::resp())
}

fn stats(client: &Client, upstream: UpstreamId) -> UpstreamStats {
    client.upstream_stats(upstream).unwrap()
}

/// Redis itself ends what asks nothing for a second. It has ended one silent connection after the other by then.
#[test]
#[ignore = "needs redis-server"]
fn a_warm_connection_with_a_heartbeat_outlives_the_servers_idle_timeout_and_one_without_does_not() {
    let redis = Redis::start("beat-idle", &["--timeout", "1"]);
    let mut client = client();
    let beating = upstream(&redis).connections(1..=1);
    let beating = client
        .add(beating.heartbeat(ping(ms(300), Duration::from_secs(5))))
        .unwrap();
    let silent = client.add(upstream(&redis).connections(1..=1)).unwrap();
    turn_until(&mut client, "two ends of a silent connection", |client| {
        stats(client, silent).losses >= 2
    });
    assert_eq!(
        stats(&client, silent).last_error.unwrap().source,
        Source::Eof
    );
    let stats = stats(&client, beating);
    assert_eq!((stats.connects, stats.losses), (1, 0));
    assert!(stats.heartbeats >= 3, "{stats:?}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_connection_that_is_not_kept_warm_ends_by_its_idle_limit_however_redis_answers() {
    let redis = Redis::start("beat-limit", &[]);
    let mut client = client();
    let idle = ms(900);
    let timeouts = Timeouts {
        idle,
        ..Timeouts::default()
    };
    let beating = upstream(&redis).timeouts(timeouts);
    let beating = client
        .add(beating.heartbeat(ping(ms(100), Duration::from_secs(5))))
        .unwrap();
    turn_until(&mut client, "its end", |client| {
        stats(client, beating).losses == 1
    });
    let stats = stats(&client, beating);
    let error = stats.last_error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Idle, Source::Timeout(idle))
    );
    assert!(
        stats.heartbeats >= 3 && stats.heartbeats_missed == 0,
        "{stats:?}"
    );
}

/// It answers, but not with `+PONG`: the program that asked is to know.
#[test]
#[ignore = "needs redis-server"]
fn an_answer_that_is_an_error_ends_the_connection_by_name_where_pong_is_expected() {
    let redis = Redis::start("beat-error", &[]);
    let mut client = client();
    let wrong = Heartbeat::new(command(&["PIGN"]), Expect::exactly(b"+PONG\r\n"));
    let wrong = Heartbeat {
        after: ms(50),
        ..wrong
    };
    let content = Heartbeat {
        expect: Expect::Any,
        ..wrong.clone()
    };
    let wrong = client
        .add(upstream(&redis).connections(1..=1).heartbeat(wrong))
        .unwrap();
    let content = client
        .add(upstream(&redis).connections(1..=1).heartbeat(content))
        .unwrap();
    turn_until(
        &mut client,
        "the end of one, answers on the other",
        |client| stats(client, wrong).losses >= 1 && stats(client, content).heartbeats >= 5,
    );
    let error = stats(&client, wrong).last_error.unwrap();
    assert!(matches!(error.source, Source::Malformed(why) if why.contains("heartbeat")));
    assert_eq!(stats(&client, content).losses, 0);
}

/// Its process sleeps and its kernel acknowledges.
#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_hangs_is_found_while_idle_and_served_again_when_it_goes_on() {
    let redis = Redis::start("beat-hangs", &[]);
    let mut client = client();
    let beating = upstream(&redis).connections(2..=2);
    let beating = client
        .add(beating.heartbeat(ping(ms(100), ms(300))))
        .unwrap();
    turn_until(&mut client, "heartbeats", |client| {
        stats(client, beating).heartbeats >= 4
    });
    let mut other = TcpStream::connect(redis.address()).unwrap();
    other.write_all(&command(&["DEBUG", "SLEEP", "2"])).unwrap();
    turn_until(&mut client, "both ends", |client| {
        stats(client, beating).heartbeats_missed >= 2
    });
    turn_until(
        &mut client,
        "heartbeats that are answered again",
        |client| {
            let stats = stats(client, beating);
            stats.open == 2 && stats.heartbeats >= 4 + 2 * stats.losses + 6
        },
    );
    let mut ledger = Ledger::default();
    let request = ledger.request(&mut client, beating, &command(&["ECHO", "again"]), far());
    assert_eq!(
        ledger.until(&mut client, request).reply(),
        b"$5\r\nagain\r\n"
    );
}

/// Heartbeats a few times between any two waves of requests, and on the way when they are made.
#[test]
#[ignore = "needs redis-server"]
fn requests_among_heartbeats_get_their_own_replies() {
    let redis = Redis::start("beat-load", &[]);
    let mut client = client();
    let beating = upstream(&redis).connections(4..=4).depth(8);
    let beating = client
        .add(beating.heartbeat(ping(Duration::from_micros(200), Duration::from_secs(5))))
        .unwrap();
    turn_until(&mut client, "the connections", |client| {
        stats(client, beating).open == 4
    });
    let mut replies = 0;
    for wave in 0..1_000_u64 {
        let asked: Vec<u64> = (0..wave % 40).map(|nth| wave * 100 + nth).collect();
        for tag in &asked {
            let payload = command(&["ECHO", &tag.to_string()]);
            client
                .request_tagged(beating, &payload, far(), *tag)
                .unwrap();
        }
        let until = replies + asked.len();
        while replies < until {
            turn(&mut client, ms(5));
            while let Some(event) = client.next_event() {
                let Event::Reply { tag, frame, .. } = event else {
                    panic!("{event:?}")
                };
                let text = tag.to_string();
                let expected = format!("${}\r\n{text}\r\n", text.len());
                assert_eq!(client.bytes(&frame), expected.as_bytes());
                replies += 1;
            }
        }
        // In some waves the heartbeats are under way, in others answered.
        let beats = stats(&client, beating).heartbeats;
        if wave % 3 > 0 {
            turn_until(&mut client, "heartbeats", |client| {
                stats(client, beating).heartbeats >= beats + wave % 3
            });
        }
    }
    let stats = stats(&client, beating);
    assert_eq!((stats.losses, stats.heartbeats_missed), (0, 0));
    println!("{replies} replies among {} heartbeats", stats.heartbeats);
    assert!(stats.heartbeats >= 1_000);
}
