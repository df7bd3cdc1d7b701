//! Fault 42: the bundled server, with clients that are slow, idle, too long, cut off, on purpose or by the way.
//! (`tests/server.rs` has its limits, `tests/server_emfile.rs` what happens without descriptors.)

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use taut::server::{ServerConfig, ServerStats};

use crate::proxy::Proxy;
use crate::support::*;

/// A server behind a proxy.
struct Proxied {
    proxy: Proxy,
    server: Running,
}

impl Proxied {
    fn start(config: ServerConfig) -> Proxied {
        let server = Running::start(config);
        let proxy = Proxy::new(server.address);
        Proxied { proxy, server }
    }

    fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.proxy.address()).unwrap())
    }

    fn stop(&self) -> ServerStats {
        self.server.stop()
    }
}

/// A line there and back.
#[track_caller]
fn shout(stream: &TcpStream) {
    let mut writer = stream;
    writer.write_all(b"quick\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "QUICK\n");
}

/// Each says a byte every 5 ms and never ends its line; one that comes past them is served meanwhile.
#[test]
fn slow_lorises_harm_nobody_and_go_when_they_fall_silent() {
    const LORISES: u64 = 20;
    const BYTES: u64 = 300;
    let server = Proxied::start(ServerConfig {
        idle_timeout: ms(1_000),
        ..ServerConfig::default()
    });
    server
        .proxy
        .set(|it| it.to_server.slices = Some((1, ms(5))));
    let mut lorises: Vec<_> = (0..LORISES).map(|_| server.connect()).collect();
    for loris in &mut lorises {
        loris.write_all(&[b'x'; BYTES as usize]).unwrap();
    }
    let direct = patient(TcpStream::connect(server.server.address).unwrap());
    // Their bytes last longer than the idle timeout, which each of them puts off: all are read.
    eventually("the last byte of each", || {
        shout(&direct);
        server.proxy.counts().to_server == LORISES * BYTES
    });
    drop(direct);
    for loris in &mut lorises {
        assert_eq!(read_to_the_end(loris), b"");
    }
    let direct = patient(TcpStream::connect(server.server.address).unwrap());
    shout(&direct);
    drop(direct);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.failed), (LORISES + 2, LORISES));
}

#[test]
fn a_line_too_long_ends_its_connection_however_slowly_it_comes() {
    for slices in [None, Some((1, Duration::ZERO)), Some((3, ms(1)))] {
        let server = Proxied::start(ServerConfig {
            line_bytes_max: 64,
            ..ServerConfig::default()
        });
        server.proxy.set(|it| it.to_server.slices = slices);
        let mut stream = server.connect();
        stream.write_all(&[b'y'; 64]).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut answer = [0; 65];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!((&answer[..64], answer[64]), (&[b'Y'; 64][..], b'\n'));
        stream.write_all(&[b'z'; 65]).unwrap();
        assert_eq!(read_to_the_end(&mut stream), b"");
        drop(stream);
        assert_eq!(server.stop().failed, 1);
    }
}

#[test]
fn clients_cut_off_in_the_middle_of_a_line_leave_nothing_behind() {
    let server = Proxied::start(ServerConfig::default());
    for round in 0..20 {
        let mut streams: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"whole\nhal").unwrap();
        }
        for stream in &mut streams {
            assert_eq!(read_exactly(stream, 6), b"WHOLE\n");
        }
        server.proxy.cut(End::BOTH[round % 2]);
    }
    eventually("the end of the proxied", || {
        server.proxy.set(|_| ());
        server.proxy.counts().open == 0
    });
    let direct = patient(TcpStream::connect(server.server.address).unwrap());
    shout(&direct);
    drop(direct);
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.lines), (101, 101));
    assert_eq!((stats.failed, stats.open, stats.forced), (100, 0, 0));
}

/// Its answers pile up behind a way that has stalled: it is held back, then it gives the client up, alone.
#[test]
fn a_way_that_stalls_is_a_peer_that_does_not_read() {
    let server = Proxied::start(ServerConfig {
        write_stall_timeout: ms(100),
        ..ServerConfig::default()
    });
    server.proxy.set(|it| it.to_client.stalled = true);
    let mut stream = server.connect();
    let line = [&[b'a'; 4095][..], b"\n"].concat();
    let lines = line.repeat(16);
    let writing = std::thread::spawn(move || {
        loop {
            if let Err(error) = stream.write_all(&lines) {
                return error.kind();
            }
        }
    });
    eventually("the end at the server", || {
        server.proxy.counts().given_up == 1
    });
    // Its reset was held back, too.
    assert!(!writing.is_finished());
    server.proxy.heal();
    assert!(matches!(
        writing.join().unwrap(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ));
    assert_eq!(server.stop().failed, 1);
}

#[test]
fn a_drain_waits_for_answers_on_a_late_way_and_they_all_arrive() {
    let server = Proxied::start(ServerConfig::default());
    server
        .proxy
        .set(|it| it.both_ways(|way| way.latency = ms(20)));
    let mut streams: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for stream in &mut streams {
        shout(stream);
        stream.write_all(b"last\nun").unwrap();
    }
    eventually("the last lines at the server", || {
        server.proxy.counts().to_server == 10 * (6 + 7)
    });
    server.server.stopper.stop();
    for mut stream in streams {
        stream.write_all(b"finished\n").unwrap();
        assert_eq!(read_to_the_end(&mut stream), b"LAST\nUNFINISHED\n");
    }
    let stats = server.stop();
    assert_eq!((stats.lines, stats.failed, stats.forced), (30, 0, 0));
}
