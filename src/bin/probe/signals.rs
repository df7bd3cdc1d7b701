//! SIGINT and SIGTERM: the first asks for an orderly end, the second aborts.
//!
//! Nothing is done in a handler but setting flags; loops look at them at least ten times a second, and a signal ends a
//! blocked wait early anyway (EINTR).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit::Exit;

/// The longest a loop waits before it looks at the flags again.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Which signal came first, if any.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    first: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM.
    pub(crate) fn install() -> io::Result<Signals> {
        let caught = Arc::new(AtomicBool::new(false));
        let first = Arc::new(AtomicUsize::new(0));
        for (signal, exit) in [(SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated)] {
            // In this order: the second signal must find the flag of the first, and the first must not find its own.
            signal_hook::flag::register_conditional_shutdown(signal, exit as i32, caught.clone())?;
            signal_hook::flag::register(signal, caught.clone())?;
            signal_hook::flag::register_usize(signal, first.clone(), exit as usize)?;
        }
        Ok(Signals { first })
    }

    /// The exit code of the signal that came.
    pub(crate) fn caught(&self) -> Option<Exit> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            code if code == Exit::Terminated as usize => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }
}
