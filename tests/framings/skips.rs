//! Frames over the limit that are skipped.

use super::*;

/// A frame of len32 with a body of so many bytes.
fn write_frame(stream: &mut TcpStream, bytes: u32) {
    stream.write_all(&bytes.to_be_bytes()).unwrap();
    let chunk = vec![b'x'; 64 << 10];
    let mut left = bytes as usize;
    while left > 0 {
        let n = left.min(chunk.len());
        stream.write_all(&chunk[..n]).unwrap();
        left -= n;
    }
}

const LIMIT: usize = 1 << 10;

fn skipping() -> Framing {
    Framing::len32().frame_bytes_max(LIMIT).skip_oversize()
}

#[test]
fn a_frame_over_the_limit_is_skipped_on_a_raw_connection_and_the_stream_goes_on() {
    let (address, server) = serve(|mut stream| {
        for bytes in [5, 100 << 20, 6, LIMIT as u32 + 1, LIMIT as u32] {
            write_frame(&mut stream, bytes);
        }
    });
    let mut client = client();
    client.connect(&address, skipping()).unwrap();
    let mut told = Vec::new();
    loop {
        match next(&mut client).0 {
            Event::Connected { .. } => {}
            Event::Frame { frame, .. } => told.push(("frame", frame.len() as u64)),
            Event::Skipped { bytes, .. } => told.push(("skipped", bytes)),
            Event::Closed { error, .. } => break assert_eq!(error.unwrap().source, Source::Eof),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        told,
        [
            ("frame", 5),
            ("skipped", 100 << 20),
            ("frame", 6),
            ("skipped", 1_025),
            ("frame", 1_024)
        ]
    );
    server.join().unwrap();
}

#[test]
fn a_reply_over_the_limit_fails_its_own_request_and_no_other() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 3);
        for bytes in [1, 10 << 20, 3] {
            write_frame(&mut stream, bytes);
        }
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = Upstream::new(address).framing(skipping()).depth(3);
    let upstream = standing(&mut client, upstream);
    for tag in [1, 2, 3] {
        client.request_tagged(upstream, b"?", far(), tag).unwrap();
    }
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    match next(&mut client).0 {
        Event::Failed { tag: 2, error, .. } => {
            let (limit, claimed) = (LIMIT, 10 << 20);
            assert_eq!(error.source, Source::Oversize { limit, claimed });
            assert_eq!((error.class, error.sent), (Class::Protocol, Sent::Yes));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 3, .. }));
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.losses, stats.in_flight),
        (0, 0),
        "the connection goes on"
    );
    client.request(upstream, b"?", far()).unwrap();
    client.flush();
    server.join().unwrap();
}

#[test]
fn a_skipped_frame_that_nobody_asked_for_is_unsolicited() {
    let (address, server) = serve(|mut stream| {
        write_frame(&mut stream, LIMIT as u32 + 1);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is ended");
    });
    let mut client = client();
    let upstream = client
        .add(Upstream::new(address).framing(skipping()))
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while client.upstream_stats(upstream).unwrap().losses == 0 {
        assert!(Instant::now() < patience, "it stays");
        client.turn(Some(Duration::from_millis(5))).unwrap();
    }
    let error = client.upstream_stats(upstream).unwrap().last_error.unwrap();
    assert_eq!(error.source, Source::Unsolicited);
    server.join().unwrap();
}

#[test]
fn what_cannot_skip_or_tell_ids_apart_is_refused_by_name() {
    let mut client = client();
    for framing in [
        Framing::line(),
        Framing::delimiter(b"--"),
        Framing::fixed(8),
        Framing::raw(),
    ] {
        let error = client
            .connect("127.0.0.1:1", framing.skip_oversize())
            .unwrap_err();
        assert!(matches!(error.source, Source::Invalid(why) if why.contains("skip_oversize")));
    }
    let both = Upstream::new("127.0.0.1:1").framing(skipping().reply_id(|_| None));
    let error = client.add(both.matched_by_id()).unwrap_err();
    assert!(matches!(error.source, Source::Invalid(_)), "{error}");
}
