//! The connection machine, whatever happens to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::connection(data));
