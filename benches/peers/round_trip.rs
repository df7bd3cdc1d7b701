//! One request at a time on one connection: what a program waits for an answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use taut::{Client, Config, Deadline, Event, Framing, Upstream, UpstreamId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::clients::{HOUR, taut_config};
use crate::machine;
use crate::options::Options;
use crate::report::{Figures, line, percentile, ratio, title};
use crate::{MESSAGE_BYTES, message};

/// How long an answer may take; never reached.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than any answer takes: the loop never sleeps.
const SPIN: Duration = Duration::from_millis(5);

/// Makes so many round trips and tells how long each took.
trait RoundTrips {
    fn run(&mut self, count: u64, took: &mut dyn FnMut(Duration));
}

struct Blocking(TcpStream);

impl RoundTrips for Blocking {
    fn run(&mut self, count: u64, took: &mut dyn FnMut(Duration)) {
        let (message, mut answer) = (message(), [0; MESSAGE_BYTES]);
        for _ in 0..count {
            let started = Instant::now();
            self.0.write_all(&message).unwrap();
            self.0.read_exact(&mut answer).unwrap();
            took(started.elapsed());
        }
    }
}

struct Spinning(TcpStream);

impl RoundTrips for Spinning {
    fn run(&mut self, count: u64, took: &mut dyn FnMut(Duration)) {
        let (message, mut answer) = (message(), [0; MESSAGE_BYTES]);
        for _ in 0..count {
            let started = Instant::now();
            assert_eq!(self.0.write(&message).unwrap(), MESSAGE_BYTES);
            let mut filled = 0;
            while filled < MESSAGE_BYTES {
                match self.0.read(&mut answer[filled..]) {
                    Ok(n) => filled += n,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
                }
            }
            took(started.elapsed());
        }
    }
}

struct Tokio {
    runtime: Runtime,
    stream: tokio::net::TcpStream,
}

impl RoundTrips for Tokio {
    fn run(&mut self, count: u64, took: &mut dyn FnMut(Duration)) {
        let stream = &mut self.stream;
        self.runtime.block_on(async {
            let (message, mut answer) = (message(), [0; MESSAGE_BYTES]);
            for _ in 0..count {
                let started = Instant::now();
                let round_trip = async {
                    stream.write_all(&message).await?;
                    stream.read_exact(&mut answer).await
                };
                tokio::time::timeout(TIMEOUT, round_trip)
                    .await
                    .unwrap()
                    .unwrap();
                took(started.elapsed());
            }
        });
    }
}

struct Taut {
    client: Client,
    upstream: UpstreamId,
}

impl Taut {
    fn new(address: &str, config: Config) -> Taut {
        let mut client = Client::new(config).unwrap();
        let upstream = client
            .add(Upstream::new(address).framing(Framing::len32()))
            .unwrap();
        Taut { client, upstream }
    }
}

impl RoundTrips for Taut {
    fn run(&mut self, count: u64, took: &mut dyn FnMut(Duration)) {
        let message = message();
        for _ in 0..count {
            let started = Instant::now();
            self.client
                .request(self.upstream, &message, Deadline::after(TIMEOUT))
                .unwrap();
            loop {
                match self.client.next_event() {
                    None => self.client.turn(None).unwrap(),
                    Some(Event::Reply { frame, .. }) => {
                        assert_eq!(self.client.bytes(&frame).len(), MESSAGE_BYTES - 4);
                        break;
                    }
                    Some(other) => panic!("{other:?}"),
                }
            }
            took(started.elapsed());
        }
    }
}

fn stream(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(HOUR)).unwrap();
    stream
}

pub(crate) fn measure(options: &Options) {
    let echo = machine::echo();
    let at = &echo.address;
    let spinning = stream(at);
    spinning.set_nonblocking(true).unwrap();
    let runtime = crate::clients::runtime();
    let tokio_stream = stream(at);
    tokio_stream.set_nonblocking(true).unwrap();
    let tokio_stream = {
        let _entered = runtime.enter();
        tokio::net::TcpStream::from_std(tokio_stream).unwrap()
    };
    let spin = |config: Config| Config {
        spin: SPIN,
        ..config
    };
    let never = |config: Config| Config {
        peek: taut::Peek::Never,
        ..config
    };
    let tokio_subject = Tokio {
        runtime,
        stream: tokio_stream,
    };
    let mut subjects: Vec<(&str, Box<dyn RoundTrips>)> = vec![
        ("std, blocking", Box::new(Blocking(stream(at)))),
        ("tokio, timeout a request", Box::new(tokio_subject)),
        ("taut", Box::new(Taut::new(at, taut_config()))),
        ("spinning recv", Box::new(Spinning(spinning))),
        ("taut, spin", Box::new(Taut::new(at, spin(taut_config())))),
        (
            "taut, spin, peek never",
            Box::new(Taut::new(at, never(spin(taut_config())))),
        ),
    ];
    let count = options.effort.amount(10_000);
    let mut p50 = vec![Figures::default(); subjects.len()];
    let mut p99 = p50.clone();
    let mut sorted = Vec::with_capacity(count as usize);
    for (_, subject) in &mut subjects {
        subject.run(count / 5, &mut |_| {});
    }
    for round in 0..options.effort.rounds {
        for turn in 0..subjects.len() {
            let which = (turn + round) % subjects.len();
            sorted.clear();
            subjects[which].1.run(count, &mut |took| {
                sorted.push(took.as_nanos() as f64 / 1e3);
            });
            sorted.sort_by(f64::total_cmp);
            p50[which].push(percentile(&sorted, 50.0));
            p99[which].push(percentile(&sorted, 99.0));
        }
    }
    title(&format!(
        "round trip: 1 connection, {MESSAGE_BYTES} bytes, {count} requests a round, {} rounds",
        options.effort.rounds
    ));
    for (which, (name, _)) in subjects.iter().enumerate() {
        line(name, "p50, us", &p50[which]);
        line("", "p99, us", &p99[which]);
    }
    ratio("taut, spin / spinning recv: p50", &p50[4], &p50[3], 1.05);
    ratio("taut / tokio: p50", &p50[2], &p50[1], 1.03);
}
