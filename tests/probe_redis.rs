//! ping and load against a real Redis.
#![cfg(feature = "probe")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "probe_cli/support.rs"]
mod support;

#[path = "support/ports.rs"]
mod ports;
#[path = "support/redis.rs"]
mod redis;

use redis::Redis;
use serde_json::json;
use support::run;

#[test]
#[ignore = "needs redis-server"]
fn ping_asks_ping_and_gets_pong() {
    let redis = Redis::start("ping", &[]);
    let args = [
        "--proto", "resp", "-c", "5", "-i", "1ms", "--format", "json",
    ];
    for more in [
        &["--expect", "+PONG"][..],
        &["--reuse", "--send", "ECHO hello", "--expect", "/hello/"],
    ] {
        let ended = run(&[&["ping", &redis.address().to_string()], &args[..], more].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        assert_eq!(ended.json()["targets"][0]["ok"], 5);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn load_answers_every_request_at_every_depth() {
    let redis = Redis::start("load", &[]);
    for depth in ["1", "16"] {
        let args = [
            "-c", "50", "-P", depth, "-n", "20k", "--proto", "resp", "--expect", "+PONG",
        ];
        let ended = run(&[
            &["load", &redis.address().to_string(), "--format", "json"],
            &args[..],
        ]
        .concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        let document = ended.json();
        let counts =
            json!({"sent": 20000, "ok": 20000, "failed": 0, "timed_out": 0, "mismatched": 0});
        assert_eq!(document["requests"], counts);
        // `*1\r\n$4\r\nPING\r\n` out, `+PONG\r\n` in.
        assert_eq!(
            document["bytes"],
            json!({"sent": 280_000, "received": 140_000})
        );
        assert_eq!(document["verdict"], "valid");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn an_error_of_the_server_is_a_reply_that_does_not_match() {
    let redis = Redis::start("error", &[]);
    let args = [
        "--proto", "resp", "-n", "10", "--send", "NOSUCH", "--expect", "+OK", "--format", "json",
    ];
    let ended = run(&[&["load", &redis.address().to_string()], &args[..]].concat());
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["requests"]["mismatched"], 10);
}
