//! The shipper: what a program holds.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use super::config::ShipConfig;
use super::driver::Driver;
use super::event::{ShipCounts, ShipEvent};
use crate::config::Deadline;
use crate::error::{Error, Phase};
use crate::net::{Alarm, Net, Resolve, SystemResolver};

/// Ships lines to the first sink that can be reached: one loop on one thread, as a [`Client`](crate::Client) is.
///
/// The program offers lines, has the loop [`turn`](Shipper::turn), and pulls [`ShipEvent`]s, which tell the fate of each
/// line in the order of the stream:
///
/// ```
/// use taut::Deadline;
/// use taut::ship::{ShipConfig, ShipEvent, Shipper};
/// # use taut::server::{Server, ServerConfig, Service};
/// # fn main() -> Result<(), taut::Error> {
/// # let config = ServerConfig { service: Service::Sink, ..ServerConfig::default() };
/// # let mut server = Server::bind(([127, 0, 0, 1], 0).into(), config)?;
/// # let (address, stopper) = (server.local_addr().to_string(), server.stopper());
/// # let thread = std::thread::spawn(move || server.run());
///
/// let mut shipper = Shipper::new(ShipConfig::to(address))?;
/// shipper.offer(b"<14>1 - - app - - - one line")?;
/// shipper.finish(Deadline::Standard);
/// 'done: loop {
///     shipper.turn(None)?;
///     while let Some(event) = shipper.next_event() {
///         match event {
///             ShipEvent::Delivered { upto } => println!("read by the sink: all up to line {upto}"),
///             ShipEvent::Uncertain { from, to } => eprintln!("in doubt: {from} to {to}"),
///             ShipEvent::Undelivered { from, to } => eprintln!("not delivered: {from} to {to}"),
///             ShipEvent::Finished => break 'done,
///             _ => {}
///         }
///     }
/// }
/// # assert_eq!(shipper.counts().confirmed, 1);
/// # drop(shipper);
/// # stopper.stop();
/// # thread.join().expect("the server does not panic")?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping it ends its connections at once, and forgets the lines whose fate is open; [`finish`](Shipper::finish)
/// loses none in silence.
#[derive(Debug)]
pub struct Shipper {
    driver: Driver<Net>,
}

/// Ends a shipper's turn from another thread.
#[derive(Clone, Debug)]
pub struct ShipWaker {
    alarm: Alarm,
}

impl ShipWaker {
    /// Ends the present turn of the shipper, or the next one.
    pub fn wake(&self) {
        self.alarm.wake();
    }
}

impl Shipper {
    /// A shipper with these settings. It connects in its first turn.
    ///
    /// # Errors
    /// A setting that cannot be ([`Source::Invalid`](crate::Source::Invalid)); EMFILE and the like when the poll cannot
    /// be made.
    pub fn new(config: ShipConfig) -> Result<Shipper, Error> {
        Shipper::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A shipper that looks names up with the program's own resolver.
    ///
    /// # Errors
    /// As for [`Shipper::new`].
    pub fn with_resolver(config: ShipConfig, resolver: Arc<dyn Resolve>) -> Result<Shipper, Error> {
        Driver::<Net>::check(&config)?;
        let mut net = Net::new(resolver, config.client.lookups)
            .map_err(|error| Error::os(Phase::Connect, &error))?;
        net.set_timer_slack(config.client.timer_slack);
        Ok(Shipper {
            driver: Driver::new(net, config),
        })
    }

    /// Takes a line, without its end; its number, counted from 1. A line that cannot be carried has one too, and
    /// [`ShipEvent::Refused`] says why. Its bytes leave in the next turn.
    ///
    /// # Errors
    /// `Full` at [`ShipConfig::journal_bytes_max`], [`ShipConfig::journal_lines_max`], or
    /// [`Limits::events_max`](crate::Limits::events_max) events that were not pulled: nothing was taken, and
    /// [`ShipEvent::Room`] tells when to go on. `ShuttingDown` after [`Shipper::finish`].
    pub fn offer(&mut self, line: &[u8]) -> Result<u64, Error> {
        self.driver.offer(line)
    }

    /// One pass of the loop: writes what the sinks take, waits at most `timeout` (`None`: until something happens), and
    /// looks after connections, commits and deadlines. It does not wait while events are to be pulled.
    ///
    /// # Errors
    /// Only when the poll itself fails (ENOMEM and the like); a signal ends a turn early and is no error.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.driver.turn(timeout)
    }

    /// The next event, if any.
    pub fn next_event(&mut self) -> Option<ShipEvent> {
        self.driver.next_event()
    }

    /// No more lines: what there is is written, its fate is awaited, and the connections are ended, all until a deadline
    /// ([`Deadline::Standard`]: [`ShipConfig::drain`]) at which what is on its way is told as uncertain and what never
    /// left as undelivered. The loop must go on being turned until [`ShipEvent::Finished`].
    pub fn finish(&mut self, deadline: Deadline) {
        self.driver.finish(deadline_of(&self.driver, deadline));
    }

    // Getters.

    /// Lines and bytes so far.
    pub fn counts(&self) -> ShipCounts {
        self.driver.counts()
    }

    /// How long a loop around this one may wait: zero while there is something to do; `None` when there is no deadline
    /// at all.
    pub fn next_timeout(&self) -> Option<Duration> {
        self.driver.next_timeout()
    }

    /// A handle to end a turn from another thread, such as one that has read more lines.
    pub fn waker(&self) -> ShipWaker {
        ShipWaker {
            alarm: self.driver.engine.core.kernel.alarm(),
        }
    }
}

fn deadline_of(driver: &Driver<Net>, deadline: Deadline) -> crate::time::Time {
    let of_clock = driver.engine.core.kernel.epoch().time_of(deadline);
    of_clock.unwrap_or(driver.now().after(driver.config().drain))
}

/// The poller's descriptor: readable when [`Shipper::turn`] has something to do, for a loop of the program's own
/// (together with [`Shipper::next_timeout`]). −1 on mio's poll(2) backend, which has none.
impl AsRawFd for Shipper {
    fn as_raw_fd(&self) -> RawFd {
        self.driver.engine.core.kernel.as_raw_fd()
    }
}
