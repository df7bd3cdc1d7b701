//! Fault 17: one half of the stream ends while replies are pending, by either side, over a way that is late.

use std::io::Write;
use std::net::Shutdown;

use taut::{Class, Event, Framing, Phase, Sent, Source, Upstream};

use crate::proxy::Proxy;
use crate::recorder::{Asked, Conversation, Recorder, line_of};
use crate::support::*;

#[test]
fn replies_pending_when_we_end_our_half_are_all_told_before_the_clean_end() {
    let server = Recorder::answering();
    let proxy = Proxy::new(server.address());
    let changes: [fn(&mut crate::proxy::Way); 3] = [
        |way| way.latency = ms(15),
        |way| way.slices = Some((2, ms(1))),
        |way| (way.stalled, way.slow_close) = (true, ms(20)),
    ];
    for change in changes {
        let mut client = client();
        let connection = client.connect(&proxy.target(), Framing::line()).unwrap();
        until_connected(&mut client, connection);
        proxy.set(|it| change(&mut it.to_client));
        let answered = proxy.counts().from_server + 90;
        for number in 0..10 {
            client.send(connection, &line_of(number)).unwrap();
        }
        client.close(connection).unwrap();
        client.flush();
        eventually("all replies at the proxy", || {
            proxy.counts().from_server == answered
        });
        proxy.set(|it| it.to_client.stalled = false);
        let told = until_closed(&mut client, connection);
        assert_eq!(told.error, None);
        let expected: Vec<_> = (0..10).map(|n| line_of(n)[..8].to_vec()).collect();
        assert_eq!(told.frames, expected);
        proxy.heal();
    }
}

/// The server answers two of five, ends its half, and reads on.
#[test]
fn requests_pending_when_the_server_ends_its_half_fail_as_maybe_sent_and_those_answered_stand() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Recorder::start(listener, |it: &mut Conversation| {
        for _ in 0..2 {
            let number = it.next().unwrap();
            it.reply(number);
        }
        it.stream().shutdown(Shutdown::Write).unwrap();
        while it.next().is_some() {}
    });
    for latency in [0, 10] {
        let proxy = Proxy::new(server.address());
        proxy.set(|it| it.both_ways(|way| way.latency = ms(latency)));
        let (mut client, mut asked) = (client(), Asked::default());
        let upstream = client.add(Upstream::new(proxy.target()).depth(5)).unwrap();
        let requests = [0; 5].map(|_| asked.ask(&mut client, upstream, far()));
        for (n, request) in requests.into_iter().enumerate() {
            let ended = asked.ledger.until(&mut client, request);
            if n < 2 {
                ended.reply();
                continue;
            }
            let error = ended.error();
            assert_eq!(
                (error.class, error.phase, error.sent, error.source),
                (Class::Transient, Phase::Read, Sent::Maybe, Source::Eof)
            );
        }
        asked.ledger.until_all(&mut client);
    }
}

#[test]
fn a_half_closed_server_still_gets_all_that_is_sent_over_a_late_way() {
    let peer = Peer::new();
    let proxy = Proxy::new(peer.addr());
    proxy.set(|it| it.both_ways(|way| way.latency = ms(10)));
    let mut client = client_with(|it| it.half_close = true);
    let connection = client.connect(&proxy.target(), Framing::line()).unwrap();
    until_connected(&mut client, connection);
    let mut stream = peer.accept();
    stream.write_all(b"now you\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(next_frame(&mut client, connection), b"now you");
    client_until(&mut client, |_, event| match event {
        Event::HalfClosed { connection: it } if it == connection => Some(()),
        other => panic!("{other:?}"),
    });
    proxy.set(|it| it.to_server.slices = Some((1, ms(1))));
    client.send(connection, b"and more\n").unwrap();
    client.close(connection).unwrap();
    let told = until_closed(&mut client, connection);
    assert_eq!((told.error, told.written), (None, 9));
    assert_eq!(read_to_the_end(&mut stream), b"and more\n");
}
