//! What is written to the log: changes of state with their facts as fields, not too often, and never a payload.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Once;
use std::time::Duration;

use log::kv::{Error as KvError, Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use support::*;
use taut::{Client, Config, Deadline, Event, Upstream, UpstreamId};

#[derive(Clone, Debug)]
struct Line {
    level: Level,
    text: String,
    fields: BTreeMap<String, String>,
}

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the lines of each thread apart: a client writes in the thread that turns it.
struct Recorder;

struct Fields(BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), KvError> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut fields = Fields(BTreeMap::new());
        record.key_values().visit(&mut fields).unwrap();
        let line = Line {
            level: record.level(),
            text: record.args().to_string(),
            fields: fields.0,
        };
        LINES.with_borrow_mut(|lines| lines.push(line));
    }

    fn flush(&self) {}
}

/// From now on lines are kept, those of each connection too.
fn record() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Recorder).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
}

/// Lines that a program in service would have, so far.
fn lines() -> Vec<Line> {
    let all = LINES.with_borrow(Clone::clone);
    all.into_iter()
        .filter(|it| it.level <= Level::Info)
        .collect()
}

fn with(words: &str) -> Vec<Line> {
    lines()
        .into_iter()
        .filter(|it| it.text.contains(words))
        .collect()
}

fn client_that_pauses(log_pause: Duration) -> Client {
    client_with(|config| {
        config.log_pause = log_pause;
        config.reconnect.first_pause_max = ms(1);
        config.reconnect.pause_max = ms(5);
    })
}

fn until(client: &mut Client, upstream: UpstreamId, is_up: bool) {
    client_until(client, |_, event| match event {
        Event::Up { upstream: it } => (it == upstream && is_up).then_some(()),
        Event::Down { upstream: it, .. } => (it == upstream && !is_up).then_some(()),
        _ => None,
    });
}

/// A server that is there, gone, and there again, twice.
fn flaps(log_pause: Duration) -> (Client, UpstreamId, Peer) {
    record();
    let mut client = client_that_pauses(log_pause);
    let mut peer = Peer::new();
    let address = peer.addr();
    let upstream = Upstream::new(peer.target()).connections(1..=1).tell_state();
    let upstream = client.add(upstream).unwrap();
    for _ in 0..2 {
        until(&mut client, upstream, true);
        let stream = peer.accept();
        drop(peer);
        reset(stream);
        until(&mut client, upstream, false);
        peer = Peer::at(address);
    }
    until(&mut client, upstream, true);
    (client, upstream, peer)
}

/// How many changes the lines of a level speak of, those held back before them included.
fn told(level: Level) -> u64 {
    let of_level = lines().into_iter().filter(|line| line.level == level);
    let held_back = |line: Line| line.fields["held_back"].parse::<u64>().unwrap();
    of_level.map(|line| 1 + held_back(line)).sum()
}

#[test]
fn an_upstream_that_comes_and_goes_is_written_down_with_the_facts() {
    let (_client, _, peer) = flaps(Duration::ZERO);
    let (address, lines) = (peer.addr(), lines());
    let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
    let (up, down) = (Level::Info, Level::Warn);
    assert_eq!(levels, [up, down, up, down, up], "{lines:#?}");
    let field = |line: &Line, name: &str| line.fields[name].clone();
    let (target, first) = (address.to_string(), &lines[0]);
    assert_eq!(field(first, "addr"), target);
    assert_eq!(field(first, "target"), target);
    assert_eq!(
        (field(first, "upstream"), field(first, "attempt")),
        ("0".into(), "1".into())
    );
    assert!(field(first, "latency_us").parse::<u64>().is_ok());
    let down = &lines[1];
    assert!(down.text.contains("is down"), "{down:?}");
    assert_eq!(field(down, "errno"), libc::ECONNREFUSED.to_string());
    assert_eq!(field(down, "class"), "transient");
    assert_eq!(
        (field(down, "written"), field(down, "received")),
        ("0".into(), "0".into())
    );
    assert!(field(&lines[2], "attempt").parse::<u64>().unwrap() > 1);
    assert!(lines.iter().all(|line| field(line, "held_back") == "0"));
}

#[test]
fn one_line_of_a_kind_is_written_in_a_pause() {
    let _flapping = flaps(Duration::from_secs(3_600));
    let lines = lines();
    let levels: Vec<Level> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::Info, Level::Warn], "{lines:#?}");
}

/// The log said that it was down, and nothing more for as long as it stood.
#[test]
fn what_the_log_says_last_of_an_upstream_is_so_when_the_pause_is_over() {
    let (mut client, upstream, peer) = flaps(ms(1_000));
    let says_last = |level| lines().last().unwrap().level == level && told(level) == 3;
    turn_until(&mut client, "it is said to be up", |_| {
        says_last(Level::Info)
    });
    let stream = peer.accept();
    drop(peer);
    reset(stream);
    until(&mut client, upstream, false);
    turn_until(&mut client, "it is said to be down", |_| {
        says_last(Level::Warn)
    });
}

#[test]
fn a_lookup_that_was_held_back_is_written_when_the_pause_is_over() {
    record();
    let (resolver, _asked, answer) = scripted();
    let config = Config {
        log_pause: ms(1_000),
        ..Config::default()
    };
    let mut client = Client::with_resolver(config, resolver).unwrap();
    for target in ["nowhere.test:1", "noplace.test:1", "nobody.test:1"] {
        answer.send(Err(taut::ResolveError::NotFound)).unwrap();
        let raw = client.connect(target, taut::Framing::line()).unwrap();
        until_closed(&mut client, raw);
    }
    let is_told = |_: &mut Client| with("nobody.test:1").len() == 1;
    turn_until(&mut client, "the last is written", is_told);
    assert_eq!(told(Level::Warn), 3);
    assert_eq!(client.next_timeout(), None, "nothing is left to write");
}

#[test]
fn names_that_are_not_found_and_a_drain_are_written_down() {
    record();
    let (resolver, _asked, answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    answer.send(Err(taut::ResolveError::NotFound)).unwrap();
    let raw = client
        .connect("nowhere.test:1", taut::Framing::line())
        .unwrap();
    until_closed(&mut client, raw);
    let line = &with("nowhere.test:1")[..];
    assert_eq!(line.len(), 1, "{line:#?}");
    assert_eq!(
        (line[0].level, &*line[0].fields["target"]),
        (Level::Warn, "nowhere.test:1")
    );
    client.drain(Deadline::Standard);
    client_until(&mut client, |_, event| {
        matches!(event, Event::Drained { .. }).then_some(())
    });
    assert_eq!(with("draining").len(), 1);
    assert_eq!(with("drained")[0].fields["forced"], "0");
}

/// Whatever goes wrong with them: neither at the level of debug nor of trace.
#[test]
fn no_payload_is_ever_written_down() {
    record();
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let secret = b"the secret 4711\n";
    client.request(upstream, secret, far()).unwrap();
    turn(&mut client, ms(10));
    streams[0]
        .write_all(b"its answer 4711\nand one more 4711\n")
        .unwrap();
    client_until(&mut client, |_, event| {
        matches!(event, Event::Reply { .. }).then_some(())
    });
    client
        .request(upstream, secret, Deadline::after(ms(20)))
        .unwrap();
    client_until(&mut client, |_, event| {
        matches!(event, Event::Failed { .. }).then_some(())
    });
    let all = LINES.with_borrow(Clone::clone);
    assert!(!all.is_empty(), "nothing was recorded");
    for line in all {
        assert!(!format!("{line:?}").contains("4711"), "{line:?}");
    }
}
