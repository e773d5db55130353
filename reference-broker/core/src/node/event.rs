//! What a shell tells the core, and what the core asks of it.

use bytes::Bytes;

use crate::disk::{DiskError, FileId};
use crate::ids::{ConnId, NodeId};

/// The time, given with every event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Now {
    /// Nanoseconds of a clock that never goes back; all timers use it.
    pub mono_ns: u64,
    /// Milliseconds since 1970, which may jump; only for time stamps of records.
    pub wall_ms: i64,
}

/// Which door a connection came in by. The client listener offers what librdkafka speaks, the internal one the
/// schemas that Kafka's own brokers and controllers use among themselves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ListenerKind {
    /// Producers, consumers, admin clients.
    Client,
    /// Brokers and controllers of the same cluster.
    Internal,
}

/// A host and port to dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// Ties an [`Effect::Sync`] to its [`Event::Synced`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SyncToken(pub u64);

/// What has happened to a node.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody connected; the shell gives even connection ids.
    Accepted {
        /// The new connection.
        conn: ConnId,
        /// The door it came in by.
        listener: ListenerKind,
    },
    /// A connection that [`Effect::Dial`] asked for stands.
    Connected {
        /// The id given by the core.
        conn: ConnId,
    },
    /// A connection is gone or could not be made. The id is never used again.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// One whole frame came in, without its length prefix.
    Frame {
        /// The connection.
        conn: ConnId,
        /// A request on an accepted connection, a response on a dialled one.
        frame: Bytes,
    },
    /// A flush has ended.
    Synced {
        /// The token of the effect.
        token: SyncToken,
        /// Whether all bytes written before the effect was issued are durable.
        result: Result<(), DiskError>,
    },
    /// The time that [`Node::next_tick_ns`](super::Node::next_tick_ns) named has come.
    Tick,
    /// Please stop in an orderly way: hand over leadership, then [`Effect::Exit`].
    Shutdown,
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open a connection; answer with [`Event::Connected`] or [`Event::Closed`].
    Dial {
        /// An odd id, given by the core.
        conn: ConnId,
        /// Who should be there; a shell may use it to choose a route.
        node: NodeId,
        /// Where to connect to.
        endpoint: Endpoint,
    },
    /// Send one frame: the parts one after another, to be preceded by their total length as a big-endian `i32`.
    Send {
        /// The connection.
        conn: ConnId,
        /// The parts, so that stored batches are not copied.
        parts: Vec<Bytes>,
    },
    /// The peer of an accepted connection has logged in, where it had to: from now on frames may be larger than
    /// [`LOGIN_FRAME_MAX`](crate::auth::LOGIN_FRAME_MAX).
    Admitted {
        /// The connection.
        conn: ConnId,
    },
    /// Close after what was sent before; no [`Event::Closed`] follows.
    Close {
        /// The connection.
        conn: ConnId,
    },
    /// Make all that was written to these files so far durable, and answer with [`Event::Synced`].
    Sync {
        /// The files, of one log.
        files: Vec<FileId>,
        /// For the answer.
        token: SyncToken,
    },
    /// The node has stopped; end the process.
    Exit {
        /// True after an orderly stop.
        clean: bool,
        /// For the log.
        reason: String,
    },
}
