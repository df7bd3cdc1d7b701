//! ping and load against a real Redis.
#![cfg(feature = "probe")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "probe_cli/support.rs"]
mod support;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use support::run;

/// A redis-server on a free port, with nothing on disk; stopped when dropped.
struct Redis {
    child: Child,
    directory: PathBuf,
    address: String,
}

impl Redis {
    fn start(name: &str) -> Redis {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let directory =
            std::env::temp_dir().join(format!("probe-redis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Redis {
            child,
            directory,
            address: format!("127.0.0.1:{port}"),
        };
        let ready = || run(&["ping", &redis.address, "--proto", "resp", "-c", "1"]).code == 0;
        assert!((0..1000).any(|_| ready()), "redis-server does not answer");
        redis
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn ping_asks_ping_and_gets_pong() {
    let redis = Redis::start("ping");
    let args = [
        "--proto", "resp", "-c", "5", "-i", "1ms", "--format", "json",
    ];
    for more in [
        &["--expect", "+PONG"][..],
        &["--reuse", "--send", "ECHO hello", "--expect", "/hello/"],
    ] {
        let ended = run(&[&["ping", &redis.address], &args[..], more].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        assert_eq!(ended.json()["targets"][0]["ok"], 5);
    }
}

#[test]
#[ignore = "needs redis-server"]
fn load_answers_every_request_at_every_depth() {
    let redis = Redis::start("load");
    for depth in ["1", "16"] {
        let args = [
            "-c", "50", "-P", depth, "-n", "20k", "--proto", "resp", "--expect", "+PONG",
        ];
        let ended = run(&[&["load", &redis.address, "--format", "json"], &args[..]].concat());
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
    let redis = Redis::start("error");
    let args = [
        "--proto", "resp", "-n", "10", "--send", "NOSUCH", "--expect", "+OK", "--format", "json",
    ];
    let ended = run(&[&["load", &redis.address], &args[..]].concat());
    assert_eq!(ended.code, 1);
    assert_eq!(ended.json()["requests"]["mismatched"], 10);
}
