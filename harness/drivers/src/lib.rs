//! Clients of the systems under test, and the processes that run them.
//!
//! In:  a specification for one client process; questions of the conductor.
//! Out: a journal per process; answers.
//! Owns: the roles ([`role`], [`admin`]) that each protocol fills in its own module, journal files, the client's loops.
//! Never: decides what is sent, or what a history means.

pub mod admin;
pub mod client;
pub mod clock;
mod connection;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod library_log;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
mod registry;
#[cfg(feature = "rocketmq")]
pub mod rocketmq;
pub mod role;

pub use connection::Connection;
pub use registry::{admin, driver};
