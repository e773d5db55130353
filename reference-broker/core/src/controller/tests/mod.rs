//! Literal sequences of requests, and random ones.

mod brokers;
mod channel;
mod fixture;
mod isr;
mod metadata_log;
mod random;
mod topics;
