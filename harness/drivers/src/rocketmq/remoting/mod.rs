//! RocketMQ's remoting protocol: frames and connections.
//!
//! In:  requests. Out: answers, also of a cluster whose nodes are frozen or dead: each of a question within its deadline
//! ([`Peers`], [`Connection`]), or many at once, reported as they come ([`Channel`]).
//! Owns: frames ([`frame`]), codes, threads per peer. Never: knows what a message or a group is.

mod channel;
pub(super) mod code;
mod connection;
pub(super) mod frame;
pub(super) mod json;
mod peers;

pub(super) use channel::{Channel, Report};
pub(super) use connection::{Connection, RemotingError};
pub(super) use frame::{Request, Response};
pub(super) use peers::Peers;
