//! Lines under way while rsyslogd is ended and started again: what is lost, and what is doubled.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use taut::ship::{Ack, ShipConfig, Wire};
use taut::{Breaker, Config};

use crate::rsyslogd::{Harm, Input, Rsyslogd};
use crate::shipping::{
    Fate, Framed, Outcome, Plain, RUN_PATIENCE, Sender, Shipped, Shipping, until_served,
};
use crate::support::eventually_within;

pub(crate) const WINDOW: usize = 128;

/// Rounds of harm that a test makes.
pub(crate) fn rounds() -> usize {
    std::env::var("TAUT_SHIP_ROUNDS").map_or(3, |it| it.parse().unwrap())
}

/// A shipper that comes back soon.
pub(crate) fn to(daemon: &Rsyslogd, input: Input) -> ShipConfig {
    let mut config = ShipConfig {
        client: Config {
            breaker: Breaker::off(),
            ..Config::default()
        },
        ..ShipConfig::to(daemon.address(input).to_string())
    };
    config.client.reconnect.first_pause_max = Duration::from_millis(20);
    config.client.reconnect.pause_max = Duration::from_millis(100);
    if input.is_relp() {
        (config.ack, config.wire, config.window) = (Ack::Relp, Wire::Relp, WINDOW);
    }
    config
}

/// Brings so many lines while the daemon suffers, each harm when so many more are stored; what came of it.
pub(crate) fn ship_under(
    daemon: Rsyslogd,
    input: Input,
    lines: u64,
    harms: &[Harm],
    sender: &mut dyn FnMut(&Rsyslogd) -> Box<dyn Sender>,
) -> (Outcome, Shipped) {
    let mut sender = sender(&daemon);
    let address = daemon.address(input);
    let daemon = Mutex::new(daemon);
    let is_over = AtomicBool::new(false);
    let shipped = std::thread::scope(|scope| {
        // Ends the other thread also when this one panics.
        let _over = Over(&is_over);
        let suffering = scope.spawn(|| {
            for (nth, harm) in (1..).zip(harms) {
                let wanted = lines * nth / (harms.len() as u64 + 1);
                eventually_within(RUN_PATIENCE, "lines stored", || {
                    let stored = daemon.lock().unwrap().stored();
                    stored >= wanted || is_over.load(Ordering::SeqCst)
                });
                daemon.lock().unwrap().suffer(*harm);
            }
        });
        for number in 1..=lines {
            sender.offer(number);
            sender.turn(Duration::ZERO);
        }
        let shipped = sender.finish();
        // What was lost is never stored.
        is_over.store(true, Ordering::SeqCst);
        suffering.join().unwrap();
        shipped
    });
    let daemon = daemon.into_inner().unwrap();
    until_served(address);
    let stored = daemon.times_stored();
    let times = |number: u64| stored.get(number as usize).copied().unwrap_or(0);
    let outcome = Outcome::of(&shipped.fates, times);
    println!(
        "{input:?}, {harms:?}: {outcome:?}, {} resent, {} connections lost",
        shipped.resent,
        shipped.lost.len()
    );
    assert_eq!(shipped.fates.told(), lines);
    (outcome, shipped)
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(crate) fn shipper(config: ShipConfig) -> Box<dyn Sender> {
    Box::new(Shipping::new(config, &|_| {}))
}

/// The daemon keeps what it reads, and it can lose lines: whatever else passes here, passes for its own sake.
#[test]
#[ignore = "needs rsyslogd"]
fn a_plain_sender_loses_lines_to_a_killed_daemon_and_none_to_one_that_lives() {
    for input in [Input::Tcp, Input::PlainTcp] {
        let plain = |daemon: &Rsyslogd| -> Box<dyn Sender> {
            Box::new(Plain::to(daemon.address(input), Framed::Octet))
        };
        let daemon = Rsyslogd::start("plain");
        let (outcome, _) = ship_under(daemon, input, 20_000, &[], &mut { plain });
        assert_eq!(outcome, Outcome::default());
        let daemon = Rsyslogd::start("plain");
        let (outcome, _) = ship_under(daemon, input, 20_000, &[Harm::Kill; 4], &mut { plain });
        assert!(outcome.lost > 0, "{outcome:?}");
    }
}

#[test]
#[ignore = "needs rsyslogd"]
fn relp_loses_nothing_of_100_000_lines_under_restarts_and_kills_and_doubles_a_window_a_break_at_most()
 {
    let harms = [Harm::Kill, Harm::Restart, Harm::Kill, Harm::Restart];
    for _ in 0..rounds() {
        let daemon = Rsyslogd::start("relp");
        let (outcome, shipped) = ship_under(daemon, Input::Relp, 100_000, &harms, &mut |daemon| {
            shipper(to(daemon, Input::Relp))
        });
        assert_eq!(shipped.fates.count(Fate::Delivered), 100_000);
        assert_eq!(outcome.lost, 0);
        let doubled_max = (WINDOW * harms.len()) as u64;
        assert!(outcome.doubled <= doubled_max, "{outcome:?}");
    }
}

#[test]
#[ignore = "needs rsyslogd"]
fn commit_loses_nothing_of_20_000_lines_under_clean_restarts() {
    commit_under(Harm::Restart);
}

#[test]
#[ignore = "needs rsyslogd"]
fn commit_with_its_witness_loses_nothing_of_20_000_lines_under_kills() {
    commit_under(Harm::Kill);
}

#[track_caller]
fn commit_under(harm: Harm) {
    for commit_kib in [8, 64] {
        for _ in 0..rounds() {
            for input in [Input::Tcp, Input::PlainTcp] {
                let (outcome, shipped) = commit(input, harm, commit_kib, true);
                assert_eq!(shipped.fates.count(Fate::Delivered), 20_000);
                assert_eq!(outcome.lost, 0, "{input:?}, {commit_kib} KiB");
            }
        }
    }
}

/// Lost in silence: what a killed daemon had read and not stored, whose kernel ended the connection as if it had.
#[test]
#[ignore = "needs rsyslogd"]
fn what_commit_without_a_witness_loses_under_kills_is_measured() {
    for commit_kib in [8, 64] {
        for input in [Input::Tcp, Input::PlainTcp] {
            let lost = (0..rounds()).map(|_| commit(input, Harm::Kill, commit_kib, false).0.lost);
            println!(
                "without a witness, {input:?}, epochs of {commit_kib} KiB, 4 kills: lost {:?}",
                lost.collect::<Vec<u64>>()
            );
        }
    }
}

fn commit(input: Input, harm: Harm, commit_kib: u64, witness: bool) -> (Outcome, Shipped) {
    let daemon = Rsyslogd::start("commit");
    ship_under(daemon, input, 20_000, &[harm; 4], &mut |daemon| {
        let mut config = to(daemon, input);
        config.commit_bytes = commit_kib << 10;
        config.witness = witness;
        shipper(config)
    })
}
