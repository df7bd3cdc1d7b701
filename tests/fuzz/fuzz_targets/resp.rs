//! RESP2 and RESP3, whole, damaged and cut at any places.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::resp(data));
