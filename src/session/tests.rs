//! What lies between a session and its line, against simple models: fake sessions on both ends, and anything in between
//! in parts as they are drawn.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod looks;
mod pair;
mod seals;
