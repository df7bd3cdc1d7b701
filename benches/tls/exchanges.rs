//! Requests of 64 bytes and of 16 KiB over 1 and 50 connections: the round trip, and what it costs the client's thread.

use taut::Peek;

use crate::machine::thread_cpu;
use crate::options::Options;
use crate::peer::{Peer, Secure};
use crate::report::{Figures, line, percentile, title};
use crate::subjects::{Exchange, Taut, Tokio, TokioCodec};
use crate::table::Table;

/// Bytes of a message, connections, and requests a round.
const SHAPES: [(usize, usize, u64); 4] = [
    (64, 1, 4_000),
    (64, 50, 30_000),
    (16 << 10, 1, 3_000),
    (16 << 10, 50, 8_000),
];

const NAMES: [&str; 3] = [
    "taut",
    "tokio-rustls, timeout",
    "tokio-rustls, codec, timeout",
];

/// The figures of one subject, one of each a round.
#[derive(Clone, Default)]
struct Measured {
    p50: Figures,
    p99: Figures,
    cpu: Figures,
}

pub(crate) fn measure(options: &Options, table: &mut Table) {
    let secure = Secure::start();
    for shape in SHAPES {
        measure_one(&secure.peer(), shape, options, table);
    }
}

fn measure_one(
    peer: &Peer,
    (bytes, connections, requests): (usize, usize, u64),
    options: &Options,
    table: &mut Table,
) {
    let requests = options.effort.amount(requests);
    let taut = Taut::new(peer, connections, bytes, Peek::Always);
    let tokio = Tokio::new(peer, connections, bytes);
    let cipher = taut.cipher().expect("a cipher was agreed on");
    let theirs = tokio.cipher().expect("a cipher was agreed on");
    assert_eq!(theirs.replace("TLS13", "TLS"), cipher, "not the same");
    let codec = TokioCodec::new(peer, connections, bytes);
    let mut subjects: [Box<dyn Exchange>; 3] = [Box::new(taut), Box::new(tokio), Box::new(codec)];
    let mut measured = vec![Measured::default(); subjects.len()];
    let mut took = Vec::with_capacity(requests as usize);
    for subject in &mut subjects {
        subject.run(requests / 5, &mut took);
    }
    for round in 0..options.effort.rounds {
        for turn in 0..subjects.len() {
            let which = (turn + round) % subjects.len();
            took.clear();
            let used = thread_cpu();
            subjects[which].run(requests, &mut took);
            let used = thread_cpu() - used;
            took.sort_by(f64::total_cmp);
            let measured = &mut measured[which];
            measured.p50.push(percentile(&took, 50.0));
            measured.p99.push(percentile(&took, 99.0));
            let cpu = used.as_secs_f64() * 1e6 / requests as f64;
            measured.cpu.push(cpu);
        }
    }
    let plural = if connections == 1 { "" } else { "s" };
    let shape = format!("{connections} connection{plural}, {bytes} bytes");
    title(&format!(
        "exchanges: {shape}, {requests} requests a round, {} rounds, {cipher}",
        options.effort.rounds
    ));
    for (name, measured) in NAMES.iter().zip(&measured) {
        line(name, "p50, us", &measured.p50);
        line("", "p99, us", &measured.p99);
        line("", "CPU us/request", &measured.cpu);
    }
    let [taut, tokio, codec] = &measured[..] else {
        unreachable!("three subjects")
    };
    let all = |of: fn(&Measured) -> &Figures| [of(taut), of(tokio), of(codec)];
    table.at_most(&format!("{shape}: round trip p50, us"), all(|it| &it.p50));
    table.told(&format!("{shape}: round trip p99, us"), all(|it| &it.p99));
    let what = format!("{shape}: CPU a request, us");
    table.at_most(&what, all(|it| &it.cpu));
}
