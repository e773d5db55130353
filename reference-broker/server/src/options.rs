//! What the server needs beyond the settings that the core knows.

use std::path::PathBuf;

use broker_core::{Endpoint, NodeConfig};

use crate::security::SecurityOptions;

/// One node on this machine.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The settings of the core. An advertised port 0 is replaced by the port that was bound, and who may log in by what
    /// [`NodeOptions::security`] says.
    pub config: NodeConfig,
    /// Where the node keeps its files; created if missing, and locked while the node runs.
    pub data_dir: PathBuf,
    /// Where clients connect; `None` for a controller. Port 0 takes a free one.
    pub client_listen: Option<Endpoint>,
    /// Where other nodes connect. Port 0 takes a free one.
    pub internal_listen: Endpoint,
    /// How many clients may be connected at once; never more than 5/8 of the files that the process may have open.
    pub max_connections: usize,
    /// Who may connect, and how; by default everybody, in clear text.
    pub security: SecurityOptions,
    /// Whether SIGTERM and SIGINT stop the node in an orderly way (a second one ends the process with status 130).
    pub handle_signals: bool,
}
