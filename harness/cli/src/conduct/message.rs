//! What the conductor is told while a cell runs.

use mqproof_drivers::client::ClientLine;

use super::client_process::ClientId;
use super::watch::Observation;

/// One message to the conductor.
pub enum Message {
    /// A client printed a line.
    Client(ClientId, ClientLine),
    /// A client closed its standard output.
    ClientEnded(ClientId),
    /// The watcher saw the cluster.
    Observed(Observation),
}
