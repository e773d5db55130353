//! The clock that all processes of a run share.

pub use mqproof_drivers::clock::monotonic_ns as now_ns;
