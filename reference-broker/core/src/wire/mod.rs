//! Kafka's wire format.
//!
//! In:  frames. Out: requests of the codec's types, and responses as parts to send.
//! Owns: the tables of offered versions. Never: keeps a connection, or looks into record batches.

mod ancient;
mod fetch_response;
mod frame;
mod shape;
mod versions;

#[cfg(test)]
pub(crate) mod tests;

pub use ancient::AncientProduce;
pub use fetch_response::{FetchResponse, FetchedPartition, FetchedTopic, TopicKey};
pub use frame::{
    Asked, Body, FrameError, Request, api_of, correlation_of, decode_request, decode_response,
    encode_request, encode_response, response_header,
};
pub use shape::ShapeError;
pub use versions::{Door, Versions, advertised, offers};
