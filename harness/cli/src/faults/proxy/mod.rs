//! A TCP proxy of our own in front of links that a fault may touch.
//!
//! In:  connections from one side of a link. Out: the same bytes on the other side, or not, as the link's mode says.
//! Owns: listening ports, the mode of each link, and counters that show whether a fault had an effect.
//! Never: looks into the bytes.

mod link;
mod net;
mod pump;
#[cfg(test)]
mod tests;

pub use link::{LinkMode, LinkStats};
pub use net::{LinkEnd, ProxyNet};
