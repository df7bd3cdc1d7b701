//! The bundled server, spoken to by plain std sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::*;
use taut::server::{Server, ServerConfig, Service};

fn shout() -> ServerConfig {
    ServerConfig {
        service: Service::Shout,
        ..ServerConfig::default()
    }
}

/// All that still comes until the end of the stream.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn each_line_is_answered_uppercased_and_the_answers_outlive_the_callers_fin() {
    let server = Running::start(shout());
    let mut stream = server.connect();
    stream
        .write_all(b"hello\r\nworld\n\n\xc3\xa9t\xc3\xa9 \r x\n")
        .unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), b"HELLO\nWORLD\n\n\xc3\xa9T\xc3\xa9 \r X\n");
    let stats = server.stop();
    assert_eq!((stats.accepted, stats.lines, stats.failed), (1, 4, 0));
}

#[test]
fn an_unfinished_line_is_not_answered_but_those_before_it_are() {
    let server = Running::start(shout());
    let mut stream = server.connect();
    stream.write_all(b"whole\nhal").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), b"WHOLE\n");
    assert_eq!(server.stop().failed, 1, "the torn line is counted");
}

#[test]
fn echo_returns_more_bytes_than_any_buffer_holds_to_a_peer_that_reads_late() {
    let server = Running::start(ServerConfig {
        service: Service::Echo,
        ..ServerConfig::default()
    });
    let mut stream = server.connect();
    let sent: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    writing.join().unwrap();
    assert!(
        all == expected,
        "{} of {} bytes came back",
        all.len(),
        expected.len()
    );
    assert_eq!(server.stop().bytes_sent, 12_000_000);
}

#[test]
fn a_peer_that_never_reads_is_held_back_and_then_given_up() {
    let config = ServerConfig {
        service: Service::Echo,
        write_stall_timeout: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let server = Running::start(config);
    let mut stream = server.connect();
    let chunk = [b'x'; 64 << 10];
    let error = loop {
        if let Err(error) = stream.write_all(&chunk) {
            break error;
        }
    };
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
    assert_eq!(server.stop().failed, 1);
}

#[test]
fn a_sink_counts_lines_and_keeps_them() {
    let mut server = Server::bind(
        ([127, 0, 0, 1], 0).into(),
        ServerConfig {
            service: Service::Sink,
            ..shout()
        },
    )
    .unwrap();
    let path = std::env::temp_dir().join(format!("taut-sink-{}", std::process::id()));
    server.set_dump(Box::new(std::io::BufWriter::new(
        std::fs::File::create(&path).unwrap(),
    )));
    let mut stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.write_all(b"one\r\ntwo\nthree\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while server.stats().lines < 3 || server.stats().open > 0 {
        assert!(Instant::now() < deadline, "{:?}", server.stats());
        server.turn(Some(Duration::from_millis(20))).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_line_at_the_limit_passes_and_one_byte_more_ends_the_connection() {
    let server = Running::start(ServerConfig {
        line_bytes_max: 8,
        ..shout()
    });
    let mut stream = server.connect();
    stream.write_all(b"12345678\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(stream), b"12345678\n");
    let mut stream = server.connect();
    stream.write_all(b"123456789").unwrap();
    let mut all = Vec::new();
    // The server closes with our bytes read: a clean end; a reset is as good.
    let _ = stream.read_to_end(&mut all);
    assert!(all.is_empty());
    assert_eq!(server.stop().failed, 1);
}

#[test]
fn after_its_read_limit_a_connections_last_whole_line_is_answered_and_it_is_closed() {
    let server = Running::start(ServerConfig {
        read_limit_bytes: Some(10),
        ..shout()
    });
    let mut stream = server.connect();
    stream.write_all(b"abc\ndef\nghi\njkl\n").unwrap();
    assert_eq!(rest(stream), b"ABC\nDEF\n");
    server.stop();
}

#[test]
fn an_idle_connection_is_closed_and_so_is_one_whose_line_does_not_go_on() {
    let server = Running::start(ServerConfig {
        idle_timeout: Duration::from_millis(50),
        ..shout()
    });
    let idle = server.connect();
    let mut stalled = server.connect();
    stalled.write_all(b"hal").unwrap();
    for mut stream in [idle, stalled] {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        assert!(all.is_empty());
    }
    assert_eq!(server.stop().failed, 2);
}

#[test]
fn a_connection_beyond_the_limit_is_closed_at_once_and_the_others_stay() {
    let server = Running::start(ServerConfig {
        connections_max: 2,
        ..shout()
    });
    let kept = [server.connect(), server.connect()];
    for mut stream in &kept {
        stream.write_all(b"here\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line, "HERE\n");
    }
    assert_eq!(rest(server.connect()), b"");
    drop(kept);
    assert_eq!(server.stop().refused, 1);
}

#[test]
fn a_drain_closes_idle_connections_and_waits_for_unfinished_lines() {
    let server = Running::start(shout());
    let idle = server.connect();
    let mut busy = server.connect();
    busy.write_all(b"first\nunfin").unwrap();
    let mut reader = BufReader::new(busy.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    server.stopper.stop();
    assert_eq!(rest(idle), b"", "the idle one is closed at once");
    assert!(
        TcpStream::connect(server.address).is_err(),
        "nobody listens any more"
    );
    busy.write_all(b"ished\n").unwrap();
    line.clear();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "UNFINISHED\n");
    line.clear();
    assert_eq!(
        reader.read_line(&mut line).unwrap(),
        0,
        "and then it is closed too"
    );
    drop((busy, reader));
    let stats = server.stop();
    assert_eq!((stats.forced, stats.lines), (0, 2));
}

/// No timer of the server comes to its help within the test's patience.
#[test]
fn a_drain_closes_a_connection_as_soon_as_its_last_answer_has_left() {
    let never = 60 * PATIENCE;
    let server = Running::start(ServerConfig {
        idle_timeout: never,
        write_stall_timeout: never,
        drain_timeout: never,
        ..shout()
    });
    let mut busy = server.connect();
    busy.write_all(b"first\nunfin").unwrap();
    let mut line = String::new();
    BufReader::new(&busy).read_line(&mut line).unwrap();
    server.stopper.stop();
    busy.write_all(b"ished\n").unwrap();
    assert_eq!(rest(busy), b"UNFINISHED\n");
    assert_eq!(server.stop().forced, 0);
}

#[test]
fn a_drain_resets_what_is_left_when_its_time_is_over() {
    let server = Running::start(ServerConfig {
        drain_timeout: Duration::from_millis(50),
        ..shout()
    });
    let mut stuck = server.connect();
    stuck.write_all(b"first\nnever finish").unwrap();
    let mut line = String::new();
    BufReader::new(&stuck).read_line(&mut line).unwrap();
    let stats = server.stop();
    assert_eq!(stats.forced, 1);
    assert_eq!(
        stuck.read(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_setting_that_cannot_be_is_refused() {
    let error = Server::bind(
        ([127, 0, 0, 1], 0).into(),
        ServerConfig {
            line_bytes_max: 0,
            ..shout()
        },
    )
    .unwrap_err();
    assert!(error.to_string().contains("line_bytes_max"), "{error}");
    let server = Running::start(shout());
    let taken = Server::bind(server.address, shout()).unwrap_err();
    assert_eq!(taken.errno(), Some(98), "EADDRINUSE: {taken}");
    server.stop();
}
