//! Names are looked up beside the loop, which goes on turning, with a deadline of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::*;
use taut::{
    Class, Client, Config, Event, Framing, Phase, Resolve, ResolveError, Sent, Source, Upstream,
};

type Answer = Result<Vec<SocketAddr>, ResolveError>;

/// Tells of each question, and answers when the test does; a dropped sender leaves it without an answer for ever.
struct Scripted {
    asked: Mutex<Sender<(String, u16)>>,
    answers: Mutex<Receiver<Answer>>,
}

fn scripted() -> (Arc<Scripted>, Receiver<(String, u16)>, Sender<Answer>) {
    let ((ask, asked), (answer, answers)) = (channel(), channel());
    (
        Arc::new(Scripted {
            asked: Mutex::new(ask),
            answers: Mutex::new(answers),
        }),
        asked,
        answer,
    )
}

impl Resolve for Scripted {
    fn resolve(&self, host: &str, port: u16) -> Answer {
        self.asked
            .lock()
            .unwrap()
            .send((host.to_owned(), port))
            .unwrap();
        let answer = self.answers.lock().unwrap().recv();
        answer.unwrap_or_else(|_| {
            loop {
                std::thread::park()
            }
        })
    }
}

#[test]
fn localhost_resolves_and_whichever_address_listens_is_used() {
    let (mut client, peer) = (client(), Peer::new());
    let target = format!("localhost:{}", peer.addr().port());
    let connection = client.connect(&target, Framing::line()).unwrap();
    client.send(connection, b"by name\n").unwrap();
    until_connected(&mut client, connection);
    assert_eq!(client.peer_addr(connection), Some(peer.addr()));
    client.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(read_exactly(&mut peer.accept(), 8), b"by name\n");
}

#[test]
fn an_address_is_never_asked_of_the_resolver() {
    let (resolver, asked, _answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    let peer = Peer::new();
    connected(&mut client, &peer, Framing::line());
    assert!(asked.try_recv().is_err());
}

/// `.invalid` never resolves (RFC 6761); where there is no name server at all, the answer is "try again".
#[test]
fn a_name_that_does_not_exist_fails_in_the_phase_resolve() {
    let mut client = client_with(|it| it.timeouts.resolve = Duration::from_secs(9));
    let connection = client
        .connect("does-not-exist.invalid:80", Framing::line())
        .unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!((error.phase, error.sent), (Phase::Resolve, Sent::No));
    assert!(
        matches!(error.source, Source::Resolve(_) | Source::Timeout(_)),
        "{error}"
    );
    assert_silent(&mut client);
}

#[test]
fn what_the_resolver_says_is_what_the_error_says() {
    let (resolver, asked, answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    for (said, class) in [
        (ResolveError::NotFound, Class::Persistent),
        (ResolveError::TryAgain, Class::Transient),
        (ResolveError::Os(libc::EMFILE), Class::Resource),
        (ResolveError::Failed(-4), Class::Persistent),
    ] {
        let connection = client.connect("a.name:4242", Framing::line()).unwrap();
        answer.send(Err(said)).unwrap();
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(asked.recv().unwrap(), ("a.name".to_owned(), 4242));
        assert_eq!(
            (error.class, error.phase, error.source),
            (class, Phase::Resolve, Source::Resolve(said))
        );
    }
}

#[test]
fn no_address_at_all_is_a_name_that_was_not_found() {
    let (resolver, _asked, answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    let connection = client.connect("empty.answer:1", Framing::line()).unwrap();
    answer.send(Ok(Vec::new())).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(
        (error.phase, error.source),
        (Phase::Resolve, Source::Resolve(ResolveError::NotFound))
    );
}

#[test]
fn a_resolver_that_panics_fails_its_lookup_and_no_other() {
    struct Panics;
    impl Resolve for Panics {
        fn resolve(&self, host: &str, _: u16) -> Answer {
            panic!("asked for {host}")
        }
    }
    let mut client = Client::with_resolver(Config::default(), Arc::new(Panics)).unwrap();
    for _ in 0..6 {
        let connection = client.connect("a.name:1", Framing::line()).unwrap();
        let error = until_closed(&mut client, connection).error.unwrap();
        assert_eq!(
            (error.phase, error.source),
            (Phase::Resolve, Source::Resolve(ResolveError::Failed(0)))
        );
    }
}

#[test]
fn while_a_lookup_hangs_the_loop_turns_and_its_deadline_ends_it() {
    let (resolver, asked, answer) = scripted();
    drop(answer);
    let mut config = Config::default();
    config.timeouts.resolve = ms(250);
    let mut client = Client::with_resolver(config, resolver).unwrap();
    let peer = Peer::new();
    let (echoing, mut stream) = connected(&mut client, &peer, Framing::line());

    let asked_at = Instant::now();
    let hanging = client.connect("hangs.for.ever:1", Framing::line()).unwrap();
    assert_eq!(asked.recv_timeout(PATIENCE).unwrap().0, "hangs.for.ever");
    let (mut lines, mut error) = (0, None);
    while error.is_none() {
        client.send(echoing, b"still here\n").unwrap();
        client.flush();
        let line = read_exactly(&mut stream, 11);
        stream.write_all(&line).unwrap();
        client_until(&mut client, |_, event| match event {
            Event::Frame { connection, .. } if connection == echoing => {
                lines += 1;
                Some(())
            }
            Event::Closed {
                connection,
                error: why,
                ..
            } if connection == hanging => {
                error = why;
                None
            }
            other => panic!("{other:?}"),
        });
    }
    assert!(asked_at.elapsed() >= ms(250));
    let error = error.unwrap();
    assert_eq!(
        (error.class, error.phase),
        (Class::Transient, Phase::Resolve)
    );
    assert_eq!(
        (error.sent, error.source),
        (Sent::No, Source::Timeout(ms(250)))
    );
    assert!(lines > 1, "{lines} lines while the lookup hung");
    assert_silent(&mut client);
}

#[test]
fn requests_of_an_upstream_whose_lookup_hangs_fail_in_their_own_time_and_once() {
    let (resolver, _asked, answer) = scripted();
    drop(answer);
    let mut config = Config::default();
    config.timeouts.resolve = ms(50);
    let mut client = Client::with_resolver(config, resolver).unwrap();
    let mut ledger = Ledger::default();
    let upstream = client.add(Upstream::new("hangs.for.ever:1")).unwrap();
    let request = ledger.request(&mut client, upstream, b"ping\n", far());
    let error = ledger.until(&mut client, request).error();
    assert_eq!(
        (error.phase, error.sent, error.source),
        (Phase::Resolve, Sent::No, Source::Timeout(ms(50)))
    );
    ledger.until_all(&mut client);
}

#[test]
fn an_answer_that_comes_after_its_deadline_goes_to_nobody() {
    let (resolver, asked, answer) = scripted();
    let mut config = Config::default();
    config.timeouts.resolve = ms(30);
    let mut client = Client::with_resolver(config, resolver).unwrap();
    let peer = Peer::new();
    let late = client.connect("late.answer:1", Framing::line()).unwrap();
    asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        until_closed(&mut client, late).error.unwrap().phase,
        Phase::Resolve
    );
    client.turn(Some(Duration::ZERO)).unwrap();

    // Its slot is another's by now, whose own lookup is under way.
    client.connect("still.asked:1", Framing::line()).unwrap();
    asked.recv_timeout(PATIENCE).unwrap();
    answer.send(Ok(vec![peer.addr()])).unwrap();
    let error = client_until(&mut client, |_, event| match event {
        Event::Closed { error, .. } => Some(error.unwrap()),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        (error.phase, error.source),
        (Phase::Resolve, Source::Timeout(ms(30)))
    );
    assert!(!peer.has_waiting(), "the late answer was used");
}

#[test]
fn a_connection_closed_while_its_name_is_looked_up_is_told_once() {
    let (resolver, asked, answer) = scripted();
    let mut client = Client::with_resolver(Config::default(), resolver).unwrap();
    let connection = client.connect("a.name:1", Framing::line()).unwrap();
    asked.recv_timeout(PATIENCE).unwrap();
    client.close(connection).unwrap();
    let error = until_closed(&mut client, connection).error.unwrap();
    assert_eq!(
        (error.class, error.phase, error.source),
        (Class::Local, Phase::Resolve, Source::Closed)
    );
    answer.send(Err(ResolveError::NotFound)).unwrap();
    assert_silent(&mut client);
}

#[test]
fn targets_that_are_none_are_refused_by_name() {
    let mut client = client();
    for target in [
        "",
        "host",
        "host:",
        ":80",
        "host:65536",
        "host:-1",
        "::1:80",
        "[::1:80",
        "a\0b:80",
    ] {
        let error = client.connect(target, Framing::line()).unwrap_err();
        assert_eq!(
            (error.class, error.phase),
            (Class::Local, Phase::Resolve),
            "{target:?}"
        );
        assert!(
            matches!(error.source, Source::Invalid(_)),
            "{target:?}: {error}"
        );
        assert!(client.add(Upstream::new(target)).is_err(), "{target:?}");
    }
    assert_eq!(client.connections(), 0);
}

/// With all threads stuck, each lookup that was given up stayed in the queue, before those that somebody waits for.
#[test]
fn a_lookup_that_was_given_up_before_it_began_is_forgotten() {
    let (resolver, asked, answer) = scripted();
    let mut config = Config::default();
    config.timeouts.resolve = ms(20);
    let mut client = Client::with_resolver(config, resolver).unwrap();
    for stuck in ["a", "b", "c", "d"] {
        let connection = client
            .connect(&format!("{stuck}:1"), Framing::line())
            .unwrap();
        assert_eq!(asked.recv_timeout(PATIENCE).unwrap().0, stuck);
        assert!(until_closed(&mut client, connection).error.is_some());
    }
    let given_up = client.connect("given-up:1", Framing::line()).unwrap();
    assert!(until_closed(&mut client, given_up).error.is_some());
    let _wanted = client.connect("wanted:1", Framing::line()).unwrap();
    answer.send(Err(ResolveError::NotFound)).unwrap();
    assert_eq!(asked.recv_timeout(PATIENCE).unwrap().0, "wanted");
}
