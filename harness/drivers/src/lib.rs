//! Clients of the systems under test, and the processes that run them.

pub mod admin;
pub mod client;
pub mod clock;
pub mod journal;
