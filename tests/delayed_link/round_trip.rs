//! The link as taut's own figures tell it, and the bundled server at its far end.

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use taut::Framing;
use taut::server::{Server, ServerConfig};

use crate::delayed_link::Direction::{Back, Out};
use crate::delayed_link::Link;
use crate::ends::scene;
use crate::support::*;

/// The link itself: no packet is early, in either direction, and a change of delay holds at once.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn the_round_trip_that_the_client_is_told_is_that_of_the_link() {
    scene(|link, mut client, peer| {
        for (there, back) in [(ms(1), ms(0)), (ms(5), ms(5)), (ms(20), ms(2))] {
            link.set_delay_of(Out, there);
            link.set_delay_of(Back, back);
            let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
            for _ in 0..10 {
                let sent_at = Instant::now();
                client.send(connection, b"ping\n").unwrap();
                client.flush();
                assert_eq!(read_exactly(&mut stream, 5), b"ping\n");
                assert!(sent_at.elapsed() >= there);
                stream.write_all(b"pong\n").unwrap();
                next_frame(&mut client, connection);
                assert!(sent_at.elapsed() >= there + back);
            }
            let info = client.tcp_info(connection).unwrap();
            println!("{:?} there and back: {:?}", there + back, info);
            assert!(info.rtt_min >= there + back, "{info:?}");
            // Of a dozen samples the smallest is not far off, however busy the machine.
            assert!(info.rtt_min < there + back + ms(50), "{info:?}");
            assert!(info.rtt >= info.rtt_min);
            assert_eq!(info.retransmits, 0);
            client.close(connection).unwrap();
            drop(stream);
            assert_eq!(until_closed(&mut client, connection).error, None);
        }
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_narrow_link_delays_and_loses_nothing() {
    scene(|link, mut client, peer| {
        link.set_delay(Duration::from_micros(500));
        link.set_bandwidth(Out, Some(2_000_000));
        let (connection, mut stream) = connected(&mut client, &peer, Framing::line());
        let bytes: Vec<u8> = (0..400_000).map(|n| (n % 251) as u8).collect();
        let started_at = Instant::now();
        client.send(connection, &bytes).unwrap();
        let reading = std::thread::spawn(move || (read_exactly(&mut stream, 400_000), stream));
        turn_until(&mut client, "all bytes there", |_| reading.is_finished());
        assert!(started_at.elapsed() >= ms(190));
        assert!(reading.join().unwrap().0 == bytes);
    });
}

/// Lines, and the end of a line, are on their way when the drain begins.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_drain_answers_what_was_begun_and_ends_every_connection_cleanly_over_the_link() {
    let link = Link::new(ms(10));
    let at = (Link::FAR, 0).into();
    let mut server = link.far(|| Server::bind(at, ServerConfig::default()).unwrap());
    let (address, stopper) = (server.local_addr(), server.stopper());
    let (tell, ended) = channel();
    std::thread::spawn(move || {
        server.run().unwrap();
        tell.send(server.stats()).unwrap();
    });
    link.near(|| {
        let connect = || patient(TcpStream::connect(address).unwrap());
        let (idle, mut busy): (TcpStream, Vec<_>) =
            (connect(), (0..5).map(|_| connect()).collect());
        for stream in &mut busy {
            stream.write_all(b"first\nunfin").unwrap();
        }
        for stream in &mut busy {
            assert_eq!(read_exactly(stream, 6), b"FIRST\n");
        }
        link.hold(Out, |packet| packet.payload > 0);
        for stream in &mut busy {
            stream.write_all(b"ished\n").unwrap();
        }
        let begun = 5 * (11 + 6);
        link.until_entered(Out, "the rest on its way", |it| it.payload_bytes == begun);
        stopper.stop();
        link.until_left(Back, "the idle one's end", |it| it.fin == 1);
        link.release(Out);
        for mut stream in busy {
            assert_eq!(read_to_the_end(&mut stream), b"UNFINISHED\n");
        }
        drop(idle);
        let stats = ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!((stats.lines, stats.forced, stats.failed), (10, 0, 0));
        assert_eq!(link.counts(Back).entered.rst, 0);
    });
}
