//! Faults 1 and 2: the connection is cut at every byte of a request and of a reply, with a FIN or a reset. What the
//! client says of the request is held against what the server's program has read.

use taut::{Class, Deadline, Phase, Sent, Source};

use crate::proxy::Proxy;
use crate::recorder::{Asked, Recorder, line_of};
use crate::support::*;

const LINE_BYTES: u64 = 9;

/// One request after the other on one connection, until it is cut; the next is answered again.
#[test]
fn a_request_cut_at_every_byte_is_maybe_sent_and_read_only_if_all_of_it_passed() {
    for end in End::BOTH {
        for cut in 0..=2 * LINE_BYTES {
            let server = Recorder::answering();
            let proxy = Proxy::new(server.address());
            let (mut client, mut asked) = (client(), Asked::default());
            let upstream = client
                .add(taut::Upstream::new(proxy.target()).depth(2))
                .unwrap();
            turn_until(&mut client, "the connection", |client| {
                client.upstream_stats(upstream).unwrap().open == 1
            });
            // Both leave as one, so the cut meets them on their way. No reply comes back.
            proxy.set(|it| {
                it.to_server.stalled = true;
                it.to_client.stalled = true;
            });
            let requests = [0, 1].map(|_| asked.ask(&mut client, upstream, far()));
            client.flush();
            eventually("both requests at the proxy", || {
                proxy.counts().from_client == 2 * LINE_BYTES
            });
            proxy.set(|it| {
                it.to_server.stalled = false;
                it.to_server.limit = Some((cut, end));
            });
            let what = format!("{end:?} after {cut}");
            for request in requests {
                let error = asked.ledger.until(&mut client, request).error();
                assert_eq!(
                    (error.class, error.phase, error.sent),
                    (Class::Transient, Phase::Read, Sent::Maybe),
                    "{what}"
                );
                match end {
                    End::Fin => assert_eq!(error.source, Source::Eof, "{what}"),
                    End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET), "{what}"),
                }
            }
            proxy.heal();
            let after = asked.ask(&mut client, upstream, Deadline::after(PATIENCE));
            assert_eq!(
                asked.ledger.until(&mut client, after).reply(),
                line_of(2)[..8]
            );
            asked.ledger.until_all(&mut client);
            drop(client);
            let outcomes = server.judge(&asked);
            let whole = (cut / LINE_BYTES) as usize;
            // A reset may overtake what the program has not read yet.
            match end {
                End::Fin => assert_eq!(outcomes.maybe_and_read, whole, "{what}"),
                End::Rst => assert!(outcomes.maybe_and_read <= whole, "{what}"),
            }
        }
    }
}

#[test]
fn a_reply_cut_at_every_byte_proves_its_request_sent_from_its_first_byte_on() {
    for end in End::BOTH {
        for cut in 0..=2 * LINE_BYTES {
            let server = Recorder::answering();
            let proxy = Proxy::new(server.address());
            proxy.set(|it| it.to_client.stalled = true);
            let (mut client, mut asked) = (client(), Asked::default());
            let upstream = client
                .add(taut::Upstream::new(proxy.target()).depth(2))
                .unwrap();
            let requests = [0, 1].map(|_| asked.ask(&mut client, upstream, far()));
            client_turns_until(&mut client, || proxy.counts().from_server == 2 * LINE_BYTES);
            proxy.set(|it| {
                it.to_client.stalled = false;
                it.to_client.limit = Some((cut, end));
            });
            let what = format!("{end:?} after {cut}");
            for (begins, request) in [0, LINE_BYTES].into_iter().zip(requests) {
                let ended = asked.ledger.until(&mut client, request);
                if cut >= begins + LINE_BYTES {
                    ended.reply();
                    continue;
                }
                let error = ended.error();
                let sent = if cut > begins { Sent::Yes } else { Sent::Maybe };
                assert_eq!((error.phase, error.sent), (Phase::Read, sent), "{what}");
                let torn = cut % LINE_BYTES;
                match end {
                    End::Fin if torn == 0 => assert_eq!(error.source, Source::Eof, "{what}"),
                    End::Fin => {
                        assert_eq!(error.source, Source::Truncated { received: torn }, "{what}")
                    }
                    End::Rst => assert_eq!(error.errno(), Some(libc::ECONNRESET), "{what}"),
                }
            }
            asked.ledger.until_all(&mut client);
            drop((client, proxy));
            let outcomes = server.judge(&asked);
            assert_eq!(outcomes.replies, (cut / LINE_BYTES) as usize, "{what}");
        }
    }
}

/// Turns until the other side is where the test wants it; no request may end meanwhile.
fn client_turns_until(client: &mut taut::Client, condition: impl Fn() -> bool) {
    turn_until(client, "the other side", |_| condition());
}
