//! A client's bytes to a broker.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| broker_core::fuzz::client_stream(bytes));
