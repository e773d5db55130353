//! What waits to be sent on a connection.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// A peer that lets so much wait is cut off, so that a slow reader cannot eat the memory of the node. More than
/// twice what one fetch of a default consumer returns.
const QUEUED_BYTES_MAX: usize = 128 << 20;
/// A peer that takes not one byte for so long is cut off.
const STUCK: Duration = Duration::from_mins(1);
/// What a queued frame costs beyond its bytes.
const FRAME_OVERHEAD: usize = 64;
const SLICES_MAX: usize = 64;

/// The core's end of a connection. Dropping it closes the connection after what was sent before.
pub(crate) struct Outbox {
    frames: mpsc::UnboundedSender<Vec<Bytes>>,
    shared: Arc<Shared>,
}

/// The connection's end: what to write.
pub(super) struct Outgoing {
    frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
    shared: Arc<Shared>,
}

struct Shared {
    queued_bytes: AtomicUsize,
    cut: Notify,
    admitted: AtomicBool,
}

/// Whether the peer has logged in, or need not.
pub(super) struct Admission(Arc<Shared>);

impl Admission {
    pub(super) fn is_given(&self) -> bool {
        self.0.admitted.load(Ordering::Acquire)
    }
}

impl Outbox {
    pub(super) fn new(admitted: bool) -> (Self, Outgoing) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            queued_bytes: AtomicUsize::new(0),
            cut: Notify::new(),
            admitted: AtomicBool::new(admitted),
        });
        (Self { frames: sender, shared: Arc::clone(&shared) }, Outgoing { frames: receiver, shared })
    }

    /// The peer has logged in.
    pub(crate) fn admit(&self) {
        self.shared.admitted.store(true, Ordering::Release);
    }

    /// Queues one frame. False if the peer is too slow: the connection is cut, and this outbox is of no more use.
    pub(crate) fn send(&self, parts: Vec<Bytes>) -> bool {
        let cost = cost(&parts);
        if self.shared.queued_bytes.fetch_add(cost, Ordering::Relaxed) + cost > QUEUED_BYTES_MAX {
            self.shared.cut.notify_one();
            return false;
        }
        // A closed queue means that the connection has just ended; its `Closed` is on the way.
        let _ = self.frames.send(parts);
        true
    }
}

impl Outgoing {
    /// For the other half of the connection.
    pub(super) fn admission(&self) -> Admission {
        Admission(Arc::clone(&self.shared))
    }

    /// Writes frames until the core closes the connection, cuts it off, or the peer is gone.
    pub(super) async fn write_all(mut self, socket: impl AsyncWrite + Unpin) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            result = self.write_frames(socket) => result,
            () = shared.cut.notified() => Err(io::Error::other("the peer reads too slowly")),
        }
    }

    async fn write_frames(&mut self, mut socket: impl AsyncWrite + Unpin) -> io::Result<()> {
        let mut slices = Vec::new();
        while let Some(frame) = self.frames.recv().await {
            let mut taken = push(&mut slices, frame);
            while slices.len() < SLICES_MAX
                && let Ok(frame) = self.frames.try_recv()
            {
                taken += push(&mut slices, frame);
            }
            write_parts(&mut socket, &mut slices).await?;
            // TLS may hold back the end of what it has taken.
            patiently(socket.flush()).await?;
            self.shared.queued_bytes.fetch_sub(taken, Ordering::Relaxed);
        }
        patiently(socket.shutdown()).await
    }
}

fn cost(parts: &[Bytes]) -> usize {
    FRAME_OVERHEAD + parts.iter().map(Bytes::len).sum::<usize>()
}

/// Adds a frame with its length prefix; returns its cost.
fn push(slices: &mut Vec<Bytes>, parts: Vec<Bytes>) -> usize {
    let length: usize = parts.iter().map(Bytes::len).sum();
    let cost = cost(&parts);
    slices.push(Bytes::copy_from_slice(&(length as i32).to_be_bytes()));
    slices.extend(parts);
    cost
}

/// Writes all parts, several at a time, and empties the list.
async fn write_parts(socket: &mut (impl AsyncWrite + Unpin), parts: &mut Vec<Bytes>) -> io::Result<()> {
    let mut first = 0;
    loop {
        while parts.get(first).is_some_and(Bytes::is_empty) {
            first += 1;
        }
        if first == parts.len() {
            parts.clear();
            return Ok(());
        }
        let mut written = {
            let slices: Vec<IoSlice<'_>> =
                parts[first..].iter().take(SLICES_MAX).map(|part| IoSlice::new(part)).collect();
            patiently(socket.write_vectored(&slices)).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while written > 0 {
            let step = written.min(parts[first].len());
            parts[first].advance(step);
            written -= step;
            if parts[first].is_empty() {
                first += 1;
            }
        }
    }
}

async fn patiently<T>(write: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STUCK, write).await.unwrap_or_else(|_| Err(io::Error::other("the peer takes no bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn frames_are_written_in_order_with_their_lengths() {
        let (outbox, outgoing) = Outbox::new(true);
        // A pipe that takes five bytes at a time cuts the writes across the parts.
        let (near, mut far) = tokio::io::duplex(5);
        assert!(outbox.send(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cdefgh")]));
        assert!(outbox.send(Vec::new()));
        drop(outbox);
        let writer = tokio::spawn(outgoing.write_all(near));
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(received, b"\0\0\0\x08abcdefgh\0\0\0\0");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_cut_off() {
        let (outbox, outgoing) = Outbox::new(true);
        let (near, _far) = tokio::io::duplex(5);
        let writer = tokio::spawn(outgoing.write_all(near));
        let part = Bytes::from(vec![0; 1 << 20]);
        let queued = (0..1000).take_while(|_| outbox.send(vec![part.clone()])).count();
        assert!((100..=128).contains(&queued), "{queued}");
        assert!(writer.await.unwrap().is_err());
    }
}
