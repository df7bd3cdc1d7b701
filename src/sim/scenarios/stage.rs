//! The two worlds in which a script runs: simulated kernels on one network, and loopback.
//!
//! A stage makes kernels and drives the two engines on them, and it alone knows how time passes: in
//! the simulation the clock is moved, on loopback the loops wait, and only when nothing goes on.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{Error, ResolveError};
use crate::kernel::Kernel;
use crate::net::{Net, Resolve};
use crate::sim::failing::BuiltOn;
use crate::sim::kernel::SimKernel;
use crate::sim::names::Lookup;
use crate::sim::world::World;
use crate::time::Time;

/// Turns without progress before the loops of loopback wait. What is sent there has mostly arrived
/// when the call returns.
const IDLE_TURNS: u32 = 3;
const WAIT: Duration = Duration::from_millis(1);

/// How two engines are made and driven.
pub(in crate::sim) trait Stage {
    type Base: BuiltOn<Self::Base>;

    /// A pause that is long to a loop that spins, and short to who waits for it.
    const PAUSE: Duration;

    fn kernel(&mut self) -> Self::Base;
    /// What a name resolves to; with no addresses, its lookup never ends.
    fn name(&mut self, host: &str, addresses: &[IpAddr]);
    /// An address of a listener that has room for no more connections, while this lives.
    fn full(&mut self) -> (SocketAddr, Box<dyn std::any::Any>);
    /// One turn of each; time passes where nothing happens.
    fn turn<K: BuiltOn<Self::Base>, const N: usize>(
        &mut self,
        engines: [&mut Engine<K>; N],
    ) -> [Result<(), Error>; N];
    /// What was sent has arrived when this returns, and nothing else has happened.
    fn settle(&mut self);
}

/// Loopback.
#[derive(Debug, Default)]
pub(in crate::sim) struct Real {
    names: Arc<Names>,
    idle_turns: u32,
}

/// What the resolver of loopback knows.
#[derive(Debug, Default)]
struct Names(Mutex<BTreeMap<String, Vec<IpAddr>>>);

impl Resolve for Names {
    fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = self.0.lock().unwrap().get(host).cloned();
        let addresses = found.ok_or(ResolveError::NotFound)?;
        while addresses.is_empty() {
            std::thread::park();
        }
        let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
        Ok(addresses.iter().map(at).collect())
    }
}

impl Stage for Real {
    type Base = Net;

    const PAUSE: Duration = Duration::from_millis(2);

    fn kernel(&mut self) -> Net {
        Net::new(self.names.clone()).unwrap()
    }

    fn name(&mut self, host: &str, addresses: &[IpAddr]) {
        let mut names = self.names.0.lock().unwrap();
        names.insert(host.to_owned(), addresses.to_vec());
    }

    fn full(&mut self) -> (SocketAddr, Box<dyn std::any::Any>) {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = listener.unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).unwrap();
        // listen(2): one more than asked for.
        listener.listen(0).unwrap();
        let at = listener.local_addr().unwrap().as_socket().unwrap();
        let waits = TcpStream::connect(at).unwrap();
        (at, Box::new((listener, waits)))
    }

    fn turn<K: BuiltOn<Net>, const N: usize>(
        &mut self,
        engines: [&mut Engine<K>; N],
    ) -> [Result<(), Error>; N] {
        let is_idle = |engine: &Engine<K>| engine.core.next_timeout() != Some(Duration::ZERO);
        let waits = self.idle_turns >= IDLE_TURNS;
        let timeout = if waits { WAIT } else { Duration::ZERO };
        self.idle_turns += 1;
        engines.map(|engine| {
            let outcome = engine.turn(Some(timeout));
            if !is_idle(engine) {
                self.idle_turns = 0;
            }
            outcome
        })
    }

    fn settle(&mut self) {}
}

impl Stage for World {
    type Base = SimKernel;

    const PAUSE: Duration = Duration::from_millis(50);

    fn kernel(&mut self) -> SimKernel {
        SimKernel::new(&self.network)
    }

    fn name(&mut self, host: &str, addresses: &[IpAddr]) {
        let found = match addresses.is_empty() {
            true => Lookup::Hangs,
            false => Lookup::Found(addresses.to_vec()),
        };
        let after = Duration::from_micros(50);
        self.network.borrow_mut().name(host, after, found);
    }

    fn full(&mut self) -> (SocketAddr, Box<dyn std::any::Any>) {
        let mut kernel = self.kernel();
        let listener = kernel.listen(kernel.address(0), 0).unwrap();
        let at = kernel.listener_addr(&listener).unwrap();
        kernel.set_backlog_max(at, 0);
        (at, Box::new((kernel, listener)))
    }

    fn turn<K: BuiltOn<SimKernel>, const N: usize>(
        &mut self,
        mut engines: [&mut Engine<K>; N],
    ) -> [Result<(), Error>; N] {
        let outcomes = engines
            .each_mut()
            .map(|engine| engine.turn(Some(Duration::ZERO)));
        self.step();
        self.rest(&engines, Time::NEVER);
        outcomes
    }

    fn settle(&mut self) {
        let until = self.now().after(Duration::from_millis(1));
        self.network.borrow_mut().advance(until);
    }
}
