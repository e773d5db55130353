//! A connection, encrypted or not.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{Error, InvalidMessage};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// A peer that has not said enough to encrypt by then is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that frames can be carried over.
pub(super) enum Stream {
    /// In clear text.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The side that was dialled.
    pub(super) async fn accepted(stream: TcpStream, tls: Option<&TlsAcceptor>) -> io::Result<Self> {
        hasten(&stream);
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        in_time(tls.accept(stream)).await.map(|stream| Self::Tls(Box::new(stream.into())))
    }

    /// The side that has dialled `host`, for which the other side must have a certificate.
    pub(super) async fn dialled(
        stream: TcpStream,
        tls: Option<&TlsConnector>,
        host: &str,
    ) -> io::Result<Self> {
        hasten(&stream);
        let Some(tls) = tls else { return Ok(Self::Plain(stream)) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        in_time(tls.connect(name, stream)).await.map(|stream| Self::Tls(Box::new(stream.into())))
    }

    /// Who is at the other end, for logs.
    pub(super) fn peer(&self) -> String {
        let socket = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        socket.peer_addr().map_or_else(|_| "?".into(), |address| address.to_string())
    }
}

fn hasten(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}

async fn in_time<S>(handshake: impl Future<Output = io::Result<S>>) -> io::Result<S> {
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Err(error)) if speaks_plain_text(&error) => {
            Err(io::Error::other("the peer does not speak TLS: is its `security.protocol` another one?"))
        }
        Ok(result) => result,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("not done after {HANDSHAKE_TIMEOUT:?}")))
        }
    }
}

fn speaks_plain_text(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    matches!(error, Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)))
}
