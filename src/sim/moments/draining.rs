//! A server that ends while its last answer is on its way, turned as a program turns it: it sleeps until it is told.

use std::time::Duration;

use super::ms;
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
