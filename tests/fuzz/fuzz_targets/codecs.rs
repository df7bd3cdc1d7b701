//! The framings that are not RESP, cut at any places.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taut::fuzz::codecs(data));
