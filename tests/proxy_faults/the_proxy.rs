//! The proxy itself: it loses nothing, whatever is set and lifted, and does the harm it is told to do.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::proxy::{Faults, Proxy};
use crate::support::*;

fn through(proxy: &Proxy) -> TcpStream {
    patient(TcpStream::connect(proxy.address()).unwrap())
}

/// Both ends of a connection through a proxy.
fn pair() -> (Proxy, TcpStream, TcpStream) {
    let peer = Peer::new();
    let proxy = Proxy::new(peer.addr());
    let client = through(&proxy);
    (proxy, client, peer.accept())
}

#[test]
fn no_byte_is_lost_or_changed_whatever_is_set_and_lifted_meanwhile() {
    let (target, server) = serve(1, echo);
    let proxy = Proxy::new(target.parse().unwrap());
    let mut stream = through(&proxy);
    let sent: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let changes: [fn(&mut Faults); 8] = [
        |it| it.both_ways(|way| way.latency = ms(3)),
        |it| it.to_client.slices = Some((7, Duration::ZERO)),
        |it| *it = Faults::default(),
        |it| it.both_ways(|way| way.bytes_per_second = Some(20_000_000)),
        |it| it.to_server.stalled = true,
        |it| *it = Faults::default(),
        |it| it.to_client.stalled = true,
        |it| *it = Faults::default(),
    ];
    let (mut all, mut buffer) = (Vec::new(), [0; 4 << 10]);
    for change in changes.into_iter().cycle() {
        proxy.set(change);
        if all.len() == expected.len() {
            break;
        }
        // Under a stall nothing comes any more, at the latest when all that was passed on is read.
        stream.set_read_timeout(Some(ms(10))).unwrap();
        let wanted = all.len() + 100_000;
        while all.len() < wanted.min(expected.len()) {
            match stream.read(&mut buffer) {
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    proxy.heal();
    assert!(all == expected, "{} bytes of {}", all.len(), expected.len());
    assert_eq!(read_to_the_end(&mut stream), b"");
    writing.join().unwrap();
    server.join().unwrap();
    let counts = proxy.counts();
    assert_eq!(
        [counts.from_client, counts.to_server],
        [expected.len() as u64; 2]
    );
    assert_eq!(
        [counts.from_server, counts.to_client],
        [expected.len() as u64; 2]
    );
}

#[test]
fn what_is_late_is_never_early() {
    let (proxy, mut client, mut server) = pair();
    proxy.set(|it| it.to_server.latency = ms(40));
    let sent_at = Instant::now();
    client.write_all(b"late").unwrap();
    assert_eq!(read_exactly(&mut server, 4), b"late");
    assert!(sent_at.elapsed() >= ms(40));
    proxy.set(|it| it.to_client.slices = Some((1, ms(5))));
    let sent_at = Instant::now();
    server.write_all(b"sliced").unwrap();
    assert_eq!(read_exactly(&mut client, 6), b"sliced");
    assert!(sent_at.elapsed() >= ms(25));
    proxy.set(|it| it.to_client.bytes_per_second = Some(1_000));
    let sent_at = Instant::now();
    server.write_all(&[b'x'; 50]).unwrap();
    read_exactly(&mut client, 50);
    assert!(sent_at.elapsed() >= ms(40));
}

/// What a latency of an hour has held comes when it is lifted.
#[test]
fn what_was_held_comes_at_once_when_the_fault_is_lifted() {
    let (proxy, mut client, mut server) = pair();
    for hold in [
        (|it| it.to_server.latency = Duration::from_secs(3600)) as fn(&mut Faults),
        |it| it.to_server.stalled = true,
    ] {
        proxy.set(hold);
        let before = proxy.counts();
        client.write_all(b"held").unwrap();
        eventually("the bytes at the proxy", || {
            proxy.counts().from_client == before.from_client + 4
        });
        assert_eq!(proxy.counts().to_server, before.to_server);
        proxy.heal();
        assert_eq!(read_exactly(&mut server, 4), b"held");
    }
    proxy.set(|it| it.to_server.slow_close = Duration::from_secs(3600));
    client.shutdown(Shutdown::Write).unwrap();
    // A turn of the proxy, which has seen the FIN by then.
    proxy.set(|_| ());
    server.set_nonblocking(true).unwrap();
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    proxy.heal();
    server.set_nonblocking(false).unwrap();
    assert_eq!(read_to_the_end(&mut server), b"");
}

#[test]
fn a_stall_takes_a_bounded_number_of_bytes() {
    let (proxy, mut client, _server) = pair();
    proxy.set(|it| it.to_server.stalled = true);
    client.set_nonblocking(true).unwrap();
    let mut last_moved = Instant::now();
    while last_moved.elapsed() < ms(100) {
        if client.write(&[0; 4 << 10]).is_ok() {
            last_moved = Instant::now();
        }
    }
    assert!(proxy.counts().from_client <= (256 + 16) << 10);
}

#[test]
fn a_connection_is_cut_after_exactly_so_many_bytes() {
    for end in End::BOTH {
        let (proxy, mut client, mut server) = pair();
        proxy.set(|it| it.to_client.limit = Some((5, end)));
        server.write_all(b"123456789").unwrap();
        assert_eq!(read_exactly(&mut client, 5), b"12345");
        for mut stream in [client, server] {
            match (end, stream.read(&mut [0; 8])) {
                (End::Fin, outcome) => assert_eq!(outcome.unwrap(), 0),
                (End::Rst, outcome) => {
                    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ConnectionReset);
                }
            }
        }
        eventually("the end of the pair", || proxy.counts().open == 0);
    }
}

#[test]
fn an_end_is_passed_on_as_it_came_or_as_a_reset() {
    let (_proxy, client, mut server) = pair();
    reset(client);
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    let (proxy, client, mut server) = pair();
    proxy.set(|it| it.to_server.resets_for_fin = true);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        server.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn when_it_is_down_connections_are_refused_and_those_that_stand_stay() {
    let (proxy, mut client, mut server) = pair();
    for _ in 0..3 {
        proxy.set(|it| it.down = true);
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        client.write_all(b"still here").unwrap();
        assert_eq!(read_exactly(&mut server, 10), b"still here");
        proxy.heal();
        drop(through(&proxy));
    }
}
