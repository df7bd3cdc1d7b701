//! Ends that cross what is still on its way: a server's whose last answer is, turned as a program turns it (it sleeps
//! until it is told), and a peer's behind its last words.

use std::time::Duration;

use super::{Bench, ms};
use crate::config::Config;
use crate::event::Event;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::server::{GenericServer, ServerConfig};
use crate::sim::faults::Faults;
use crate::sim::kernel::SimKernel;
use crate::sim::world::World;
use crate::socket_options::SocketOptions;

#[test]
fn a_drain_ends_a_connection_when_its_last_answer_has_left_and_not_by_force() {
    let world = World::new(1, Faults::NONE);
    let kernel = SimKernel::new(&world.network);
    let any = kernel.address(0);
    let mut server = GenericServer::bind(kernel, any, ServerConfig::default()).unwrap();
    let mut peer = SimKernel::new(&world.network);
    let at = server.local_addr();
    let socket = peer.connect(at, &SocketOptions::default(), 1).unwrap();
    let pass = || {
        let later = world.now().after(ms(1));
        world.network.borrow_mut().advance(later);
    };
    server.turn(Some(ms(1))).unwrap();
    pass();
    server.turn(Some(ms(1))).unwrap();
    peer.write(&socket, b"ping\n").unwrap();
    pass();
    let began = world.now();
    server.drain();
    while !server.is_drained() {
        server.turn(Some(Duration::from_secs(60))).unwrap();
    }
    // The peer says nothing more: it is waited for as long as a FIN may linger.
    assert_eq!(server.stats().forced, 0);
    assert!(world.now() < began.after(Duration::from_secs(2)));
    let mut answer = [0; 16];
    assert_eq!(peer.read(&socket, &mut answer).unwrap(), 5);
}

/// The end was known, so nothing more was read.
#[test]
fn what_a_peer_said_before_its_reset_is_told_although_our_fin_failed() {
    let mut bench = Bench::new(Config::default());
    let target = bench.at.to_string();
    let connection = bench
        .engine
        .core
        .connect(&target, &Framing::line())
        .unwrap();
    assert_eq!(bench.events(ms(1)).len(), 1);
    let (socket, _) = bench.peer.accept(&bench.listener).unwrap();
    bench.peer.write(&socket, b"words\n").unwrap();
    bench.peer.close(socket, true);
    bench.stall(ms(1));
    bench.engine.core.close(connection).unwrap();
    let told = bench.events(ms(1));
    let [Event::Frame { .. }, Event::Closed { error, .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert!(error.is_some());
}
