//! Making connections to sinks: when one is wanted, which sink is tried, and what its end before it stood means.

use std::net::SocketAddr;

use super::Driver;
use crate::error::Error;
use crate::event::ConnectionId;
use crate::frame::Framing;
use crate::kernel::Kernel;
use crate::ship::config::Ack;
use crate::ship::event::ShipEvent;
use crate::ship::link::{Link, Stage};
use crate::ship::relp::Session;
use crate::time::Time;

impl<K: Kernel> Driver<K> {
    /// Begins a connection where one is wanted and a sink may be tried.
    pub(super) fn connect_wanted(&mut self, now: Time) {
        if !self.wants_connection(now) {
            return;
        }
        let Ok(sink) = self.sinks.next(now) else {
            return;
        };
        let framing = match self.config.ack {
            Ack::Relp => Framing::relp(),
            _ => Framing::raw(),
        };
        let Some(target) = self.link_target(sink, now) else {
            return;
        };
        self.sinks.handle_begun(sink);
        match self.connect(sink, &target, &framing) {
            Ok(id) => self.links.push(Link::new(id, sink)),
            Err(error) => self.failed(sink, now, error),
        }
    }

    /// Begins a connection to an address of a sink, or to its name.
    pub(super) fn connect(
        &mut self,
        sink: usize,
        target: &str,
        framing: &Framing,
    ) -> Result<ConnectionId, Error> {
        let sessions = self.sinks.sessions(sink);
        let core = &mut self.engine.core;
        core.connect_through(target, framing, sessions)
    }

    /// When a connection that is wanted may be begun.
    pub(super) fn next_connect(&self, now: Time) -> Time {
        match self.wants_connection(now) {
            true => self.sinks.next(now).err().unwrap_or(now),
            false => Time::NEVER,
        }
    }

    /// Lines wait and no link takes them, or soon none will; or it is not known whether a sink is there.
    fn wants_connection(&self, now: Time) -> bool {
        let is_making = self.links.iter().any(Link::is_being_made);
        if is_making || self.witnesses.is_awaited() || self.finish.is_over() {
            return false;
        }
        let explores = self.sinks.is_to_be_explored() && !self.finish.is_asked();
        let goes_on = |link: &Link| link.is_open() && !self.is_half_way(link, now);
        explores || !self.lines.backlog.is_empty() && !self.links.iter().any(goes_on)
    }

    /// An epoch that is half full: the connection for the next one is made meanwhile, so that the stream does not pause.
    fn is_half_way(&self, link: &Link, now: Time) -> bool {
        match self.config.ack {
            Ack::Commit => link.is_due(now, &self.config, 2) || !self.keeps_order(link),
            Ack::Relp => link.session.as_ref().is_some_and(Session::is_used_up),
            _ => false,
        }
    }

    /// A connection to a sink stands.
    pub(super) fn connected(&mut self, at: usize, peer: SocketAddr) {
        let now = self.now();
        let link = &mut self.links[at];
        let (sink, id) = (link.sink, link.id);
        link.peer = Some(peer);
        self.lines.counts.connections += 1;
        self.sinks.handle_connected(sink, now);
        match self.config.ack {
            Ack::Relp => self.begin_session(at, now),
            _ => link.stage = Stage::Open,
        }
        if self.config.ack < Ack::Kernel {
            // What the kernel took is told as delivered: no reset of ours destroys it where the sink is given up.
            let _ = self.engine.core.spare(id);
        }
        self.tell(ShipEvent::Connected { sink, peer });
    }

    /// A connection to a sink could not be made, or was lost.
    pub(super) fn failed(&mut self, sink: usize, now: Time, error: Error) {
        let random = self.engine.core.kernel.random();
        self.sinks.handle_begun(sink);
        self.sinks.handle_failed(sink, now, error.class, random);
        self.tell(ShipEvent::Lost { sink, error });
    }
}
