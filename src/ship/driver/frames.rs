//! What sinks say: RELP's answers, and of all others nothing that is asked for.

use super::Driver;
use crate::error::{Error, Phase, Source};
use crate::event::Frame;
use crate::kernel::Kernel;
use crate::ship::event::Refusal;
use crate::ship::fates::Fate;
use crate::ship::link::Stage;
use crate::ship::relp::{Heard, Session};
use crate::ship::verdict::Witnessed;
use crate::time::Time;

impl<K: Kernel> Driver<K> {
    /// RELP begins with an `open`.
    pub(super) fn begin_session(&mut self, at: usize, now: Time) {
        let mut session = Session::new();
        self.chunk.clear();
        session.open(&mut self.chunk);
        let link = &mut self.links[at];
        link.stage = Stage::Opening;
        link.session = Some(session);
        link.answer_by = now.after(self.config.client.timeouts.first_byte);
        link.epoch.skip(self.chunk.len());
        let _ = self.engine.core.send(link.id, &self.chunk);
    }

    /// Acknowledges answers behind which nothing is written. A server whose socket has Nagle's algorithm (librelp's, of
    /// rsyslog) holds the next answers back until then, and our kernel would hold the acknowledgement back for 40 ms.
    pub(super) fn acknowledge_answers(&mut self) {
        for link in self.links.iter_mut().filter(|link| link.owes_ack) {
            link.owes_ack = false;
            self.engine.core.acknowledge(link.id);
        }
    }

    /// A sink has said something.
    pub(super) fn heard(&mut self, at: usize, frame: Frame) {
        let now = self.now();
        let link = &mut self.links[at];
        let Some(session) = &mut link.session else {
            return;
        };
        let Some(bytes) = self.engine.bytes(&frame) else {
            return;
        };
        link.owes_ack = true;
        match session.handle_frame(bytes) {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Ready) => {
                link.stage = Stage::Open;
                link.answer_by = Time::NEVER;
            }
            Ok(Heard::Answered {
                txnr,
                accepted,
                code,
            }) => {
                self.answered(at, txnr, accepted, code, now);
            }
            Ok(Heard::ServerClose | Heard::CloseAnswered) => {
                let _ = self.engine.core.close(link.id);
                link.stage = Stage::Sealed {
                    until: now.after(self.config.client.timeouts.linger),
                };
            }
            Err(why) => {
                log::debug!("{}: {why}", link.id);
                self.broken(at, now, why.rule());
            }
        }
    }

    fn answered(&mut self, at: usize, txnr: u32, accepted: bool, code: u32, now: Time) {
        let link = &mut self.links[at];
        // What was answered was written and acknowledged, though the kernel was not asked since.
        if let Some(end) = link.epoch.end_of_frame(txnr) {
            link.poll.acked = link.poll.acked.max(end);
            self.count(at, end);
        }
        let link = &mut self.links[at];
        let Some(line) = link.epoch.take_frame(txnr) else {
            return self.broken(at, now, "an answer to a frame that is not unanswered");
        };
        link.answer_by = match link.epoch.is_empty() {
            true => Time::NEVER,
            false => now.after(self.config.commit_timeout),
        };
        let sink = link.sink;
        let fate = match accepted {
            true => Fate::Delivered,
            false => Fate::Refused(Refusal::Relp { code }),
        };
        self.lines.settle(line..=line, fate);
        self.sinks.handle_progress(sink, now);
    }

    /// The sink does not speak RELP as it must.
    fn broken(&mut self, at: usize, now: Time, why: &'static str) {
        let mut link = self.links.remove(at);
        let end = self.end_of_standing(&link);
        let bound = self.config.receive_bytes_max;
        let verdict = end.judge(self.config.ack, Witnessed::NotAsked, bound);
        self.apply(&mut link, verdict, self.config.on_uncertain);
        self.failed(
            link.sink,
            now,
            Error::new(Phase::Handshake, Source::Malformed(why)),
        );
        let _ = self.engine.core.abort(link.id);
    }
}
