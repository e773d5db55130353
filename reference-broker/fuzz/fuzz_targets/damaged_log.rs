//! Damage to the files of a log.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| broker_core::fuzz::damaged_log(bytes));
