//! RELP: frames cut at any places, and the session, whatever a server says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::relp(data));
