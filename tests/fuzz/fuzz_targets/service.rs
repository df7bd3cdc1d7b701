//! The service machine, whatever is asked of it and whatever becomes of its connections.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::service(data));
