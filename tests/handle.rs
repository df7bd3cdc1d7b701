//! Requests from other threads, and the blocking convenience.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use taut::server::{Server, ServerConfig, Stopper};
use taut::{
    Client, Config, Deadline, Event, Framing, Handle, Limit, Limits, Sent, Source, Upstream,
    UpstreamId,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A shouting server in a thread of its own, stopped when dropped.
struct Shout {
    address: String,
    stopper: Stopper,
}

impl Shout {
    fn start() -> Shout {
        let mut server = Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default()).unwrap();
        let (address, stopper) = (server.local_addr().to_string(), server.stopper());
        std::thread::spawn(move || server.run());
        Shout { address, stopper }
    }
}

impl Drop for Shout {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn deadline() -> Deadline {
    Deadline::after(PATIENCE)
}

/// Runs `work` in other threads with handles of a client that turns until all have ended.
fn with_handles(config: Config, threads: usize, work: impl Fn(usize, Handle, UpstreamId) + Sync) {
    let server = Shout::start();
    let mut client = Client::new(config).unwrap();
    let upstream = client
        .add(Upstream::new(&server.address).connections(2).depth(8))
        .unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|n| {
                let (handle, work) = (client.handle(), &work);
                scope.spawn(move || work(n, handle, upstream))
            })
            .collect();
        let wake = client.handle();
        let ended = &ended;
        scope.spawn(move || {
            for thread in running {
                let _ = thread.join();
            }
            ended.store(true, Ordering::Release);
            // The loop sleeps: one last request wakes it.
            let _ = wake.request(upstream, &b"bye\n"[..], deadline(), 0);
        });
        while !ended.load(Ordering::Acquire) {
            client.turn(None).unwrap();
            while client.next_event().is_some() {}
        }
    });
}

#[test]
fn many_threads_call_and_each_gets_its_own_reply() {
    with_handles(Config::default(), 8, |thread, handle, upstream| {
        for n in 0..200 {
            let line = format!("thread {thread} says {n}");
            let reply = handle
                .call(upstream, format!("{line}\n"), deadline())
                .unwrap();
            assert_eq!(reply, line.to_uppercase().into_bytes());
        }
    });
}

#[test]
fn outcomes_go_to_the_channel_given_each_once_with_its_tag() {
    with_handles(Config::default(), 2, |_, handle, upstream| {
        let (reply_to, outcomes) = channel();
        for tag in 0..500u64 {
            let mut line = format!("n{tag}\n").into_bytes();
            while let Err(error) = handle.request_to(upstream, line, deadline(), tag, &reply_to) {
                assert!(error.is_full(), "{error}");
                std::thread::yield_now();
                line = format!("n{tag}\n").into_bytes();
            }
        }
        drop(reply_to);
        let mut seen = vec![false; 500];
        while let Ok(outcome) = outcomes.recv_timeout(PATIENCE) {
            let tag = outcome.tag as usize;
            assert!(
                !std::mem::replace(&mut seen[tag], true),
                "{tag} ended twice"
            );
            assert_eq!(outcome.result.unwrap(), format!("N{tag}").into_bytes());
        }
        assert!(seen.iter().all(|&ended| ended));
    });
}

#[test]
fn a_request_from_another_thread_ends_as_an_event_of_the_loop_with_its_tag() {
    let server = Shout::start();
    let mut client = Client::new(Config::default()).unwrap();
    let upstream = client.add(Upstream::new(&server.address)).unwrap();
    let handle = client.handle();
    std::thread::spawn(move || {
        handle
            .request(upstream, &b"hello\n"[..], deadline(), 42)
            .unwrap()
    });
    loop {
        client.turn(Some(PATIENCE)).unwrap();
        match client.next_event() {
            Some(Event::Reply { tag: 42, frame, .. }) => {
                break assert_eq!(client.bytes(&frame), b"HELLO");
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
}

#[test]
fn the_mailbox_is_bounded_and_refused_requests_end_too() {
    let limits = Limits {
        submissions_max: 2,
        waiting_requests_max: 1,
        ..Limits::default()
    };
    let mut client = Client::new(Config {
        limits,
        ..Config::default()
    })
    .unwrap();
    let upstream = client.add(Upstream::new("127.0.0.1:9")).unwrap();
    let handle = client.handle();
    let (reply_to, outcomes) = channel();
    for tag in 0..2 {
        handle
            .request_to(upstream, &b"x\n"[..], deadline(), tag, &reply_to)
            .unwrap();
    }
    let error = handle
        .request(upstream, &b"x\n"[..], deadline(), 2)
        .unwrap_err();
    assert_eq!(
        error.source,
        Source::Full {
            limit: Limit::Submissions
        }
    );
    let mut ended = Vec::new();
    while ended.len() < 2 {
        client.turn(Some(PATIENCE)).unwrap();
        ended.extend(outcomes.try_iter().map(|outcome| outcome.tag));
    }
    ended.sort_unstable();
    assert_eq!(
        ended,
        [0, 1],
        "one was refused by the waiting queue, one by the peer; both are told"
    );
}

#[test]
fn a_client_that_ends_leaves_nobody_waiting() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::new(Config::default()).unwrap();
    let upstream = client
        .add(Upstream::new(server.local_addr().unwrap().to_string()))
        .unwrap();
    let (handle, (reply_to, outcomes)) = (client.handle(), channel());
    while client.upstream_stats(upstream).unwrap().open == 0 {
        client.turn(Some(PATIENCE)).unwrap();
    }
    handle
        .request_to(upstream, &b"sent\n"[..], deadline(), 1, &reply_to)
        .unwrap();
    client.turn(Some(PATIENCE)).unwrap();
    handle
        .request_to(upstream, &b"not taken\n"[..], deadline(), 2, &reply_to)
        .unwrap();
    drop(client);
    drop(reply_to);
    let mut ended: Vec<_> = outcomes
        .iter()
        .map(|o| (o.tag, o.result.unwrap_err().sent))
        .collect();
    ended.sort_unstable_by_key(|(tag, _)| *tag);
    assert_eq!(ended, [(1, Sent::Maybe), (2, Sent::No)]);
    let error = handle
        .request(upstream, &b"late\n"[..], deadline(), 3)
        .unwrap_err();
    assert_eq!(error.source, Source::NotOpen);
    assert!(handle.call(upstream, &b"late\n"[..], deadline()).is_err());
}

#[test]
fn a_call_turns_the_loop_until_its_reply_is_here_and_other_events_wait_in_order() {
    let server = Shout::start();
    let mut client = Client::new(Config::default()).unwrap();
    let upstream = client.add(Upstream::new(&server.address).depth(4)).unwrap();
    let raw = client.connect(&server.address, Framing::line()).unwrap();
    client.send(raw, b"raw\n").unwrap();
    let first = client.request(upstream, b"first\n", deadline()).unwrap();
    let frame = client.call(upstream, b"second\n", deadline()).unwrap();
    assert_eq!(client.bytes(&frame), b"SECOND");
    let frame = client.call(upstream, b"third\n", deadline()).unwrap();
    assert_eq!(client.bytes(&frame), b"THIRD");
    let mut told = Vec::new();
    while told.len() < 3 {
        while let Some(event) = client.next_event() {
            told.push(match event {
                Event::Reply { request, frame, .. } if request == first => {
                    client.bytes(&frame).to_vec()
                }
                Event::Frame { frame, .. } => client.bytes(&frame).to_vec(),
                Event::Connected { .. } => b"connected".to_vec(),
                other => panic!("{other:?}"),
            });
        }
        client.turn(Some(Duration::from_millis(10))).unwrap();
    }
    told.sort_unstable();
    assert_eq!(told, [&b"FIRST"[..], b"RAW", b"connected"]);
}

#[test]
fn a_call_ends_by_its_deadline_and_by_the_bound_of_events() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = Limits {
        events_max: 1,
        ..Limits::default()
    };
    let mut client = Client::new(Config {
        limits,
        ..Config::default()
    })
    .unwrap();
    let upstream = client
        .add(Upstream::new(silent.local_addr().unwrap().to_string()))
        .unwrap();
    let error = client
        .call(upstream, b"x\n", Deadline::after(Duration::from_millis(30)))
        .unwrap_err();
    assert_eq!((error.source, error.sent), (Source::Deadline, Sent::Maybe));
    let server = Shout::start();
    client.connect(&server.address, Framing::line()).unwrap();
    let error = client.call(upstream, b"y\n", deadline()).unwrap_err();
    assert_eq!(
        error.source,
        Source::Full {
            limit: Limit::Events
        }
    );
    assert!(matches!(client.next_event(), Some(Event::Connected { .. })));
}
