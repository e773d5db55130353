//! Accepting connections.

use std::time::Duration;

use broker_core::ListenerKind;
use tokio::net::TcpListener;

use super::connection::Connector;
use super::outbox::Outbox;

/// After a failed accept, most often for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// Hands every new connection to the core, until the runtime stops.
pub(crate) async fn accept_forever(listener: TcpListener, kind: ListenerKind, connector: Connector) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (outbox, outgoing) = Outbox::new();
                let conn = connector.mailbox.accepted(kind, outbox);
                tracing::debug!(conn = conn.0, %peer, ?kind, "accepted");
                tokio::spawn(connector.clone().serve(conn, stream, outgoing));
            }
            Err(error) => {
                tracing::warn!(%error, ?kind, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}
