//! Socket options as a program sees them: they hold on real connections, and a refused one is an error by name.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use taut::{Client, Config, Event, Framing, SocketOptions, Source};

fn outcome(options: SocketOptions, target: &str) -> Event {
    let mut client = Client::new(Config {
        socket: options,
        ..Config::default()
    })
    .unwrap();
    client.connect(target, Framing::line()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        client.turn(Some(Duration::from_millis(100))).unwrap();
        if let Some(event) = client.next_event() {
            return event;
        }
    }
    panic!("nothing happened for 10 s");
}

#[test]
fn a_connection_comes_from_the_address_it_was_bound_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = Some(([127, 0, 0, 3], 0).into());
    let target = listener.local_addr().unwrap().to_string();
    let event = outcome(
        SocketOptions {
            bind,
            ..SocketOptions::default()
        },
        &target,
    );
    assert!(matches!(event, Event::Connected { .. }), "{event:?}");
    assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.3");
}

#[test]
fn a_refused_option_ends_the_connection_with_its_name() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let bind = Some(([192, 0, 2, 1], 0).into());
    match outcome(
        SocketOptions {
            bind,
            ..SocketOptions::default()
        },
        &target,
    ) {
        Event::Closed {
            error: Some(error),
            written: 0,
            ..
        } => {
            assert!(
                matches!(error.source, Source::Option { name: "bind", .. }),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
}
