//! What the channel wants done.

use crate::controller::api::{ControllerRequest, ControllerResponse};
use crate::controller::image::ImageDelta;
use crate::ids::NodeId;
use crate::node::Endpoint;

/// Which of a broker's two connections to the active controller. The second one exists because a Fetch that waits for
/// news would hold up the heartbeats behind it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChannelKind {
    /// Registration, heartbeats, and requests forwarded for the broker.
    Control,
    /// Fetches of the metadata log.
    Metadata,
}

/// Ties a forwarded request to its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// What the channel wants done, in order.
#[derive(Clone, PartialEq, Debug)]
pub enum ChannelEffect {
    /// Open the connection of this kind; answer with `connected` or `closed`.
    Dial {
        /// Which one.
        kind: ChannelKind,
        /// The voter.
        node: NodeId,
        /// Where it is reached.
        endpoint: Endpoint,
    },
    /// Close the connection of this kind, or stop dialling it; do not answer with `closed`.
    Close {
        /// Which one.
        kind: ChannelKind,
    },
    /// Send a request, in the version that [`ControllerRequest::version`] names. The answers of one connection come in
    /// the order of its requests.
    Send {
        /// Over which connection.
        kind: ChannelKind,
        /// What.
        request: Box<ControllerRequest>,
    },
    /// A forwarded request has ended.
    Answer {
        /// Which one.
        call: CallId,
        /// The controller's answer, or `None` if none came in time: it may or may not have been carried out.
        response: Option<Box<ControllerResponse>>,
    },
    /// The image has changed. Not before it has reached the registration of this process; then all at once.
    ImageChanged {
        /// What was touched.
        delta: ImageDelta,
    },
    /// The image starts again from nothing, because the controllers' log is not the one it was made of. All that was
    /// known of the cluster is void; changes follow.
    ImageReset,
    /// The controller has fenced or unfenced this broker.
    Fenced {
        /// True at the start, until the broker has caught up with the metadata log.
        fenced: bool,
    },
    /// The broker has asked to stop, leads nothing any more, and may.
    MayStop,
}
