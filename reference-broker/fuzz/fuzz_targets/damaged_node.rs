//! Damage to the files of a controller and a broker.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| broker_core::fuzz::damaged_node(bytes));
