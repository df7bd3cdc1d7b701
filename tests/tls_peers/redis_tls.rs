//! Redis with a port for TLS, on its bad days too: what `tests/redis_loops` does to it, done through TLS. Redis itself
//! is asked afterwards, on its plain port.

use taut::{Class, Framing, Phase, Sent, Source, TlsConfig, Upstream};

use crate::daemon::local;
use crate::harm::Harm;
use crate::keys::{Farewell, Keys, VERSIONS, close};
use crate::ports::free_port;
use crate::random::Random;
use crate::redis::{Redis, command};
use crate::support::*;
use crate::traffic::{Outcomes, Traffic};
use taut::TlsVersion;

struct Served {
    redis: Redis,
    keys: Keys,
    port: u16,
}

impl Served {
    #[track_caller]
    fn start(name: &str, version: TlsVersion, clients: &str, options: &[&str]) -> Served {
        let (keys, port) = (Keys::new(), free_port());
        let protocols = match version {
            TlsVersion::Tls12 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let (port_text, name) = (port.to_string(), format!("tls-{name}-{protocols}"));
        let (chain, key, authority) = (keys.chain(), keys.key(), keys.authority());
        let mut all = vec!["--tls-port", &port_text, "--tls-auth-clients", clients];
        all.extend(["--tls-cert-file", &chain, "--tls-key-file", &key]);
        all.extend([
            "--tls-ca-cert-file",
            &authority,
            "--tls-protocols",
            protocols,
        ]);
        all.extend(options);
        Served {
            redis: Redis::start(&name, &all),
            keys,
            port,
        }
    }

    fn target(&self) -> String {
        local(self.port).to_string()
    }

    fn upstream(&self, tls: TlsConfig) -> Upstream {
        let upstream = Upstream::new(self.target());
        upstream.framing(Framing::resp()).tls(tls)
    }
}

#[test]
#[ignore = "needs redis-server"]
fn twenty_thousand_pipelined_requests_have_their_own_replies_by_each_version() {
    for version in VERSIONS {
        let served = Served::start("pipelined", version, "no", &[]);
        let mut client = client();
        let upstream = served
            .upstream(served.keys.trusted())
            .connections(2)
            .depth(500);
        let upstream = client.add(upstream).unwrap();
        let mut ledger = Ledger::default();
        for batch in 0..20 {
            let words: Vec<_> = (0..1_000)
                .map(|nth| {
                    let bytes = if nth % 100 == 0 { 30_000 } else { 10 };
                    format!("{batch} {nth} {}", "x".repeat(bytes))
                })
                .collect();
            let ask = |word: &String| {
                let payload = command(&["ECHO", word]);
                ledger.request(&mut client, upstream, &payload, far())
            };
            let asked: Vec<_> = words.iter().map(ask).collect();
            ledger.until_all(&mut client);
            for (word, request) in words.iter().zip(asked) {
                let reply = ledger.ended(request).unwrap().clone().reply();
                let wanted = format!("${}\r\n{word}\r\n", word.len());
                assert!(reply == wanted.as_bytes(), "not the reply to {word}");
            }
        }
        let stats = client.upstream_stats(upstream).unwrap();
        assert_eq!((stats.open, stats.losses), (2, 0));
        for connection in client.connections_of(upstream) {
            let info = client.tls_info(connection).unwrap();
            assert!(
                info.is_verified && info.version == Some(version),
                "{info:?}"
            );
        }
    }
}

/// Rounds of harm, as in `tests/redis_loops`.
const ROUNDS: usize = 10;

/// Rounds of traffic, each with one of these harms in its midst; then Redis is asked what it did.
#[track_caller]
fn survives(version: TlsVersion, options: &[&str], harms: &[Harm], known: bool) -> Outcomes {
    let name = format!("{:?}", harms[0]);
    let clients = if known { "yes" } else { "no" };
    let mut served = Served::start(&name, version, clients, options);
    let tls = match known {
        true => served.keys.trusted_and_known(),
        false => served.keys.trusted(),
    };
    let upstream = served.upstream(tls).connections(4..=8).depth(4);
    let redis = &mut served.redis;
    let (mut control, mut random) = (redis.control(), Random::new(7));
    let mut traffic = Traffic::new(upstream, false);
    for _ in 0..ROUNDS {
        traffic.ask(random.below(60));
        let harm = random.of(harms);
        harm.is_done(redis, &mut control, &mut traffic, &mut random);
        traffic.ask(random.below(60));
        traffic.until_served();
    }
    drop(control);
    let outcomes = traffic.judge(redis);
    println!("{version:?}, {harms:?}: {outcomes:?}");
    outcomes
}

#[test]
#[ignore = "needs redis-server"]
fn connections_that_the_server_kills_cost_no_request_its_one_end() {
    for version in VERSIONS {
        let outcomes = survives(version, &[], &[Harm::KillsOne, Harm::KillsAll], false);
        assert!(outcomes.losses > 0, "{outcomes:?}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_is_killed_or_shut_down_and_comes_back_did_what_it_answered_and_nothing_twice() {
    for version in VERSIONS {
        let outcomes = survives(version, &[], &[Harm::Killed, Harm::ShutDown], true);
        assert!(outcomes.losses > 0, "{outcomes:?}");
    }
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_ends_idle_connections_or_sleeps_is_asked_again_as_if_nothing_had_been() {
    let harms = [Harm::Quiet, Harm::Sleeps, Harm::Pauses];
    let outcomes = survives(TlsVersion::Tls13, &["--timeout", "1"], &harms, false);
    assert!(outcomes.losses > 0, "{outcomes:?}");
}

#[test]
#[ignore = "needs redis-server"]
fn whom_it_wants_to_know_it_tells_so_and_serves_when_it_does() {
    for version in VERSIONS {
        let served = Served::start("known", version, "yes", &[]);
        let mut client = client();
        let ping = command(&["PING"]);
        let mut ledger = Ledger::default();
        let mut ask = |tls| {
            let upstream = client.add(served.upstream(tls)).unwrap();
            let request = ledger.request(&mut client, upstream, &ping, far());
            ledger.until(&mut client, request)
        };
        assert_eq!(ask(served.keys.trusted_and_known()).reply(), b"+PONG\r\n");
        let error = ask(served.keys.trusted()).error();
        assert_eq!(error.class, Class::Persistent, "{error:?}");
        match version {
            TlsVersion::Tls12 => {
                assert_eq!((error.phase, error.sent), (Phase::Handshake, Sent::No));
                assert_eq!(error.source, Source::Alert(HANDSHAKE_FAILURE));
            }
            _ => assert_eq!(error.source, Source::Alert(CERTIFICATE_REQUIRED)),
        }
    }
}

/// Alerts by number (RFC 8446 §6).
const HANDSHAKE_FAILURE: u8 = 40;
const CERTIFICATE_REQUIRED: u8 = 116;

#[test]
#[ignore = "needs redis-server"]
fn a_session_goes_on_on_other_connections() {
    for version in VERSIONS {
        let served = Served::start("resumed", version, "no", &[]);
        let tls = served.keys.trusted();
        let mut client = client();
        let resumed = [(); 3].map(|()| {
            let target = served.target();
            let connection = client.connect_tls(&target, Framing::resp(), &tls).unwrap();
            until_connected(&mut client, connection);
            client.send(connection, &command(&["PING"])).unwrap();
            assert_eq!(next_frame(&mut client, connection), b"+PONG\r\n");
            let info = client.tls_info(connection).unwrap();
            close(&mut client, connection, Farewell::Left);
            info.is_resumed
        });
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}
