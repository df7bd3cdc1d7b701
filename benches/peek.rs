//! What the look before a write costs: round trips with and without it, and the system call beside them.
//!
//! One iteration is one round trip of 64 bytes with the bundled echo server in another thread, so the difference of the
//! first two is the whole price; it is small beside what a machine's scheduler adds. The look alone is the third.

use std::hint::black_box;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use taut::server::{Server, ServerConfig, Service};
use taut::{Client, Config, Deadline, Framing, Peek, Upstream, UpstreamId};

const MESSAGE_BYTES: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(5);

fn connected(address: SocketAddr, peek: Peek) -> (Client, UpstreamId) {
    let config = Config {
        peek,
        // Without sleeping: a wake-up would hide what is measured.
        spin: Duration::from_millis(5),
        ..Config::default()
    };
    let added = Client::new(config).and_then(|mut client| {
        let shape = Upstream::new(address.to_string()).framing(Framing::fixed(MESSAGE_BYTES));
        let upstream = client.add(shape)?;
        Ok((client, upstream))
    });
    match added {
        Ok(added) => added,
        Err(error) => panic!("no client: {error}"),
    }
}

fn look(criterion: &mut Criterion) {
    let config = ServerConfig {
        service: Service::Echo,
        idle_timeout: Duration::from_secs(3600),
        ..ServerConfig::default()
    };
    let mut server = match Server::bind(([127, 0, 0, 1], 0).into(), config) {
        Ok(server) => server,
        Err(error) => panic!("no server: {error}"),
    };
    let (address, stopper) = (server.local_addr(), server.stopper());
    let thread = std::thread::spawn(move || server.run());

    let mut group = criterion.benchmark_group("peek");
    for (name, peek) in [("always", Peek::Always), ("never", Peek::Never)] {
        let (mut client, upstream) = connected(address, peek);
        let message = [b'x'; MESSAGE_BYTES];
        group.bench_function(format!("round_trip_{name}"), |bencher| {
            bencher.iter(|| {
                let reply = client.call(upstream, &message, Deadline::after(TIMEOUT));
                assert!(reply.is_ok_and(|frame| frame.len() == MESSAGE_BYTES));
            });
        });
    }
    let (stream, _peer) = quiet();
    group.bench_function("system_call", |bencher| {
        bencher.iter(|| black_box(stream.peek(&mut [0])).is_err());
    });
    group.finish();
    stopper.stop();
    drop(thread.join());
}

/// A connection on which nothing has come: the look finds nothing.
fn quiet() -> (TcpStream, TcpStream) {
    let pair = TcpListener::bind("127.0.0.1:0").and_then(|listener| {
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nonblocking(true)?;
        Ok((stream, listener.accept()?.0))
    });
    match pair {
        Ok(pair) => pair,
        Err(error) => panic!("no connection: {error}"),
    }
}

criterion_group!(benches, look);
criterion_main!(benches);
