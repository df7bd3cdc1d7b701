//! A connection with a session on its line, whatever the line brings.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::session(data));
