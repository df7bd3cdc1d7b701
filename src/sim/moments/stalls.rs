//! A loop that stands still for five seconds: what came meanwhile is told, and what is here is late for nobody.

use super::*;

/// As long as the longest of the timeouts that run here, and longer than every deadline.
const STALL: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 8;
const DEPTH: usize = 32;

#[test]
fn after_a_stall_of_five_seconds_nothing_whose_answer_is_here_has_timed_out() {
    let mut bench = Bench::new(Config::default());
    let target = bench.at.to_string();
    let upstream = Upstream::new(target.clone())
        .connections(CONNECTIONS)
        .depth(DEPTH);
    let upstream = bench.engine.core.add(upstream).unwrap();
    let core = &mut bench.engine.core;
    core.connect(&target, &Framing::line()).unwrap();
    let told = bench.events(ms(1));
    assert!(
        matches!(told[..], [Event::Connected { .. }]),
        "the raw connection stands: {told:?}"
    );
    // In the order in which they were made.
    let mut sockets: Vec<_> = (0..=CONNECTIONS)
        .map(|_| bench.peer.accept(&bench.listener).unwrap().0)
        .collect();
    let raw = sockets.pop().unwrap();

    // Requests of three seconds, half a line on the raw connection, and another connect that is under way.
    for tag in 0..(CONNECTIONS * DEPTH) as u64 {
        bench.ask(upstream, tag, Duration::from_secs(3));
    }
    bench.peer.write(&raw, b"half a ").unwrap();
    assert_eq!(bench.events(ms(1)), []);
    let core = &mut bench.engine.core;
    core.connect(&target, &Framing::line()).unwrap();
    for socket in &sockets {
        let answers = b"pong\n".repeat(DEPTH);
        assert_eq!(bench.peer.write(socket, &answers).unwrap(), answers.len());
    }
    bench.peer.write(&raw, b"line\n").unwrap();
    bench.stall(STALL);

    let (mut replies, mut frames, mut connected) = (0, 0, 0);
    for event in bench.events(ms(1)) {
        match event {
            Event::Reply { .. } => replies += 1,
            Event::Frame { .. } => frames += 1,
            Event::Connected { .. } => connected += 1,
            other => panic!("after the stall: {other:?}"),
        }
    }
    assert_eq!(
        (replies, frames, connected),
        (CONNECTIONS * DEPTH, 1, 1),
        "replies, frames, connections"
    );
}

/// Of a drain whose time had been over for a second when the loop learned of it, only what one turn reads was told.
#[test]
fn a_drain_whose_time_ran_out_while_the_loop_stood_still_tells_all_answers_that_are_here() {
    let mut config = Config::default();
    config.limits.turn_frames_max = 1;
    let mut bench = Bench::new(config);
    let (upstream, socket) = bench.upstream(DEPTH);
    for tag in 0..DEPTH as u64 {
        bench.ask(upstream, tag, Duration::from_secs(60));
    }
    assert_eq!(bench.events(ms(1)), []);
    let until = bench.world.now().after(ms(100));
    bench.engine.core.drain(|_, _, _| until);
    let answers = b"pong\n".repeat(DEPTH);
    assert_eq!(bench.peer.write(&socket, &answers).unwrap(), answers.len());
    bench.stall(STALL);

    let told = bench.events(ms(1));
    let is_reply = |event: &&Event| matches!(event, Event::Reply { .. });
    let replies = told.iter().filter(is_reply).count();
    assert_eq!(replies, DEPTH, "{told:?}");
}
