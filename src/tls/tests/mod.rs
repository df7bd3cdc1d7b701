//! Sessions against sessions, in memory: no socket, no thread, no clock but the one rustls looks at a certificate by.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod agreements;
mod certificates;
mod clients;
mod fragments;
mod lines;
mod pair;
mod people;
mod pins;
mod records;
mod roots;
mod scripted;
mod settings;
