//! Accepting connections.

use std::net::SocketAddr;
use std::time::Duration;

use broker_core::ListenerKind;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;

use super::connection::Connector;
use super::limit::{Places, Refusals};
use super::outbox::Outbox;
use super::stream::Stream;

/// After a failed accept, most often for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// A way in.
#[derive(Clone)]
pub(crate) struct Door {
    /// Whom it is for.
    pub(crate) kind: ListenerKind,
    /// What is spoken there, if not plain text.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Whether a login comes before everything else.
    pub(crate) asks_for_login: bool,
    /// How many may be in at once.
    pub(crate) places: Places,
    /// What every connection needs.
    pub(crate) connector: Connector,
}

impl Door {
    /// Hands every new connection to the core, until the runtime stops.
    pub(crate) async fn accept_forever(self, listener: TcpListener) {
        let mut refusals = Refusals::default();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.places.take() {
                    Some(place) => {
                        tokio::spawn(self.clone().welcome(stream, peer, place));
                    }
                    None => refusals.note(peer, self.kind, &self.places),
                },
                Err(error) => {
                    tracing::warn!(%error, kind = ?self.kind, "cannot accept a connection");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    /// The core hears of a peer only when frames can come.
    async fn welcome(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        let stream = match Stream::accepted(stream, self.tls.as_ref()).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%peer, kind = ?self.kind, %error, "TLS handshake failed");
                return;
            }
        };
        let (outbox, outgoing) = Outbox::new(!self.asks_for_login);
        let conn = self.connector.mailbox.accepted(self.kind, outbox);
        tracing::debug!(conn = conn.0, %peer, kind = ?self.kind, "accepted");
        self.connector.serve(conn, stream, outgoing).await;
    }
}
