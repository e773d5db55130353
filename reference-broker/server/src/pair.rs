//! Controller and broker in one process: the smallest usable cluster.

use std::thread;

use broker_core::Peer;

use crate::error::{ExitReason, ServerError};
use crate::options::NodeOptions;
use crate::server::Server;

/// Runs a controller and one broker that knows no other controller, until the broker is stopped. They talk over
/// loopback like nodes of any cluster; signals go to the broker, and the controller follows it.
pub fn run_pair(controller: NodeOptions, mut broker: NodeOptions) -> Result<ExitReason, ServerError> {
    let node = controller.config.node_id;
    let controller = Server::bind(NodeOptions { handle_signals: false, ..controller })?;
    broker.config.controllers = vec![Peer { node, endpoint: controller.internal_endpoint().clone() }];
    let broker = Server::bind(broker)?;

    let (stop_controller, stop_broker) = (controller.stop_handle(), broker.stop_handle());
    let controller = thread::Builder::new()
        .name("controller".into())
        .spawn(move || {
            let result = controller.run();
            // If the controller ends first, the broker is of no use any more; else it is gone already.
            stop_broker.stop();
            result
        })
        .map_err(ServerError::Thread)?;
    let broker_end = broker.run();
    stop_controller.stop();
    let controller_end =
        controller.join().unwrap_or_else(|_| Err(ServerError::Panicked("controller".into())));
    match (broker_end?, controller_end?) {
        (ExitReason::Clean, other) => Ok(other),
        (other, _) => Ok(other),
    }
}
