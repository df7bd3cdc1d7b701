//! Frames that answer no request.

use super::*;

#[test]
fn a_push_is_told_between_replies_and_answers_none() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        stream
            .write_all(b">2\r\n+invalidate\r\n+a\r\n|1\r\n+ttl\r\n:1\r\n#t\r\n>1\r\n+b\r\n_\r\n>1\r\n+c\r\n")
            .unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(Framing::resp3()).depth(2);
    let upstream = client.add(upstream).unwrap();
    for tag in [1, 2] {
        client
            .request_tagged(upstream, b"+a\n", far(), tag)
            .unwrap();
    }
    let mut told = Vec::new();
    for _ in 0..5 {
        let (event, bytes) = next(&mut client);
        let bytes = String::from_utf8(bytes).unwrap();
        match event {
            Event::Reply { tag, .. } => told.push(format!("reply to {tag}: {bytes}")),
            Event::Push {
                upstream: from,
                connection,
                ..
            } => {
                assert_eq!(from, upstream);
                assert!(client.connections_of(upstream).eq([connection]));
                told.push(format!("push: {bytes}"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        told,
        [
            "push: >2\r\n+invalidate\r\n+a\r\n",
            "reply to 1: |1\r\n+ttl\r\n:1\r\n#t\r\n",
            "push: >1\r\n+b\r\n",
            "reply to 2: _\r\n",
            "push: >1\r\n+c\r\n",
        ]
    );
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.in_flight, stats.losses), (0, 0), "it goes on");
    client.request(upstream, b"+", far()).unwrap();
    client.flush();
    server.join().unwrap();
}

#[test]
fn a_push_on_a_raw_connection_is_a_frame() {
    let (address, server) = serve(|mut stream| stream.write_all(b">0\r\n_\r\n").unwrap());
    let mut client = client();
    client.connect(&address, Framing::resp3()).unwrap();
    let told: Vec<_> = (0..4).map(|_| next(&mut client)).collect();
    assert!(matches!(told[0].0, Event::Connected { .. }));
    assert!(matches!(told[1], (Event::Frame { .. }, ref bytes) if bytes == b">0\r\n"));
    assert!(matches!(told[2], (Event::Frame { .. }, ref bytes) if bytes == b"_\r\n"));
    assert!(matches!(told[3].0, Event::Closed { .. }));
    server.join().unwrap();
}

#[test]
fn what_a_push_had_of_its_bytes_is_no_proof_that_a_request_arrived() {
    for (what, sent) in [
        (&b">2\r\n+half"[..], Sent::Maybe),
        (b">x", Sent::Maybe),
        (b"*2\r\n+half", Sent::Yes),
        (b"*x", Sent::Yes),
    ] {
        let (address, server) = serve(move |mut stream| {
            read_exactly(&mut stream, 1);
            stream.write_all(what).unwrap();
        });
        let mut client = client();
        let upstream = Upstream::new(address).framing(Framing::resp3());
        let upstream = client.add(upstream).unwrap();
        client.request(upstream, b"x", far()).unwrap();
        match next(&mut client).0 {
            Event::Failed { error, .. } => assert_eq!(error.sent, sent, "{error}"),
            other => panic!("{other:?}"),
        }
        server.join().unwrap();
    }
}

#[test]
fn half_a_push_on_an_idle_line_is_no_reply_that_nobody_asked_for() {
    let (address, server) = serve(|mut stream| {
        stream.write_all(b">1\r\n+ha").unwrap();
        read_exactly(&mut stream, 1);
        stream.write_all(b"lf\r\n+OK\r\n").unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(Framing::resp3());
    let upstream = client.add(upstream).unwrap();
    let patience = Instant::now() + PATIENCE;
    while client
        .connections_of(upstream)
        .next()
        .and_then(|id| client.transferred(id))
        != Some((0, 7))
    {
        assert!(Instant::now() < patience, "half a push never came");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    client.request(upstream, b"x", far()).unwrap();
    assert!(
        matches!(next(&mut client), (Event::Push { .. }, ref bytes) if bytes == b">1\r\n+half\r\n")
    );
    assert!(matches!(next(&mut client), (Event::Reply { .. }, ref bytes) if bytes == b"+OK\r\n"));
    client.request(upstream, b"x", far()).unwrap();
    client.flush();
    server.join().unwrap();
}
