//! Moves the bytes of one connection, in both directions, as the link's mode says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::link::{Link, LinkMode};

/// Bytes read at once: small enough that a rate limit is smooth, large enough not to cost much.
const CHUNK_BYTES: usize = 64 * 1024;

/// Chunks on the way in one direction; a stalled or slow link holds so many and then pushes back, as TCP does.
const CHUNKS_IN_FLIGHT: usize = 64;

/// Serves one accepted connection until either side ends or the link is cut.
pub async fn serve(link: Arc<Link>, mut client: TcpStream, upstream: SocketAddr, mark: Option<u32>) {
    let mut mode = link.watch();
    if *mode.borrow() == LinkMode::Cut {
        link.count_reset();
        reset(&client);
        return;
    }
    // A node that is down: accept, then reset.
    let Ok(mut server) = connect(upstream, mark).await else {
        reset(&client);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    link.opened();
    let orderly = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let up = direction(&link, client_read, server_write);
        let down = direction(&link, server_read, client_write);
        let cut = mode.wait_for(|mode| *mode == LinkMode::Cut);
        tokio::pin!(up, down);
        tokio::select! {
            ended = async {
                tokio::select! {
                    ended = &mut up => ended.and(down.await),
                    ended = &mut down => ended.and(up.await),
                }
            } => ended.is_ok(),
            _ = cut => {
                link.count_reset();
                false
            }
        }
    };
    if !orderly {
        reset(&client);
        reset(&server);
    }
    link.closed();
}

async fn connect(upstream: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    let socket = if upstream.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(mark) = mark {
        socket2::SockRef::from(&socket).set_mark(mark)?;
    }
    socket.connect(upstream).await
}

/// Makes the kernel answer with RST instead of FIN when the socket is closed.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One direction: a reader that stamps each chunk with the time it is due, and a writer that waits for it.
async fn direction(link: &Link, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    let (send, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_IN_FLIGHT);
    let reader = async move {
        let mut pace = Pace::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok::<(), io::Error>(());
            }
            let due = pace.due(link, length);
            if send.send((due, buffer[..length].to_vec())).await.is_err() {
                return Ok(());
            }
        }
    };
    let writer = async move {
        let mut mode = link.watch();
        while let Some((due, chunk)) = chunks.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            if hold_while_stalled(link, &mut mode, chunk.len()).await && chunks.is_closed() {
                // The sender is gone and cannot send them again: a network would have lost them.
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            to.write_all(&chunk).await?;
            link.count_passed(chunk.len());
        }
        // The end of the stream is held too.
        hold_while_stalled(link, &mut mode, 0).await;
        to.shutdown().await
    };
    let (read, written) = tokio::join!(reader, writer);
    read.and(written)
}

/// Waits until the link is not stalled; true if it was.
async fn hold_while_stalled(link: &Link, mode: &mut watch::Receiver<LinkMode>, bytes: usize) -> bool {
    if *mode.borrow_and_update() != LinkMode::Stall {
        return false;
    }
    link.count_held(bytes);
    let _ = mode.wait_for(|mode| *mode != LinkMode::Stall).await;
    true
}

/// When the next chunk of a slow link is due.
#[derive(Default)]
struct Pace {
    free_at: Option<Instant>,
}

impl Pace {
    fn due(&mut self, link: &Link, bytes: usize) -> Instant {
        let now = Instant::now();
        let LinkMode::Slow { latency, bytes_per_s } = link.mode() else {
            self.free_at = None;
            return now;
        };
        link.count_delayed(bytes);
        let begins = self.free_at.map_or(now, |free| free.max(now));
        let takes = if bytes_per_s == 0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(bytes as f64 / bytes_per_s as f64)
        };
        self.free_at = Some(begins + takes);
        begins + takes + latency
    }
}
