//! Requests that race their server's farewells, and lines that are cut while requests are under way. What the client
//! says of each is held against what the server's program has read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use taut::{Class, Peek, Phase, Retry, Sent, Source, Upstream};

use crate::common::*;
use crate::proxy::Proxy;
use crate::random::Random;
use crate::recorder::{Asked, line_of};
use crate::support::*;
use crate::tls::*;

/// How often each number was read.
type Read = Arc<Mutex<BTreeMap<u64, u32>>>;

/// The next request, written down.
fn next(conversation: &mut Conversation, read: &Read) -> Option<u64> {
    let line = conversation.read_line()?;
    let number = std::str::from_utf8(&line).unwrap().parse().unwrap();
    *read.lock().unwrap().entry(number).or_default() += 1;
    Some(number)
}

fn times_read(read: &Read) -> impl Fn(u64) -> u32 {
    |number| read.lock().unwrap().get(&number).copied().unwrap_or(0)
}

/// Ends as a drawn number says: tickets before or not, words or not, a FIN, a reset or the client's own end.
fn farewell(conversation: &mut Conversation, random: &mut Random) {
    let mut line = Vec::new();
    let mut sealing = conversation.sealing();
    for _ in 0..random.below(3) {
        line.extend(sealing.ticket(300));
    }
    let has_words = random.once_in(2);
    if has_words {
        line.extend(sealing.close_notify());
    }
    if !conversation.line(&line) {
        return;
    }
    match random.below(4) {
        // When the server lets go of it, which is now.
        0 => {
            let stream = SockRef::from(&conversation.stream);
            return stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
        1 if has_words => {}
        _ => conversation.fin(),
    }
    // Its program reads nothing more, whatever comes.
    conversation.hear_all();
}

/// Each connection answers a few requests and goes, at once or a moment later: some requests meet its end.
#[test]
fn of_requests_that_race_farewells_each_ends_once_and_none_that_was_read_is_called_unsent() {
    for (peek, retry) in [
        (Peek::Always, Retry::default()),
        (Peek::Always, Retry::off()),
        (Peek::Never, Retry::default()),
    ] {
        let (ours, terms) = ours();
        let read = Read::default();
        let reading = read.clone();
        let server = TlsServer::start(&terms, move |it, nth| {
            let mut random = Random::new(nth as u64);
            if !it.handshake() {
                return;
            }
            for _ in 0..1 + random.below(6) {
                let Some(number) = next(it, &reading) else {
                    return;
                };
                if !it.write(&line_of(number)) {
                    return;
                }
            }
            // One that is read and not answered.
            if random.once_in(3) {
                next(it, &reading);
            }
            if random.once_in(2) {
                std::thread::park_timeout(Duration::from_micros(random.below(300) as u64));
            }
            farewell(it, &mut random);
        });
        let mut client = client_with(|it| {
            (it.peek, it.retry) = (peek, retry);
            it.reconnect.first_pause_max = ms(1);
            it.reconnect.pause_max = ms(2);
            it.reconnect.release_step = Duration::ZERO;
            it.timeouts.wait = Duration::from_secs(30);
        });
        let upstream = Upstream::new(server.target()).tls(trusting(&ours));
        let upstream = client.add(upstream.connections(2).depth(2)).unwrap();
        let mut asked = Asked::default();
        let mut pauses = Random::new(7);
        asked.keep_asking(&mut client, upstream, 1_500, 4, |_| {
            if pauses.once_in(3) {
                std::thread::park_timeout(Duration::from_micros(pauses.below(400) as u64));
            }
        });
        drop(client);
        server.until_quiet();
        let outcomes = asked.judge(times_read(&read));
        println!(
            "{peek:?}, {retry:?}: {outcomes:?} on {} connections",
            server.accepted()
        );
        assert!(outcomes.replies > 500, "{outcomes:?}");
        assert!(outcomes.maybe_and_read > 0, "{outcomes:?}");
        for heard in server.heard() {
            assert_nothing_in_the_open(&heard);
        }
    }
}

/// Two requests leave as one write, and the line to the server is cut at each byte of it. A part of a record is nothing
/// to anybody: the server has read what lies in whole ones.
#[test]
fn requests_whose_line_is_cut_at_any_byte_are_maybe_sent_and_read_only_if_their_record_passed() {
    let bytes = 2 * line_of(0).len() as u64;
    // Sealed together: a header, a kind, a tag.
    let whole = bytes + 5 + 1 + 16;
    for end in End::BOTH {
        for after in (0..=whole).step_by(3).chain([whole]) {
            let (ours, terms) = ours();
            let read = Read::default();
            let reading = read.clone();
            let server = TlsServer::start(&terms, move |it, _| {
                it.handshake();
                while let Some(number) = next(it, &reading) {
                    it.write(&line_of(number));
                }
            });
            let proxy = Proxy::recording(server.address());
            let (mut client, mut asked) = (client_without_retries(), Asked::default());
            let upstream = Upstream::new(proxy.target()).tls(trusting(&ours));
            let upstream = client.add(upstream.depth(2)).unwrap();
            turn_until(&mut client, "the connection", |client| {
                client.upstream_stats(upstream).unwrap().open == 1
            });
            proxy.set(|_| {});
            let handshake = proxy.counts().from_client;
            // Both leave as one, so the cut meets them on their way. No reply comes back.
            proxy.set(|it| {
                it.to_server.stalled = true;
                it.to_client.stalled = true;
            });
            let requests = [0, 1].map(|_| asked.ask(&mut client, upstream, far()));
            client.flush();
            eventually("both requests at the proxy", || {
                proxy.counts().from_client == handshake + whole
            });
            proxy.set(|it| {
                it.to_server.stalled = false;
                it.to_server.limit = Some((handshake + after, end));
            });
            let what = format!("{end:?} after {after} of {whole}");
            for request in requests {
                let error = asked.ledger.until(&mut client, request).error();
                let cut = (error.phase, error.sent);
                assert_eq!(cut, (Phase::Read, Sent::Maybe), "{what}: {error}");
                match end {
                    End::Fin => {
                        assert_eq!(error.source, Source::Truncated { received: 0 }, "{what}");
                        assert_eq!(error.class, Class::Protocol);
                    }
                    End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET), "{what}"),
                }
            }
            asked.ledger.until_all(&mut client);
            drop(client);
            server.until_quiet();
            let outcomes = asked.judge(times_read(&read));
            let read = if after == whole { 2 } else { 0 };
            // A reset may overtake what the program has not read yet.
            match end {
                End::Fin => assert_eq!(outcomes.maybe_and_read, read, "{what}"),
                End::Rst => assert!(outcomes.maybe_and_read <= read, "{what}"),
            }
            assert_sealed(&proxy.recorded()[0]);
        }
    }
}

/// One request of many seals, of which the peer takes the first few and then nothing: it may have been sent, and what
/// was handed over is told in the program's bytes.
#[test]
fn a_request_of_many_seals_that_is_cut_off_in_its_midst_is_maybe_sent() {
    for end in End::BOTH {
        let (ours, terms) = ours();
        let mut client = client_with(|it| {
            it.retry = Retry::off();
            it.socket.send_buffer_bytes = Some(16 << 10);
        });
        let peer = Peer::narrow();
        let tls = trusting(&ours);
        let (upstream, mut conversation) = secured_upstream(&mut client, &peer, &terms, &tls);
        let mut ledger = Ledger::default();
        let payload = [&marked(900 << 10)[..], b"\n"].concat();
        let request = ledger.request(&mut client, upstream, &payload, far());
        let mut read = 0;
        while read < (100 << 10) {
            turn(&mut client, Duration::ZERO);
            read += conversation.read().len();
        }
        let kept = match end {
            End::Fin => {
                conversation.fin();
                Some(conversation)
            }
            End::Rst => {
                conversation.end(End::Rst);
                None
            }
        };
        let error = ledger.until(&mut client, request).error();
        assert_eq!(
            (error.phase, error.sent),
            (Phase::Write, Sent::Maybe),
            "{error}"
        );
        ledger.until_all(&mut client);
        let (written, _) = client.transferred_of(upstream).unwrap();
        assert!(
            (read as u64..payload.len() as u64).contains(&written),
            "{written}"
        );
        drop(kept);
    }
}
