//! Connections that are made, shake hands, and end in peace on both sides, eight at a time: how many a second, and what
//! each costs the client's thread; in full and resumed, which each subject checks.

use std::time::Instant;

use taut::TlsVersion;

use crate::machine::thread_cpu;
use crate::options::Options;
use crate::peer::{Peer, Secure};
use crate::report::{Figures, line, title};
use crate::subjects::{Handshakes, TautHandshakes, TokioHandshakes};
use crate::table::Table;

/// The version, whether they are resumed, and connections a round.
const SHAPES: [(TlsVersion, bool, u64); 4] = [
    (TlsVersion::Tls13, false, 400),
    (TlsVersion::Tls13, true, 400),
    (TlsVersion::Tls12, false, 200),
    (TlsVersion::Tls12, true, 200),
];

const NAMES: [&str; 2] = ["taut", "tokio-rustls, timeout"];

pub(crate) fn measure(options: &Options, table: &mut Table) {
    let secure = Secure::start();
    for shape in SHAPES {
        measure_one(&secure.peer(), shape, options, table);
    }
}

fn measure_one(
    peer: &Peer,
    (version, resumes, connections): (TlsVersion, bool, u64),
    options: &Options,
    table: &mut Table,
) {
    let connections = options.effort.amount(connections);
    let mut subjects: [Box<dyn Handshakes>; 2] = [
        Box::new(TautHandshakes::new(peer, version, resumes)),
        Box::new(TokioHandshakes::new(peer, version, resumes)),
    ];
    let mut rate = [Figures::default(), Figures::default()];
    let mut cpu = rate.clone();
    for subject in &mut subjects {
        subject.run(connections / 5);
    }
    for round in 0..options.effort.rounds {
        for turn in 0..subjects.len() {
            let which = (turn + round) % subjects.len();
            let (used, started) = (thread_cpu(), Instant::now());
            subjects[which].run(connections);
            let (used, elapsed) = (thread_cpu() - used, started.elapsed());
            rate[which].push(connections as f64 / elapsed.as_secs_f64());
            cpu[which].push(used.as_secs_f64() * 1e6 / connections as f64);
        }
    }
    let kind = if resumes { "resumed" } else { "in full" };
    let shape = format!("handshakes, {} {kind}", version.name());
    title(&format!(
        "{shape}: {connections} connections a round, {} rounds",
        options.effort.rounds
    ));
    for (which, name) in NAMES.iter().enumerate() {
        line(name, "a second", &rate[which]);
        line("", "CPU us each", &cpu[which]);
    }
    table.at_least(&format!("{shape}: a second"), [&rate[0], &rate[1]]);
    table.at_most(&format!("{shape}: CPU each, us"), [&cpu[0], &cpu[1]]);
}
