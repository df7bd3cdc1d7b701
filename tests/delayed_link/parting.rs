//! What a connection's end proves over a link that takes its time: what was acknowledged, and what the peer had read.
//!
//! The figures that these tests print are those of `docs/guarantees.md`.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;
use taut::{Client, ConnectionId, Event, Framing, Parting, Peek};

use crate::delayed_link::Direction::{Back, Out};
use crate::delayed_link::Link;
use crate::support::*;

/// Of each direction: below, at and above what a wake-up takes.
const DELAYS: [Duration; 3] = [Duration::from_micros(500), ms(5), ms(20)];

/// Who writes whatever it is told: what a look before the write would keep back is what these tests are about.
fn blind_client() -> Client {
    client_with(|it| {
        it.peek = Peek::Never;
        it.limits.send_queue_bytes_max = 4 << 20;
    })
}

fn pair(link: &Link, client: &mut Client) -> (ConnectionId, TcpStream) {
    let peer = link.far(|| Peer::at((Link::FAR, 0)));
    connected(client, &peer, Framing::raw())
}

/// The end of a connection, and what was known then.
fn parting(client: &mut Client, connection: ConnectionId) -> Parting {
    client_until(client, |_, event| match event {
        Event::Closed { .. } => Some(()),
        _ => None,
    });
    client.parting(connection).unwrap()
}

/// Reads until it has got at least so much, and then what else lies there, until nothing does.
fn read_and_drain(stream: &mut TcpStream, at_least: u64) -> u64 {
    let mut read = 0;
    let mut buffer = vec![0; 256 << 10];
    while read < at_least {
        match stream.read(&mut buffer) {
            Ok(0) => return read,
            Ok(n) => read += n as u64,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(true).unwrap();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return read,
            Ok(n) => read += n as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return read,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A peer that has read all that came, and closes amid the stream: a FIN where it had, a reset where more came just
/// then. Behind the one acknowledged is read. Behind the other both may be more: what lay unread, and what was read
/// and whose acknowledgement the reset came before.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn behind_a_fin_that_came_first_what_was_acknowledged_is_exactly_what_was_read() {
    for delay in DELAYS {
        let link = Link::new(delay);
        let (mut fins, mut resets, mut lost_max) = (0, 0, 0);
        for at_least in [1, 1_000, 30_000, 300_000] {
            for _ in 0..10 {
                let (mut client, peer) = (blind_client(), link.far(|| Peer::at((Link::FAR, 0))));
                let (connection, mut stream) =
                    link.near(|| connected(&mut client, &peer, Framing::raw()));
                let reader = std::thread::spawn(move || read_and_drain(&mut stream, at_least));
                client.send(connection, &vec![b'x'; 2 << 20]).unwrap();
                let parting = parting(&mut client, connection);
                let read = reader.join().unwrap();
                let acked = parting.acked.unwrap();
                match parting.fin_first {
                    true => assert_eq!(acked, read, "{parting:?}"),
                    false => assert!(read <= parting.written, "{read}: {parting:?}"),
                }
                fins += u32::from(parting.fin_first);
                resets += u32::from(!parting.fin_first);
                lost_max = lost_max.max(parting.written - acked);
                assert!(!parting.fin_sent && !parting.is_commit());
            }
        }
        println!(
            "{delay:?}: FIN first {fins}, acked == read in all of them, up to {lost_max} bytes written and lost; {resets} reset first"
        );
        assert!(fins > 0);
    }
}

/// The peer's FIN is on its way, and so are our last bytes and our FIN. Its end is read, no error is there, and bytes
/// are lost: their reset comes behind it.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_fin_that_crosses_our_last_bytes_and_our_fin_is_no_commit() {
    for delay in DELAYS {
        for reset_is_here in [false, true] {
            let link = Link::new(delay);
            let mut client = blind_client();
            let (connection, mut stream) = link.near(|| pair(&link, &mut client));
            client.send(connection, b"read").unwrap();
            client.flush();
            read_exactly(&mut stream, 4);
            link.hold(Back, |packet| packet.fin || packet.rst);
            drop(stream);
            link.until_entered(Back, "the FIN on its way", |it| it.fin == 1);
            client.send(connection, b"lost").unwrap();
            client.close(connection).unwrap();
            client.flush();
            link.until_left(Out, "our FIN", |it| it.fin == 1);
            link.until_entered(Back, "the reset on its way", |it| it.rst >= 1);
            match reset_is_here {
                true => {
                    link.release(Back);
                    link.until_left(Back, "the reset", |it| it.rst >= 1);
                }
                false => link.release_one(Back),
            }
            let parting = parting(&mut client, connection);
            assert!(parting.fin_sent && parting.fin_first, "{parting:?}");
            assert_eq!(parting.error, None, "a read tells the FIN, not the reset");
            assert_eq!((parting.acked, parting.written), (Some(4), 8));
            assert!(!parting.fin_acked && !parting.is_commit(), "{parting:?}");
            link.release(Back);
        }
    }
}

/// The same by time alone: the peer closes when it has read the first part, while the rest is on its way.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn no_end_without_our_fin_acknowledged_is_taken_for_a_commit_and_every_genuine_one_is() {
    const RUNS: usize = 60;
    for delay in DELAYS {
        let link = Link::new(delay);
        let (mut clean_and_lost, mut commits) = (0, 0);
        for run in 0..RUNS {
            let is_genuine = run % 2 == 0;
            let mut client = blind_client();
            let (connection, mut stream) = link.near(|| pair(&link, &mut client));
            let before = link.counts(Out).left.payload_bytes;
            client.send(connection, b"first").unwrap();
            client.flush();
            let reader = std::thread::spawn(move || match is_genuine {
                true => read_to_the_end(&mut stream).len() as u64,
                false => read_and_drain(&mut stream, 5),
            });
            link.until_left(Out, "the first part", |it| it.payload_bytes == before + 5);
            client.send(connection, &[b'x'; 5_000]).unwrap();
            client.close(connection).unwrap();
            client.flush();
            let parting = parting(&mut client, connection);
            let read = reader.join().unwrap();
            if parting.is_commit() {
                assert_eq!(read, parting.written, "{parting:?}");
            }
            if is_genuine {
                assert!(parting.is_commit(), "{parting:?}");
            }
            if parting.fin_first {
                assert_eq!(parting.acked, Some(read), "{parting:?}");
            }
            commits += usize::from(is_genuine);
            let looks_clean = parting.fin_first && parting.error.is_none();
            clean_and_lost += usize::from(looks_clean && read < parting.written);
            // What is on its way would be taken for the next run's.
            link.until_left(Out, "the second part", |it| {
                it.payload_bytes == before + 5_005
            });
        }
        println!(
            "{delay:?}: of {} ends amid the stream {clean_and_lost} looked clean and had lost bytes, 0 were taken for commits; {commits} of {commits} genuine commits were",
            RUNS - RUNS / 2
        );
        assert!(clean_and_lost > 0, "nothing was tested");
    }
}

/// A peer that closes with unread bytes: it has acknowledged them, at most what its buffer holds.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn behind_a_reset_what_was_acknowledged_and_not_read_is_at_most_the_receive_buffer() {
    for delay in DELAYS {
        let link = Link::new(delay);
        let mut unread_max = 0;
        for fixed_bytes in [None, Some(16 << 10), Some(256 << 10)] {
            for _ in 0..4 {
                let mut client = blind_client();
                let (connection, mut stream) = link.near(|| pair(&link, &mut client));
                if let Some(bytes) = fixed_bytes {
                    SockRef::from(&stream).set_recv_buffer_size(bytes).unwrap();
                }
                client.send(connection, &vec![b'x'; 4 << 20]).unwrap();
                turn(&mut client, Duration::ZERO);
                read_exactly(&mut stream, 100);
                // Until the window is shut, or nothing is left to send.
                let mut acked = 0;
                let mut still = 0;
                while still < 20 {
                    turn(&mut client, delay);
                    let now = client.tcp_info(connection).unwrap().bytes_acked;
                    still = if now == acked { still + 1 } else { 0 };
                    acked = now;
                }
                let buffer = SockRef::from(&stream).recv_buffer_size().unwrap() as u64;
                drop(stream);
                let parting = parting(&mut client, connection);
                assert!(!parting.fin_first && !parting.is_commit(), "{parting:?}");
                let unread = parting.acked.unwrap() - 100;
                assert!(unread > 0 && unread <= buffer, "{unread} of {buffer}");
                unread_max = unread_max.max(unread);
            }
        }
        println!("{delay:?}: reset first, up to {unread_max} bytes acknowledged and not read");
    }
}

/// Its last words come before its end, and the end is known whole before them: nothing of it is lost.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn parting_words_of_a_peer_that_commits_do_not_hide_the_commit() {
    for delay in DELAYS {
        let link = Link::new(delay);
        let mut client = blind_client();
        let (connection, mut stream) = link.near(|| pair(&link, &mut client));
        client.send(connection, b"the epoch").unwrap();
        client.close(connection).unwrap();
        client.flush();
        assert_eq!(read_to_the_end(&mut stream), b"the epoch");
        stream.write_all(b"goodbye").unwrap();
        drop(stream);
        let parting = parting(&mut client, connection);
        assert!(parting.is_commit(), "{parting:?}");
    }
}
