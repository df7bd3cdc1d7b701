//! 50 connections, pipeline 1 and 16: what a request costs the client's thread, and how many a second.

use std::time::Instant;

use crate::clients::{Epoll, Load, Taut, TautRaw, Tokio, taut_config};
use crate::machine::{self, thread_cpu};
use crate::options::{Alone, Options};
use crate::report::{Figures, line, ratio, title};

const CONNECTIONS: usize = 50;

/// A pipeline's length, requests a round, and what was asked: the ratio to the hand-written loop.
const SHAPES: [(usize, u64, f64); 2] = [(1, 100_000, 1.10), (16, 800_000, 1.3)];

pub(crate) fn measure(options: &Options) {
    let echo = machine::echo();
    for (pipeline, requests, at_most) in SHAPES {
        let requests = options.effort.amount(requests);
        let at = &echo.address;
        let mut subjects: Vec<(&str, Box<dyn Load>)> = vec![
            ("raw epoll", Box::new(Epoll::new(at, CONNECTIONS, pipeline))),
            (
                "tokio, codec, timeout",
                Box::new(Tokio::new(at, CONNECTIONS, pipeline)),
            ),
            (
                "taut",
                Box::new(Taut::new(at, CONNECTIONS, pipeline, taut_config())),
            ),
        ];
        let mut cpu = vec![Figures::default(); subjects.len()];
        let mut rate = cpu.clone();
        for (_, subject) in &mut subjects {
            subject.run(requests / 5);
        }
        for round in 0..options.effort.rounds {
            for turn in 0..subjects.len() {
                let which = (turn + round) % subjects.len();
                let (used, started) = (thread_cpu(), Instant::now());
                subjects[which].1.run(requests);
                let (used, elapsed) = (thread_cpu() - used, started.elapsed());
                cpu[which].push(used.as_secs_f64() * 1e6 / requests as f64);
                rate[which].push(requests as f64 / elapsed.as_secs_f64() / 1e3);
            }
        }
        title(&format!(
            "load: {CONNECTIONS} connections, pipeline {pipeline}, {requests} requests a round, {} rounds",
            options.effort.rounds
        ));
        for (which, (name, _)) in subjects.iter().enumerate() {
            line(name, "CPU us/request", &cpu[which]);
            line("", "1,000/s", &rate[which]);
        }
        ratio("taut / raw epoll: CPU", &cpu[2], &cpu[0], at_most);
        ratio("taut / tokio with codec: CPU", &cpu[2], &cpu[1], 1.0);
    }
}

/// One client alone, so that strace and callgrind see nothing else.
pub(crate) fn alone(options: &Alone) {
    machine::pin(0);
    let Alone {
        client,
        connect: at,
        requests,
        pipeline,
        connections,
    } = options;
    let mut config = taut_config();
    match client.as_str() {
        "taut-never" => config.peek = taut::Peek::Never,
        "taut-spin" => config.spin = std::time::Duration::from_millis(5),
        _ => {}
    }
    let mut subject: Box<dyn Load> = match client.as_str() {
        "epoll" => Box::new(Epoll::new(at, *connections, *pipeline)),
        "tokio" => Box::new(Tokio::new(at, *connections, *pipeline)),
        "taut" | "taut-never" | "taut-spin" => {
            Box::new(Taut::new(at, *connections, *pipeline, config))
        }
        "taut-raw" => Box::new(TautRaw::new(at, *connections, *pipeline, config)),
        other => panic!("no such client: {other}"),
    };
    let (used, started) = (thread_cpu(), Instant::now());
    subject.run(*requests);
    println!(
        "{client}: {requests} requests, {:.3} us CPU each, {:.0} a second",
        (thread_cpu() - used).as_secs_f64() * 1e6 / *requests as f64,
        *requests as f64 / started.elapsed().as_secs_f64()
    );
}
