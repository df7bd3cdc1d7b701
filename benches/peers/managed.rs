//! What a managed upstream costs beside a raw connection: the same server, the same bytes, one connection each. A request
//! has a deadline, a name, a place in the order of replies and one outcome; a message on a raw connection has none.

use crate::clients::{Load, Taut, TautRaw, taut_config};
use crate::machine::{self, thread_cpu};
use crate::options::Options;
use crate::report::{Figures, asked, line, title};

/// A pipeline's length, and requests a round: some 15 ms of CPU. The difference is small beside what the kernel takes,
/// so rounds are short and many: what disturbs one of a pair disturbs the other, or the pair is none of the middle ones.
const SHAPES: [(usize, u64); 2] = [(1, 4_000), (16, 40_000)];
const ROUNDS_TIMES: usize = 11;

/// What was asked: nanoseconds of CPU a request more than on the raw connection.
const MORE_NS_MAX: f64 = 150.0;

pub(crate) fn measure(options: &Options) {
    let echo = machine::echo();
    let rounds = options.effort.rounds * ROUNDS_TIMES;
    for (pipeline, requests) in SHAPES {
        let requests = options.effort.amount(requests);
        let at = &echo.address;
        let mut subjects: [(&str, Box<dyn Load>); 2] = [
            (
                "a raw connection",
                Box::new(TautRaw::new(at, 1, pipeline, taut_config())),
            ),
            (
                "a managed upstream",
                Box::new(Taut::new(at, 1, pipeline, taut_config())),
            ),
        ];
        let mut cpu = [Figures::default(), Figures::default()];
        for (_, subject) in &mut subjects {
            subject.run(requests / 5);
        }
        for round in 0..rounds {
            for turn in 0..subjects.len() {
                let which = (turn + round) % subjects.len();
                let used = thread_cpu();
                subjects[which].1.run(requests);
                let used = thread_cpu() - used;
                cpu[which].push(used.as_secs_f64() * 1e9 / requests as f64);
            }
        }
        title(&format!(
            "managed: 1 connection, pipeline {pipeline}, {requests} requests a round, {rounds} rounds"
        ));
        for (which, (name, _)) in subjects.iter().enumerate() {
            line(name, "CPU ns/request", &cpu[which]);
        }
        line("managed / raw", "ratio", &cpu[1].over(&cpu[0]));
        let more = cpu[1].less(&cpu[0]);
        asked("managed - raw", "CPU ns/request", &more, 0.0, MORE_NS_MAX);
    }
}
