//! A loop that stands still for five seconds: what came meanwhile is told, and what is here is late for nobody. And a
//! program that pulls nothing, for it is in a call: what does not need it goes on.

use super::*;
use crate::config::Peek;
use crate::event::RequestId;

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

/// A connection for one request, whose peer has spoken first and said more than the program has pulled: what it said
/// last is not read, and so the request is not written. It has 50 ms.
fn held_back() -> (Bench, UpstreamId, SimSocket, RequestId) {
    let mut config = Config {
        peek: Peek::Always,
        ..Config::default()
    };
    let text = "what is new?".repeat(5).split_off(7);
    let news = format!(">1\r\n$53\r\n{text}\r\n");
    let limits = &mut config.limits;
    (limits.read_bytes, limits.unpulled_bytes_max) = (news.len(), news.len());
    let mut bench = Bench::new(config);
    let upstream = Upstream::new(bench.at.to_string()).framing(Framing::resp3());
    let upstream = upstream.one_request_per_connection();
    let upstream = bench.engine.core.add(upstream).unwrap();
    let request = request(&mut bench, upstream, ms(50));
    bench.stall(ms(1));
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    let twice = news.repeat(2);
    let written = bench.peer.write(&socket, twice.as_bytes());
    assert_eq!(written.unwrap(), twice.len());
    bench.stall(ms(1));
    (bench, upstream, socket, request)
}

fn request(bench: &mut Bench, upstream: UpstreamId, time: Duration) -> RequestId {
    let deadline = |now: Time, _: &_, _: &_| now.after(time);
    let core = &mut bench.engine.core;
    core.request(upstream, b"PING\r\n", 0, deadline).unwrap()
}

/// Waits for it as a call does: nothing is pulled meanwhile.
fn fails(bench: &mut Bench, request: RequestId) {
    let error = bench.engine.wait_for(request).unwrap_err();
    assert_eq!(error.source, Source::Deadline);
    bench.engine.check();
}

/// The look before the write found what is not read, and was made again in each turn; where time stands still between
/// two turns, for ever.
#[test]
fn in_a_call_a_request_behind_what_is_not_read_waits_without_spinning() {
    let (mut bench, _, _, request) = held_back();
    fails(&mut bench, request);
}

/// It was let go with its only request, whose time was over; but it ended only when the program pulled at last.
#[test]
fn a_connection_that_is_let_go_within_a_call_ends_though_nothing_is_pulled() {
    let (mut bench, upstream, socket, first) = held_back();
    let lingering = |bench: &Bench| {
        bench
            .engine
            .core
            .upstream_stats(upstream)
            .unwrap()
            .lingering
    };
    fails(&mut bench, first);
    assert_eq!(lingering(&bench), 1);
    let second = request(&mut bench, upstream, ms(50));
    fails(&mut bench, second);
    let end = bench.peer.read(&socket, &mut [0; 8]);
    assert!(matches!(end, Ok(0)), "the peer is told: {end:?}");
    let third = request(&mut bench, upstream, Timeouts::default().linger);
    fails(&mut bench, third);
    assert_eq!(lingering(&bench), 0, "no longer than it may");
    let told = bench.events(ms(1));
    assert!(matches!(told[..], [Event::Push { .. }]), "{told:?}");
    assert_eq!(bench.events(STEP), []);
    assert_eq!(bench.engine.core.connections(), 0);
}
