//! A process that is stopped (SIGSTOP, a laptop's lid, a paused container) and goes on: what came meanwhile is told, and
//! nothing that is here is called late. The loop stands still as a whole, in the midst of its wait.

use std::io::Write;
use std::time::Duration;

use taut::{Deadline, Event, Framing, Upstream};

use super::child;
use super::support::*;
use super::sys;

const CONNECTIONS: usize = 8;
const DEPTH: usize = 32;
const TIMEOUT: Duration = Duration::from_millis(1_500);
const STOPPED: Duration = Duration::from_millis(2_000);

/// Every timeout that could pass is shorter than the stop.
#[test]
fn child_that_is_stopped() {
    let Some(role) = child::role() else {
        return;
    };
    let (target, handles) = role.split_once(' ').unwrap();
    if handles == "handled" {
        // A handler makes the wait end with EINTR, before it has looked at anything.
        sys::handle(libc::SIGCONT, false);
    }
    let mut client = client_with(|it| {
        let timeouts = &mut it.timeouts;
        (timeouts.first_byte, timeouts.read_stall) = (TIMEOUT, TIMEOUT);
        (timeouts.write_stall, timeouts.idle) = (TIMEOUT, TIMEOUT);
        timeouts.connect = TIMEOUT;
    });
    let mut ledger = Ledger::default();
    let upstream = client
        .add(Upstream::new(target).connections(CONNECTIONS).depth(DEPTH))
        .unwrap();
    let raw = client.connect(target, Framing::line()).unwrap();
    until_connected(&mut client, raw);
    turn_until(&mut client, "the connections", |client| {
        client.upstream_stats(upstream).unwrap().open == CONNECTIONS
    });
    for n in 0..CONNECTIONS * DEPTH {
        let line = format!("{n:03}\n");
        ledger.request(
            &mut client,
            upstream,
            line.as_bytes(),
            Deadline::after(TIMEOUT),
        );
    }
    client.flush();
    eprintln!("asked");
    let mut raw_line = false;
    while ledger.open() > 0 || !raw_line {
        client.turn(None).unwrap();
        while let Some(event) = client.next_event() {
            match event {
                Event::Frame { frame, .. } => {
                    assert_eq!(client.bytes(&frame), b"and you");
                    raw_line = true;
                }
                Event::Closed { error, .. } => panic!("{error:?}"),
                other => drop(ledger.book(&client, other)),
            }
        }
    }
    eprintln!(
        "{} replies, {} failures",
        ledger.replies(),
        ledger.failures()
    );
}

/// The state of a process, by its letter: `T` when it is stopped.
fn state(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    after_name.chars().next().unwrap()
}

fn stop_and_go_on(handles: &str) {
    let peer = Peer::new();
    let role = format!("{} {handles}", peer.target());
    let command = child::command("stopped::child_that_is_stopped", &role);
    let mut running = child::Running::start(command);
    let mut streams: Vec<_> = (0..=CONNECTIONS).map(|_| peer.accept()).collect();
    running.until_says("asked");
    sys::kill(running.pid(), libc::SIGSTOP);
    eventually("the stop", || state(running.pid()) == 'T');
    let stopped_at = std::time::Instant::now();

    // It is stopped, but its kernel is not: the answers are there long before it goes on.
    for stream in &mut streams {
        let mut probe = [0; 1];
        stream.set_nonblocking(true).unwrap();
        match stream.peek(&mut probe) {
            Ok(_) => {
                stream.set_nonblocking(false).unwrap();
                let lines = read_exactly(stream, 4 * DEPTH);
                stream.write_all(&lines).unwrap();
            }
            Err(_) => stream.write_all(b"and you\n").unwrap(),
        }
    }
    stall_until(stopped_at + STOPPED);
    sys::kill(running.pid(), libc::SIGCONT);
    let (status, said) = running.end();
    assert!(status.success(), "{status}: {said}");
    let expected = format!("{} replies, 0 failures", CONNECTIONS * DEPTH);
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_process_that_was_stopped_longer_than_its_timeouts_loses_none_of_the_answers_that_came_meanwhile()
 {
    stop_and_go_on("default");
}

#[test]
fn a_handler_that_runs_when_it_goes_on_does_not_hide_the_answers_from_the_wait_it_interrupts() {
    stop_and_go_on("handled");
}
