//! Sockets.
//!
//! In:  listeners, addresses to dial, the ends of TLS, frames to send.
//! Out: the core's events about connections, and whole frames.
//! Owns: one task per connection, which ends with it.
//! Never: looks into a frame.

mod connection;
mod frame;
mod limit;
mod listener;
mod outbox;
mod stream;

pub(crate) use connection::{Connector, dial};
pub(crate) use limit::Places;
pub use limit::raise_file_limit;
pub(crate) use listener::Door;
pub(crate) use outbox::Outbox;
