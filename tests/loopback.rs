//! The engine over loopback against plain std servers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use taut::{Client, Config, Deadline, Event, Framing, Upstream};

#[test]
fn a_line_goes_out_and_its_echo_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(n) => stream.write_all(&buffer[..n]).unwrap(),
            }
        }
    });
    let mut client = Client::new(Config::default()).unwrap();
    let upstream = client.add(Upstream::new(address)).unwrap();
    let mut n = 0;
    client
        .request(
            upstream,
            b"hello\n",
            Deadline::after(Duration::from_secs(5)),
        )
        .unwrap();
    while n < 1000 {
        client.turn(None).unwrap();
        while let Some(event) = client.next_event() {
            match event {
                Event::Reply { frame, .. } => {
                    assert_eq!(client.bytes(&frame), b"hello");
                    n += 1;
                    client
                        .request(upstream, b"hello\n", Deadline::Standard)
                        .unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
    drop(client);
    server.join().unwrap();
    let _ = Framing::line();
}
