//! Sockets.
//!
//! In:  listeners, addresses to dial, frames to send.
//! Out: the core's events about connections, and whole frames.
//! Owns: one task per connection, which ends with it.
//! Never: looks into a frame.

mod connection;
mod frame;
mod listener;
mod outbox;

pub(crate) use connection::{Connector, dial};
pub(crate) use listener::accept_forever;
pub(crate) use outbox::Outbox;
