//! A client that costs next to nothing, for measuring brokers: batches are made once and sent again and again.
//!
//! In:  a batch, where the leaders of a topic are, a pace. Out: what was acknowledged or read, counted by a [`Meter`].
//! Owns: the few requests that it speaks, written by hand, in the last versions before the flexible ones (KIP-482).
//! Never: judges. It looks at no checksum and decodes no record; verdicts rest on librdkafka alone.

mod batch;
mod connection;
mod error;
mod fetch;
mod meter;
mod produce;
mod wire;

pub use batch::Batch;
pub use connection::LightConnection;
pub use error::LightError;
pub use fetch::{Position, fetch};
pub use meter::{Latency, Meter};
pub use produce::{Acks, Pace, ProduceOrder, produce};
pub use wire::Api;
