//! The loop that keeps the window full, and takes the time.
//!
//! A slot of the window is a request under way; its tag is the slot's index. A request's clock starts right before the
//! flush that writes it and stops when its reply is pulled. Per event there is one look at the clock, and no
//! allocation. What was started before the measurement is dropped when it ends.

use std::time::{Duration, Instant};

use taut::{Client, ConnectionId, Deadline, Event, TlsInfo, UpstreamId, UpstreamStats};

use super::accounts::Accounts;
use super::measured::{Measured, Tcp};
use super::plan::{Extent, Plan, Slot, Stage};
use super::progress::Progress;
use crate::exit::Fault;
use crate::histogram::Latencies;
use crate::signals::{LOOK_EVERY, Signals};
use crate::system::CpuTime;
use crate::tls::Seen;
use crate::units::nanos;

/// Requests handed over in a row before the loop turns: it reads, and looks at signals and the clock.
const BATCH: usize = 256;

pub(super) struct Drive {
    client: Client,
    upstream: UpstreamId,
    plan: Plan,
    stage: Stage,
    slots: Vec<Slot>,
    /// Handed over and not yet flushed: their clocks start with the flush.
    unflushed: Vec<u32>,
    /// Slots without a request: refused for now, or not to be used any more.
    parked: Vec<u32>,
    accounts: Accounts,
    latencies: Latencies,
    /// Of the first connection that was looked at.
    tls: Option<TlsInfo>,
    progress: Option<Progress>,
    next_interval: Instant,
    measured_from: Instant,
    /// When sending stopped, and the replies until then.
    stopped: Option<(Instant, u64)>,
    cpu_before: CpuTime,
    bytes_before: (u64, u64),
}

impl Drive {
    pub(super) fn new(
        client: Client,
        upstream: UpstreamId,
        plan: Plan,
        progress: Option<Progress>,
    ) -> Result<Drive, Fault> {
        let now = Instant::now();
        let window = plan.window;
        Ok(Drive {
            stage: Stage::WarmUp {
                until: now + plan.warmup,
            },
            client,
            upstream,
            plan,
            slots: vec![
                Slot {
                    started: now,
                    counts: false
                };
                window
            ],
            unflushed: Vec::with_capacity(window),
            parked: (0..window as u32).rev().collect(),
            accounts: Accounts::default(),
            latencies: Latencies::fixed()?,
            tls: None,
            progress,
            next_interval: now,
            measured_from: now,
            stopped: None,
            cpu_before: CpuTime::of_thread(),
            bytes_before: (0, 0),
        })
    }

    /// Runs to the end of the plan, until a signal, or until nobody is left to read the report.
    pub(super) fn run(&mut self, signals: &Signals) -> Result<(), Fault> {
        self.stage = Stage::WarmUp {
            until: Instant::now() + self.plan.warmup,
        };
        while signals.caught().is_none() && !self.is_unheard() {
            let now = Instant::now();
            self.advance(now);
            if self.stage == Stage::Ending && self.under_way() == 0 {
                break;
            }
            let wait = match self.fill() {
                true => Duration::ZERO,
                false => self.wait(now),
            };
            self.client.turn(Some(wait))?;
            self.take_events();
        }
        self.stop(Instant::now());
        Ok(())
    }

    /// What a connection that stands has agreed on.
    pub(super) fn look_at_tls(&mut self) {
        let first = self.client.connections_of(self.upstream).next();
        if let Some(connection) = first {
            self.look_at_tls_of(connection);
        }
    }

    #[inline]
    fn look_at_tls_of(&mut self, connection: ConnectionId) {
        if self.plan.is_tls && self.tls.is_none() {
            self.tls = self.client.tls_info(connection);
        }
    }

    fn is_unheard(&self) -> bool {
        self.progress.as_ref().is_some_and(Progress::is_unheard)
    }

    fn under_way(&self) -> usize {
        self.plan.window - self.parked.len()
    }

    /// Goes on to the next stage when its time has come.
    fn advance(&mut self, now: Instant) {
        match self.stage {
            Stage::WarmUp { until } if now >= until => self.begin(now),
            Stage::Measuring => {
                if let Extent::Duration(duration) = self.plan.extent
                    && now >= self.measured_from + duration
                {
                    self.stop(now);
                }
                if now >= self.next_interval {
                    self.report_interval(now);
                }
            }
            _ => {}
        }
    }

    /// The measurement begins.
    fn begin(&mut self, now: Instant) {
        self.stage = Stage::Measuring;
        self.measure_from(now);
        self.next_interval = now + self.plan.interval;
        self.accounts.begin(now);
        if let Some(progress) = &mut self.progress {
            progress.begin();
        }
    }

    /// What was used before is not counted.
    fn measure_from(&mut self, now: Instant) {
        self.measured_from = now;
        self.cpu_before = CpuTime::of_thread();
        self.bytes_before = self.bytes();
    }

    /// Nothing is sent from now on.
    fn stop(&mut self, now: Instant) {
        match self.stage {
            Stage::WarmUp { .. } => self.measure_from(now),
            Stage::Measuring => {}
            Stage::Ending => return,
        }
        self.stage = Stage::Ending;
        self.stopped = Some((now, self.accounts.counts.ok));
    }

    fn report_interval(&mut self, now: Instant) {
        while self.next_interval <= now {
            self.next_interval += self.plan.interval;
        }
        if let Some(progress) = &mut self.progress {
            let at = now - self.measured_from;
            progress.interval(at, self.accounts.counts, &mut self.latencies);
        }
    }

    /// How long the loop may sleep: to the next thing that is due.
    fn wait(&self, now: Instant) -> Duration {
        let due = match (self.stage, self.plan.extent) {
            (Stage::WarmUp { until }, _) => until,
            (Stage::Measuring, Extent::Duration(duration)) => {
                (self.measured_from + duration).min(self.next_interval)
            }
            (Stage::Measuring, Extent::Requests(_)) => self.next_interval,
            (Stage::Ending, _) => now + LOOK_EVERY,
        };
        due.saturating_duration_since(now).min(LOOK_EVERY)
    }

    /// Gives a batch of slots that have none a request, as far as requests are to be sent. True when there may be more
    /// to give at once.
    fn fill(&mut self) -> bool {
        if self.stage == Stage::Ending || self.parked.is_empty() {
            return false;
        }
        let mut is_refused = false;
        for _ in 0..BATCH {
            let Some(slot) = self.parked.pop() else {
                break;
            };
            if !self.hand_over(slot) {
                self.parked.push(slot);
                is_refused = true;
                break;
            }
            // On connections of one request each the clock of the first must not run while the others are written.
            if !self.plan.pipelined {
                self.flush(Instant::now());
            }
        }
        self.flush(Instant::now());
        !is_refused && !self.parked.is_empty()
    }

    /// Pulls what has come, and replaces what has ended.
    ///
    /// With one request a connection, each leaves before the next reply is looked at: the server has it earlier, and
    /// its clock does not run while others are written. With more, those of one turn share a write a connection:
    /// writing each at once had the same server answer 0.33 M a second in place of 2.4 M (c 50, P 16).
    fn take_events(&mut self) {
        while let Some(event) = self.client.next_event() {
            let now = Instant::now();
            if !self.plan.pipelined {
                self.flush(now);
            }
            let slot = match event {
                Event::Reply { tag, frame, .. } => {
                    let slot = tag as u32;
                    let matches = match &self.plan.expect {
                        Some(expect) => expect.matches(self.client.bytes(&frame)),
                        None => true,
                    };
                    self.count_reply(slot, now, matches);
                    self.look_at_tls_of(frame.connection());
                    slot
                }
                Event::Failed { tag, error, .. } => {
                    let slot = tag as u32;
                    if self.slots[slot as usize].counts {
                        self.accounts.failed(&error);
                    }
                    slot
                }
                other => {
                    self.note_outage(&other, now);
                    continue;
                }
            };
            if !self.hand_over(slot) {
                self.parked.push(slot);
            }
        }
        self.flush(Instant::now());
    }

    #[inline]
    fn count_reply(&mut self, slot: u32, now: Instant, matches: bool) {
        let slot = self.slots[slot as usize];
        if !slot.counts {
            return;
        }
        self.accounts.replied(matches);
        if matches {
            self.latencies.record(nanos(now - slot.started));
        }
    }

    /// What the library tells of the server's coming and going, until sending stops.
    fn note_outage(&mut self, event: &Event, now: Instant) {
        match event {
            _ if self.stopped.is_some() => {}
            Event::Down { .. } => self.accounts.outages.down(now),
            Event::Up { .. } => self.accounts.outages.up(now),
            _ => {}
        }
    }

    /// Why no connection could be made before the run.
    pub(super) fn never_stood(&mut self, stats: &UpstreamStats) {
        if let Some(error) = stats.last_error {
            self.accounts.add_error(&error, stats.connect_failures);
        }
    }

    /// Makes this slot's next request; false when there is to be none, or none can be made now.
    #[inline]
    fn hand_over(&mut self, slot: u32) -> bool {
        let counts = match self.stage {
            Stage::WarmUp { .. } => false,
            Stage::Measuring => true,
            Stage::Ending => return false,
        };
        if let Extent::Requests(requests) = self.plan.extent
            && counts
            && self.accounts.counts.sent == requests
        {
            // The clock runs on to the last reply.
            self.stage = Stage::Ending;
            return false;
        }
        let deadline = Deadline::After(self.plan.timeout);
        let made =
            self.client
                .request_tagged(self.upstream, &self.plan.request, deadline, slot.into());
        if let Err(error) = made {
            log::debug!("a request was refused: {error}");
            return false;
        }
        self.accounts.counts.sent += u64::from(counts);
        self.slots[slot as usize].counts = counts;
        self.unflushed.push(slot);
        true
    }

    /// Starts the clocks of what was handed over, and writes it.
    #[inline]
    fn flush(&mut self, now: Instant) {
        if self.unflushed.is_empty() {
            return;
        }
        for slot in self.unflushed.drain(..) {
            self.slots[slot as usize].started = now;
        }
        self.client.flush();
    }

    fn bytes(&self) -> (u64, u64) {
        self.client
            .transferred_of(self.upstream)
            .unwrap_or_default()
    }

    /// Sums up.
    pub(super) fn finish(mut self, established: UpstreamStats) -> Result<Measured, Fault> {
        let now = Instant::now();
        let Accounts {
            counts,
            errors,
            outages,
        } = std::mem::take(&mut self.accounts);
        let under_way = counts.sent - counts.ended();
        debug_assert!(under_way <= self.under_way() as u64, "{counts:?}");
        let (ended, ok_in_time) = self.stopped.unwrap_or((now, counts.ok));
        let cpu = CpuTime::of_thread().since(self.cpu_before);
        let stats = self
            .client
            .upstream_stats(self.upstream)
            .unwrap_or_default();
        let (sent, received) = self.bytes();
        let tcp = Tcp::of(&self.client, self.upstream);
        let latencies = match self.progress.take() {
            Some(progress) => progress.finish(self.latencies)?,
            None => self.latencies,
        };
        Ok(Measured {
            counts,
            latencies,
            elapsed: ended.saturating_duration_since(self.measured_from),
            ok_in_time,
            errors,
            away: outages.until(ended),
            bytes: (sent - self.bytes_before.0, received - self.bytes_before.1),
            cpu,
            cpu_over: now - self.measured_from,
            established: established.open,
            last_error: stats.last_error,
            reconnects: stats.connects - established.connects,
            tls: self.tls.as_ref().map(Seen::from),
            tcp,
        })
    }
}
