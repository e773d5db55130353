//! One connection: frames in, frames out, one task.

use std::io;
use std::time::Duration;

use broker_core::{ConnId, Endpoint, Event};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::FrameDecoder;
use super::outbox::{Outbox, Outgoing};
use crate::core_loop::Mailbox;

const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What every connection of a node needs.
#[derive(Clone)]
pub(crate) struct Connector {
    /// Where events go.
    pub(crate) mailbox: Mailbox,
    /// `socket.request.max.bytes`.
    pub(crate) frame_max: usize,
    /// Held by every connection, so that a stopping node can wait for its last frames to leave.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// Connects in the background; the core hears `Connected` or `Closed`.
pub(crate) fn dial(connector: &Connector, conn: ConnId, endpoint: Endpoint) -> Outbox {
    let (outbox, outgoing) = Outbox::new();
    let connector = connector.clone();
    tokio::spawn(async move {
        let address = (endpoint.host.as_str(), endpoint.port);
        match timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                connector.mailbox.event(Event::Connected { conn });
                connector.serve(conn, stream, outgoing).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(conn = conn.0, host = endpoint.host, port = endpoint.port, %error, "cannot connect");
                connector.mailbox.event(Event::Closed { conn });
            }
            Err(_) => {
                tracing::debug!(
                    conn = conn.0,
                    host = endpoint.host,
                    port = endpoint.port,
                    "connecting timed out"
                );
                connector.mailbox.event(Event::Closed { conn });
            }
        }
    });
    outbox
}

impl Connector {
    /// Carries frames both ways until either end is done, then tells the core.
    pub(super) async fn serve(self, conn: ConnId, mut stream: TcpStream, outgoing: Outgoing) {
        let peer = stream.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string());
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(conn = conn.0, %error, "cannot set TCP_NODELAY");
        }
        let (reader, writer) = stream.split();
        let result = tokio::select! {
            result = self.read_frames(conn, reader) => result,
            result = outgoing.write_all(writer) => result,
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(conn = conn.0, peer, "closed: {error}");
            }
            Err(error) => tracing::debug!(conn = conn.0, peer, "closed: {error}"),
            Ok(()) => tracing::debug!(conn = conn.0, peer, "closed"),
        }
        self.mailbox.event(Event::Closed { conn });
    }

    async fn read_frames(&self, conn: ConnId, mut socket: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut decoder = FrameDecoder::new(self.frame_max);
        loop {
            while let Some(frame) =
                decoder.next_frame().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                self.mailbox.frame(conn, frame).await;
            }
            if socket.read_buf(decoder.room()).await? == 0 {
                return Ok(());
            }
        }
    }
}
