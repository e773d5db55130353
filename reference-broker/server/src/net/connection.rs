//! One connection: frames in, frames out, one task.

use std::io;
use std::time::Duration;

use broker_core::auth::LOGIN_FRAME_MAX;
use broker_core::{ConnId, Endpoint, Event};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::frame::FrameDecoder;
use super::outbox::{Admission, Outbox, Outgoing};
use super::stream::Stream;
use crate::core_loop::Mailbox;

const DIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What every connection of a node needs.
#[derive(Clone)]
pub(crate) struct Connector {
    /// Where events go.
    pub(crate) mailbox: Mailbox,
    /// `socket.request.max.bytes`.
    pub(crate) frame_max: usize,
    /// What is spoken with other nodes, if not plain text.
    pub(crate) tls: Option<TlsConnector>,
    /// Held by every connection, so that a stopping node can wait for its last frames to leave.
    pub(crate) _alive: mpsc::Sender<()>,
}

/// Connects in the background; the core hears `Connected` or `Closed`.
pub(crate) fn dial(connector: &Connector, conn: ConnId, endpoint: Endpoint) -> Outbox {
    let (outbox, outgoing) = Outbox::new(true);
    let connector = connector.clone();
    tokio::spawn(async move {
        match connect(&endpoint, connector.tls.as_ref()).await {
            Some(stream) => {
                connector.mailbox.event(Event::Connected { conn });
                connector.serve(conn, stream, outgoing).await;
            }
            None => {
                connector.mailbox.event(Event::Closed { conn });
            }
        }
    });
    outbox
}

async fn connect(endpoint: &Endpoint, tls: Option<&TlsConnector>) -> Option<Stream> {
    let Endpoint { host, port } = endpoint;
    let stream = match timeout(DIAL_TIMEOUT, TcpStream::connect((host.as_str(), *port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(host, port, %error, "cannot connect");
            return None;
        }
        Err(_) => {
            tracing::debug!(host, port, "connecting timed out");
            return None;
        }
    };
    Stream::dialled(stream, tls, host)
        .await
        .inspect_err(|error| tracing::warn!(host, port, %error, "TLS handshake with another node failed"))
        .ok()
}

impl Connector {
    /// Carries frames both ways until either end is done, then tells the core.
    pub(super) async fn serve(self, conn: ConnId, stream: Stream, outgoing: Outgoing) {
        let (peer, admission) = (stream.peer(), outgoing.admission());
        let result = match stream {
            Stream::Plain(mut stream) => {
                let (reader, writer) = stream.split();
                self.carry(conn, reader, writer, outgoing).await
            }
            Stream::Tls(stream) => {
                let (reader, writer) = tokio::io::split(stream);
                self.carry(conn, reader, writer, outgoing).await
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(conn = conn.0, peer, "closed: {error}");
            }
            Err(error) => tracing::debug!(conn = conn.0, peer, "closed: {error}"),
            Ok(()) => tracing::debug!(conn = conn.0, peer, "closed"),
        }
        if !admission.is_given() {
            tracing::info!(conn = conn.0, peer, "gone without a login");
        }
        self.mailbox.event(Event::Closed { conn });
    }

    async fn carry(
        &self,
        conn: ConnId,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        outgoing: Outgoing,
    ) -> io::Result<()> {
        let admission = outgoing.admission();
        tokio::select! {
            result = self.read_frames(conn, admission, reader) => result,
            result = outgoing.write_all(writer) => result,
        }
    }

    async fn read_frames(
        &self,
        conn: ConnId,
        admission: Admission,
        mut socket: impl AsyncRead + Unpin,
    ) -> io::Result<()> {
        let mut decoder = FrameDecoder::default();
        loop {
            // A stranger must not fill the memory.
            while let Some(frame) = decoder
                .next_frame(if admission.is_given() { self.frame_max } else { LOGIN_FRAME_MAX })
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                self.mailbox.frame(conn, frame).await;
            }
            if socket.read_buf(decoder.room()).await? == 0 {
                return Ok(());
            }
        }
    }
}
