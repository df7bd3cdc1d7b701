//! Requests that wait are served by whoever can take them, whatever it was that they waited for.

use super::{Bench, ms};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::sim::kernel::SimSocket;
use crate::upstream::Upstream;

/// Time passes, in which the peer reads whatever comes on a connection and answers nothing.
fn only_read(bench: &mut Bench, socket: &SimSocket) {
    let mut buffer = [0; 64];
    for _ in 0..50 {
        bench.events(ms(1));
        while bench.peer.read(socket, &mut buffer).is_ok() {}
    }
}

/// It waited for the queue of one connection to drain; that was lost, and it went on waiting until a
/// reply came on the other, which had had room all the time.
#[test]
fn who_waits_for_room_is_served_elsewhere_when_that_connection_is_lost() {
    for lost in 0..2 {
        let mut config = Config::default();
        config.limits.send_queue_bytes_max = 11;
        let mut bench = Bench::new(config);
        bench.world.network.borrow_mut().buffer_bytes = 4;
        let upstream = Upstream::new(bench.at.to_string()).connections(2).depth(8);
        let upstream = bench.engine.core.add(upstream).unwrap();
        for tag in 0..8 {
            bench.ask(upstream, tag, ms(500));
        }
        assert_eq!(bench.events(ms(1)), []);
        let accept = |_| bench.peer.accept(&bench.listener).unwrap().0;
        let mut sockets: Vec<SimSocket> = [0, 1].map(accept).into();
        let waiting = |bench: &Bench| bench.engine.core.upstream_stats(upstream).unwrap().waiting;
        assert!(waiting(&bench) > 0, "not all fit into queues and kernels");
        let (lost, kept) = (sockets.remove(lost), sockets.remove(0));
        only_read(&mut bench, &kept);
        bench.peer.close(lost, true);
        only_read(&mut bench, &kept);
        assert_eq!(waiting(&bench), 0, "the other has room");
    }
}
