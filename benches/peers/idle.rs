//! 8,000 open connections on which nothing happens: bytes of user memory each. Counted exactly (what was asked of the
//! allocator and not given back), so one round tells it.

use futures_util::StreamExt;
use taut::{Client, Event, Framing, Upstream};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::allocation::live_bytes;
use crate::clients::{runtime, taut_config};
use crate::machine;
use crate::options::Options;
use crate::report::{Figures, asked, line, title};

const CONNECTIONS: u64 = 8_000;
const BUFFER_BYTES: usize = 4 << 10;

pub(crate) fn measure(options: &Options) {
    let count = options.effort.amount(CONNECTIONS);
    title(&format!("idle: {count} open connections"));
    let each = |measured: fn(&str, u64) -> isize| {
        let echo = machine::echo();
        let mut figures = Figures::default();
        figures.push(measured(&echo.address, count) as f64 / count as f64);
        figures
    };
    asked(
        "taut, raw connections",
        "bytes each",
        &each(raw),
        0.0,
        1024.0,
    );
    asked(
        "taut, an upstream's connections",
        "bytes each",
        &each(upstream),
        0.0,
        1024.0,
    );
    let tokio = [
        ("tokio, a task each", each(task)),
        ("tokio, with a buffer of 4 KiB", each(buffered)),
        ("tokio, with a codec", each(codec)),
    ];
    for (name, figures) in &tokio {
        line(name, "bytes each", figures);
    }
}

fn raw(address: &str, count: u64) -> isize {
    let mut client = Client::new(taut_config()).unwrap();
    let before = live_bytes();
    let (mut asked, mut standing) = (0, 0);
    while standing < count {
        while asked < count.min(standing + 100) {
            client.connect(address, Framing::len32()).unwrap();
            asked += 1;
        }
        client.turn(None).unwrap();
        while let Some(event) = client.next_event() {
            assert!(matches!(event, Event::Connected { .. }), "{event:?}");
            standing += 1;
        }
    }
    live_bytes() - before
}

fn upstream(address: &str, count: u64) -> isize {
    let mut client = Client::new(taut_config()).unwrap();
    let before = live_bytes();
    let shape = Upstream::new(address).framing(Framing::len32());
    let upstream = client.add(shape.connections(count as usize)).unwrap();
    while client.upstream_stats(upstream).unwrap().open < count as usize {
        client.turn(None).unwrap();
        assert_eq!(client.next_event(), None);
    }
    live_bytes() - before
}

fn task(address: &str, count: u64) -> isize {
    in_tasks(address, count, |stream| async move {
        let _ = stream.readable().await;
    })
}

fn buffered(address: &str, count: u64) -> isize {
    in_tasks(address, count, |mut stream| async move {
        let mut buffer = vec![0; BUFFER_BYTES];
        let _ = stream.read(&mut buffer).await;
    })
}

fn codec(address: &str, count: u64) -> isize {
    in_tasks(address, count, |stream| async move {
        let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
        let _ = framed.next().await;
    })
}

fn in_tasks<F>(address: &str, count: u64, wait: impl Fn(TcpStream) -> F) -> isize
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime();
    runtime.block_on(async {
        let before = live_bytes();
        for _ in 0..count {
            let stream = TcpStream::connect(address).await.unwrap();
            tokio::spawn(wait(stream));
        }
        // Each has been polled, and waits.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        live_bytes() - before
    })
}
