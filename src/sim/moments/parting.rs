//! What is known at a raw connection's end, where everything takes its time: the story that `tests/delayed_link` tells
//! of the real kernel.

use super::*;
use crate::engine::Engine;
use crate::event::ConnectionId;
use crate::parting::Parting;
use crate::sim::failing::{Effect, Failing, Failure, Operation, Span};

/// From one end to the other.
const LATENCY: Duration = Duration::from_millis(5);
const A_ROUND_TRIP: Duration = Duration::from_millis(11);

/// A bench whose line takes its time, and a connection that stands on it. What is written is not looked at before: the
/// look would see what these are about.
fn standing() -> (Bench, ConnectionId, SimSocket) {
    let mut bench = Bench::new(Config {
        peek: crate::config::Peek::Never,
        ..Config::default()
    });
    let nanos = LATENCY.as_nanos() as u64;
    bench.world.network.borrow_mut().latency_nanos = nanos..=nanos;
    let target = bench.at.to_string();
    let connection = bench.engine.core.connect(&target, &Framing::raw()).unwrap();
    let told = bench.events(A_ROUND_TRIP);
    assert!(matches!(told[..], [Event::Connected { .. }]), "{told:?}");
    let socket = bench.peer.accept(&bench.listener).unwrap().0;
    (bench, connection, socket)
}

impl Bench {
    fn sends(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.engine.core.send(connection, bytes).unwrap();
        self.engine.core.flush();
    }

    /// Sends bytes and our FIN behind them.
    fn seals(&mut self, connection: ConnectionId, bytes: &[u8]) {
        self.sends(connection, bytes);
        self.engine.core.close(connection).unwrap();
        self.engine.core.flush();
    }

    fn peer_reads(&mut self, socket: &SimSocket) -> usize {
        self.peer.read(socket, &mut [0; 64]).unwrap()
    }

    /// Until the connection has closed: what was known, and what was told.
    fn parting(&mut self, connection: ConnectionId) -> Parting {
        for _ in 0..1_000 {
            self.world.turn(&mut [&mut self.engine]).unwrap();
            let until = self.world.now().after(ms(1));
            if let Some(Event::Closed { error, written, .. }) = self.next_event() {
                let parting = self.engine.core.parting(connection).unwrap();
                assert_eq!((parting.error, parting.written), (error, written));
                return parting;
            }
            self.world.rest(&[&mut self.engine], until);
        }
        panic!("it never closed");
    }
}

fn facts(parting: &Parting) -> (Option<u64>, bool, bool, bool) {
    (
        parting.acked,
        parting.fin_sent,
        parting.fin_first,
        parting.fin_acked,
    )
}

#[test]
fn a_fin_behind_our_own_acknowledged_one_is_a_commit() {
    let (mut bench, connection, socket) = standing();
    bench.seals(connection, b"the epoch");
    bench.stall(A_ROUND_TRIP);
    assert_eq!(
        (bench.peer_reads(&socket), bench.peer_reads(&socket)),
        (9, 0)
    );
    bench.peer.close(socket, false);
    let parting = bench.parting(connection);
    assert_eq!(facts(&parting), (Some(9), true, true, true));
    assert!(parting.is_commit());
}

/// The peer has read and closed; our last bytes, and our FIN, are on their way to it.
fn crossing() -> (Bench, ConnectionId) {
    let (mut bench, connection, socket) = standing();
    bench.sends(connection, b"read");
    bench.stall(A_ROUND_TRIP);
    assert_eq!(bench.peer_reads(&socket), 4);
    bench.peer.close(socket, false);
    bench.seals(connection, b"lost");
    (bench, connection)
}

#[test]
fn a_fin_that_crosses_our_last_bytes_and_our_fin_is_none() {
    let (mut bench, connection) = crossing();
    let parting = bench.parting(connection);
    assert_eq!(parting.error, None, "the reset is on its way");
    assert_eq!(facts(&parting), (Some(4), true, true, false));
    assert_eq!(parting.written, 8);
}

/// The same, and the loop looks late: the reset is here as well, and a read does not tell it.
#[test]
fn nor_is_it_one_when_the_reset_is_here_before_the_loop_looks() {
    let (mut bench, connection) = crossing();
    bench.stall(2 * A_ROUND_TRIP);
    let parting = bench.parting(connection);
    assert_eq!(parting.error, None);
    assert_eq!(facts(&parting), (Some(4), true, true, false));
}

/// Our FIN has come there before the peer ended its half, and that it did is on its way: the FIN overtakes nothing.
#[test]
fn a_fin_is_not_seen_before_the_acknowledgement_that_went_ahead_of_it() {
    let (mut bench, connection, socket) = standing();
    bench.seals(connection, b"the epoch");
    bench.stall(LATENCY);
    bench.peer.shutdown(&socket).unwrap();
    let parting = bench.parting(connection);
    assert_eq!(facts(&parting), (Some(9), true, true, true));
}

/// The peer ended its half before our FIN came there: the word of its coming is behind the peer's FIN.
#[test]
fn an_acknowledgement_behind_the_peers_fin_comes_too_late_for_a_commit() {
    let (mut bench, connection, socket) = standing();
    bench.seals(connection, b"the epoch");
    bench.stall(LATENCY / 2);
    bench.peer.shutdown(&socket).unwrap();
    let parting = bench.parting(connection);
    assert_eq!(facts(&parting), (Some(0), true, true, false));
}

#[test]
fn a_peer_that_closes_amid_the_stream_has_read_what_was_acknowledged() {
    for stalls in [ms(0), LATENCY, 2 * A_ROUND_TRIP] {
        let (mut bench, connection, socket) = standing();
        bench.sends(connection, b"read");
        bench.stall(A_ROUND_TRIP);
        assert_eq!(bench.peer_reads(&socket), 4);
        bench.peer.close(socket, false);
        bench.sends(connection, b"lost");
        bench.stall(stalls);
        bench.sends(connection, b"and this");
        let parting = bench.parting(connection);
        assert_eq!(facts(&parting), (Some(4), false, true, false), "{stalls:?}");
    }
}

#[test]
fn a_peer_that_closes_with_bytes_unread_has_acknowledged_more_than_it_read() {
    for is_closing in [false, true] {
        let (mut bench, connection, socket) = standing();
        match is_closing {
            true => bench.seals(connection, b"read not"),
            false => bench.sends(connection, b"read not"),
        }
        bench.stall(A_ROUND_TRIP);
        assert_eq!(bench.peer.read(&socket, &mut [0; 4]).unwrap(), 4);
        bench.peer.close(socket, false);
        let parting = bench.parting(connection);
        assert_eq!(facts(&parting), (Some(8), is_closing, false, false));
        let error = parting.error.unwrap();
        assert_eq!(error.source, Source::Os(libc::ECONNRESET));
    }
}

/// The way back was shut while the peer read, and its FIN comes when it is open again: with all it had to say.
#[test]
fn a_fin_behind_lost_acknowledgements_brings_them_along() {
    let (mut bench, connection, socket) = standing();
    let client = bench.peer.peer_addr(&socket).unwrap();
    let network = bench.world.network.clone();
    let hole = |network: &mut crate::sim::network::Network, at| {
        network.dig(at, client, Time::NEVER, libc::ETIMEDOUT);
    };
    hole(&mut network.borrow_mut(), bench.at);
    bench.sends(connection, b"read");
    bench.stall(LATENCY);
    assert_eq!(bench.peer_reads(&socket), 4);
    network.borrow_mut().fill_holes();
    bench.peer.close(socket, false);
    let parting = bench.parting(connection);
    assert_eq!(facts(&parting), (Some(4), false, true, false));
}

/// Less is known then, and nothing is taken for granted.
#[test]
fn where_tcp_info_fails_an_end_is_no_commit_and_a_fin_is_one_all_the_same() {
    let mut world = World::new(1, Faults::NONE);
    let mut kernel = Failing::new(SimKernel::new(&world.network));
    kernel.set_failures(vec![Failure {
        operation: Operation::Info,
        from: 1,
        span: Span::Calls(1_000),
        errno: libc::ENOBUFS,
        effect: Effect::Nothing,
        option: None,
    }]);
    let mut engine = Engine::new(kernel, Config::default());
    let mut peer = SimKernel::new(&world.network);
    let listener = peer.listen(peer.address(0), 0).unwrap();
    let target = peer.listener_addr(&listener).unwrap().to_string();
    let connection = engine.core.connect(&target, &Framing::raw()).unwrap();
    let mut until = |engine: &mut Engine<_>, wanted: fn(&Event) -> bool| {
        for _ in 0..1_000 {
            world.turn(&mut [&mut *engine]).unwrap();
            if engine.next_event().as_ref().is_some_and(wanted) {
                return;
            }
        }
        panic!("it never came");
    };
    until(&mut engine, |event| {
        matches!(event, Event::Connected { .. })
    });
    let socket = peer.accept(&listener).unwrap().0;
    engine.core.close(connection).unwrap();
    engine.core.flush();
    peer.close(socket, false);
    until(&mut engine, |event| matches!(event, Event::Closed { .. }));
    let parting = engine.core.parting(connection).unwrap();
    assert_eq!(facts(&parting), (None, true, true, false));
    assert!(!parting.is_commit());
}
