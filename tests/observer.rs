//! Who watches a client is told of what happens as it happens, and cannot get in its way.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use support::*;
use taut::{
    Connected, Deadline, Ended, Event, Framing, Lost, Observer, RequestOptions, Retried, Source,
    State, UpstreamId,
};

/// What was told, in words.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn put(&self, note: String) {
        self.0.lock().unwrap().push(note);
    }
}

impl Observer for Notes {
    fn connected(&mut self, connected: &Connected) {
        self.put(format!(
            "connected {:?} to {}",
            connected.upstream, connected.peer
        ));
        assert!(connected.took < PATIENCE);
    }

    fn lost(&mut self, lost: &Lost) {
        let why = lost.error.map(|error| error.source);
        self.put(format!(
            "lost {:?} after {} out, {} in: {why:?}",
            lost.upstream, lost.written, lost.received
        ));
    }

    fn ended(&mut self, ended: &Ended) {
        assert!(ended.took < PATIENCE);
        let result = ended.result.map_err(|error| error.source);
        let (upstream, request, tag) = (ended.upstream, ended.request, ended.tag);
        self.put(format!("{request} of {upstream:?}, {tag}: {result:?}"));
    }

    fn retried(&mut self, retried: &Retried) {
        let (request, tag, attempt) = (retried.request, retried.tag, retried.attempt);
        let (upstream, error) = (retried.upstream, retried.error);
        self.put(format!(
            "{request} of {upstream:?}, {tag}, try {attempt}, sent {}: {:?}",
            error.sent.name(),
            error.source
        ));
    }

    fn state(&mut self, upstream: UpstreamId, state: State) {
        let word = match state {
            State::Up => "up",
            State::Down { .. } => "down",
            _ => "of the breaker",
        };
        self.put(format!("{upstream:?} is {word}"));
    }
}

#[test]
fn connections_and_states_are_told_whether_events_are_asked_for_or_not() {
    let (mut client, peer) = (client(), Peer::new());
    let notes = Notes::default();
    client.observe(Some(Box::new(notes.clone())));
    let (upstream, streams) = standing(&mut client, &peer, |it| it);
    let (of, at) = (Some(upstream), peer.target());
    assert_eq!(
        notes.take(),
        [
            format!("connected {of:?} to {at}"),
            format!("{upstream:?} is up")
        ]
    );
    let (raw, stream) = connected(&mut client, &peer, Framing::line());
    assert_eq!(notes.take(), [format!("connected None to {at}")]);
    client.send(raw, b"bye\n").unwrap();
    client.flush();
    drop(stream);
    until_closed(&mut client, raw);
    let told = notes.take();
    assert!(
        told.len() == 1 && told[0].starts_with("lost None after 4 out, 0 in"),
        "{told:?}"
    );
    drop((streams, peer));
    turn_until(&mut client, "the loss", |client| {
        client.upstream_stats(upstream).unwrap().open == 0
    });
    let eof = Some(Source::Eof);
    assert_eq!(
        notes.take(),
        [format!("lost {of:?} after 0 out, 0 in: {eof:?}")]
    );
    client.request(upstream, b"ping\n", far()).unwrap();
    client_until(&mut client, |_, event| {
        matches!(event, Event::Failed { .. }).then_some(())
    });
    let told = notes.take();
    assert!(told.last().unwrap().ends_with("is down"), "{told:?}");
    client.observe(None);
    drop(client);
    assert_eq!(notes.take(), [""; 0]);
    assert_eq!(Arc::strong_count(&notes.0), 1, "it was given back");
}

#[test]
fn each_request_is_told_once_as_it_ends_whoever_made_it() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it.depth(2));
    let before = client.request(upstream, b"ping\n", far()).unwrap();
    let notes = Notes::default();
    client.observe(Some(Box::new(notes.clone())));
    let of_replied = client
        .request_tagged(upstream, b"ping\n", far(), 1)
        .unwrap();
    let soon = Deadline::after(ms(50));
    let waits = client.request_tagged(upstream, b"ping\n", soon, 2).unwrap();
    turn(&mut client, ms(10));
    assert_eq!(read_exactly(&mut streams[0], 10), b"ping\nping\n");
    streams[0].write_all(b"pong\nlonger\n").unwrap();
    let mut ends = Vec::new();
    while ends.len() < 3 {
        ends.push(client_until(&mut client, |_, event| match event {
            Event::Reply { request, .. } | Event::Failed { request, .. } => Some(request),
            _ => None,
        }));
    }
    assert_eq!(ends, [before, of_replied, waits]);
    let told = notes.take();
    let of =
        |request, tag: u64, result: &str| format!("{request} of {upstream:?}, {tag}: {result}");
    assert_eq!(told[0], of(of_replied, 1, "Ok(6)"));
    assert_eq!(told[1], of(waits, 2, "Err(Deadline)"));
    // One that another thread waits for.
    let (reply_to, outcomes) = std::sync::mpsc::channel();
    let handle = client.handle();
    handle
        .request_to(upstream, "ping\n", soon, 3, &reply_to)
        .unwrap();
    while outcomes.try_recv().is_err() {
        turn(&mut client, ms(10));
    }
    let told = notes.take();
    let of_thread = told.iter().filter(|note| note.contains(", 3: Err("));
    assert_eq!(of_thread.count(), 1, "{told:?}");
}

/// Its connection is lost with it, and it does no harm to make it twice.
#[test]
fn a_request_that_is_made_again_is_told_with_the_number_of_its_try_and_why() {
    let (mut client, peer) = (client(), Peer::new());
    let (upstream, mut streams) = standing(&mut client, &peer, |it| it);
    let notes = Notes::default();
    client.observe(Some(Box::new(notes.clone())));
    let options = RequestOptions::new().deadline(far()).tag(5).idempotent();
    let request = client.request_with(upstream, b"ping\n", options).unwrap();
    client.flush();
    let mut stream = streams.remove(0);
    for attempt in [2, 3] {
        read_exactly(&mut stream, 5);
        drop(stream);
        turn_until(&mut client, "it is made again", |client| {
            client.stats().retries == attempt - 1
        });
        let told = notes.take();
        let again = format!("{request} of {upstream:?}, 5, try {attempt}, sent maybe: Eof");
        let of_request = told.iter().filter(|note| note.contains(", 5"));
        assert_eq!(of_request.collect::<Vec<_>>(), [&again], "{told:?}");
        turn_until(&mut client, "the next connection", |client| {
            client.upstream_stats(upstream).unwrap().in_flight == 1
        });
        client.flush();
        stream = peer.accept();
    }
    read_exactly(&mut stream, 5);
    stream.write_all(b"pong\n").unwrap();
    client_until(&mut client, |_, event| {
        matches!(event, Event::Reply { .. }).then_some(())
    });
    let told = notes.take();
    let ended = format!("{request} of {upstream:?}, 5: Ok(4)");
    assert_eq!(told.last(), Some(&ended), "{told:?}");
}
