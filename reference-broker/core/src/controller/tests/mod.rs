//! Literal sequences of requests, and random ones.

mod brokers;
mod channel;
mod elections;
mod fixture;
mod isr;
mod metadata_log;
mod random;
mod reassignment;
mod topics;
