//! Replies matched by the id they carry.

use super::*;

/// Frames of a length of 2 bytes; each payload begins with an id of one byte, 0 for none.
fn by_id(address: String) -> Upstream {
    let id_of = |payload: &[u8]| {
        payload
            .first()
            .map(|&id| u64::from(id))
            .filter(|&id| id > 0)
    };
    let framing = Framing::len16().reply_id(id_of);
    Upstream::new(address)
        .framing(framing)
        .depth(4)
        .matched_by_id()
}

fn ask(client: &mut Client, upstream: UpstreamId, id: u8, deadline: Deadline) {
    client
        .request_tagged(upstream, &[0, 1, id], deadline, id.into())
        .unwrap();
    client.flush();
}

#[test]
fn replies_are_matched_by_the_id_they_carry_and_a_frame_without_one_is_a_push() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 9);
        stream
            .write_all(b"\0\x02\x03c\0\x05\0news\0\x02\x01a\0\x02\x02b")
            .unwrap();
        read_exactly(&mut stream, 1);
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    for id in [1, 2, 3] {
        ask(&mut client, upstream, id, far());
    }
    let doubled = client
        .request_tagged(upstream, &[0, 1, 2], far(), 2)
        .unwrap_err();
    assert_eq!(
        (doubled.source, doubled.sent),
        (Source::IdInUse { id: 2 }, Sent::No)
    );
    let told: Vec<_> = (0..4)
        .map(|_| match next(&mut client) {
            (Event::Reply { tag, .. }, bytes) => (tag, bytes),
            (Event::Push { .. }, bytes) => (0, bytes),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (3, &b"\x03c"[..]),
        (0, b"\0news"),
        (1, b"\x01a"),
        (2, b"\x02b"),
    ];
    assert_eq!(told, expected.map(|(tag, bytes)| (tag, bytes.to_vec())));
    ask(&mut client, upstream, 2, far());
    client.flush();
    server.join().unwrap();
}

/// Every order of five replies, in one segment and byte by byte: each request gets the reply that carries its id.
#[test]
fn replies_in_every_order_find_their_requests() {
    let orders = permutations(&[1, 2, 3, 4, 5]);
    let served = orders.clone();
    let (address, server) = serve(move |mut stream| {
        for (n, order) in served.into_iter().enumerate() {
            read_exactly(&mut stream, 5 * 3);
            let replies: Vec<u8> = order
                .iter()
                .flat_map(|&id| [0, 2, id, id + n as u8])
                .collect();
            let bytes = if n % 2 == 0 { replies.len() } else { 1 };
            for part in replies.chunks(bytes) {
                stream.write_all(part).unwrap();
            }
        }
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address).depth(5));
    for (n, order) in orders.into_iter().enumerate() {
        for id in [1, 2, 3, 4, 5] {
            ask(&mut client, upstream, id, far());
        }
        for id in order {
            match next(&mut client) {
                (Event::Reply { tag, .. }, bytes) => {
                    assert_eq!((tag, bytes), (id.into(), vec![id, id + n as u8]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!((stats.connects, stats.in_flight), (1, 0));
    server.join().unwrap();
}

fn permutations(ids: &[u8]) -> Vec<Vec<u8>> {
    if ids.is_empty() {
        return vec![Vec::new()];
    }
    let first = |n: usize| {
        let rest: Vec<u8> = [&ids[..n], &ids[n + 1..]].concat();
        let begun = move |order: Vec<u8>| [vec![ids[n]], order].concat();
        permutations(&rest).into_iter().map(begun)
    };
    (0..ids.len()).flat_map(first).collect()
}

#[test]
fn where_replies_carry_ids_a_timeout_costs_neither_the_connection_nor_its_neighbours() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        // The reply to 1 comes after its deadline: it is sent when 3 has come, which is asked after that.
        read_exactly(&mut stream, 3);
        stream.write_all(b"\0\x01\x01\0\x01\x03\0\x01\x02").unwrap();
        read_exactly(&mut stream, 3);
        stream.write_all(b"\0\x01\x01").unwrap();
        assert_eq!(
            stream.read(&mut [0; 1]).unwrap_or(0),
            0,
            "the client goes first"
        );
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    ask(
        &mut client,
        upstream,
        1,
        Deadline::after(Duration::from_millis(100)),
    );
    ask(&mut client, upstream, 2, far());
    match next(&mut client).0 {
        Event::Failed { tag: 1, error, .. } => assert_eq!(error.source, Source::Deadline),
        other => panic!("{other:?}"),
    }
    ask(&mut client, upstream, 3, far());
    let error = client
        .request_tagged(upstream, b"\0\x01\x01", far(), 1)
        .unwrap_err();
    assert_eq!(
        error.source,
        Source::IdInUse { id: 1 },
        "its late reply may still come"
    );
    for expected in [3, 2] {
        assert!(matches!(next(&mut client).0, Event::Reply { tag, .. } if tag == expected));
    }
    ask(&mut client, upstream, 1, far());
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    let stats = client.upstream_stats(upstream).unwrap();
    assert_eq!(
        (stats.connects, stats.losses),
        (1, 0),
        "one connection all along"
    );
    drop(client);
    server.join().unwrap();
}

#[test]
fn an_id_that_nobody_asked_with_ends_the_connection_and_fails_what_is_in_flight_once() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 6);
        stream.write_all(b"\0\x01\x01\0\x01\x01").unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is ended");
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    ask(&mut client, upstream, 1, far());
    ask(&mut client, upstream, 2, far());
    assert!(matches!(next(&mut client).0, Event::Reply { tag: 1, .. }));
    match next(&mut client).0 {
        Event::Failed { tag: 2, error, .. } => {
            assert_eq!(
                (error.source, error.class),
                (Source::Unsolicited, Class::Protocol)
            );
            assert_eq!(error.sent, Sent::Maybe);
        }
        other => panic!("{other:?}"),
    }
    server.join().unwrap();
}

#[test]
fn a_connection_full_of_requests_that_timed_out_is_replaced() {
    let (address, server) = serve(|mut stream| {
        read_exactly(&mut stream, 12);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "it is given up");
    });
    let mut client = client();
    let upstream = standing(&mut client, by_id(address));
    for id in 1..=4 {
        ask(
            &mut client,
            upstream,
            id,
            Deadline::after(Duration::from_millis(100)),
        );
    }
    for _ in 0..4 {
        assert!(
            matches!(next(&mut client).0, Event::Failed { error, .. } if error.source == Source::Deadline)
        );
    }
    assert_eq!(client.upstream_stats(upstream).unwrap().losses, 1);
    server.join().unwrap();
}
