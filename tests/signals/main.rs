//! Signals: in the midst of a wait, thousands a second, a process that is stopped and goes on, and a SIGPIPE that nobody
//! has turned off. None of them costs a request, a deadline or the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/child.rs"]
mod child;
mod pipe;
mod stopped;
mod storms;
#[path = "../support/mod.rs"]
mod support;
mod sys;
