//! A broker's side of its talk with the controllers.
//!
//! In:  connections that stand or fall, answers, the time, and requests of the broker's other rooms.
//! Out: [`ChannelEffect`]s: connections to open, requests to send, answers, news of the cluster.
//! Owns: the broker's metadata image, its registration, and the search for the active controller.
//! Never: frames; whoever drives it numbers connections and writes headers.

mod backoff;
mod calls;
#[expect(clippy::module_inception, reason = "the folder is named after its one type")]
mod channel;
mod effect;
mod link;
mod requests;

pub use channel::ControllerChannel;
pub use effect::{CallId, ChannelEffect, ChannelKind};
