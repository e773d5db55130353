//! One connection, on which many requests are under way at once.
//!
//! A thread connects and writes, another one reads; what they see is reported to the owner. A frozen peer holds up the
//! threads of its own channel and nobody else.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::frame::{Incoming, MAX_FRAME, Request, Response, decode};

/// How long connecting may take; the default of the Java client.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Bytes written at once, about.
const WRITE_AT_ONCE: usize = 256 << 10;

/// What happened on a channel.
#[derive(Debug)]
pub(crate) enum Report {
    /// A one-way request was handed to the kernel.
    Written(u32),
    /// The answer to a request.
    Answer(u32, Response),
    /// The peer tells or asks something.
    Asked(Request),
    /// The connection is gone, or never came about (then nothing was sent). The last report.
    Closed {
        /// Whether it came about.
        was_open: bool,
        /// In words.
        why: String,
    },
}

/// A connection to one address. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Channel {
    frames: Sender<Frame>,
    stream: Arc<Mutex<Option<TcpStream>>>,
}

struct Frame {
    opaque: u32,
    bytes: Vec<u8>,
    is_one_way: bool,
}

impl Channel {
    /// Begins to connect. What is sent meanwhile is sent then.
    pub(crate) fn open(address: &str, sink: impl Fn(Report) + Send + Clone + 'static) -> Self {
        let (frames, waiting) = channel();
        let stream = Arc::new(Mutex::new(None));
        let (address, shared) = (address.to_owned(), Arc::clone(&stream));
        thread::spawn(move || {
            if let Err(why) = serve(&address, &waiting, &shared, &sink) {
                sink(Report::Closed { was_open: false, why: why.to_string() });
            }
        });
        Self { frames, stream }
    }

    /// Sends a request; `opaque` comes back in its answer.
    pub(crate) fn send(&self, opaque: u32, request: &Request) {
        let frame = Frame { opaque, bytes: request.encode(opaque), is_one_way: request.is_one_way };
        // The thread has gone only after its last report, which is on its way.
        let _ = self.frames.send(frame);
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Some(stream) = &*self.stream.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Connects and writes. An error: the connection did not come about.
fn serve(
    address: &str,
    frames: &Receiver<Frame>,
    shared: &Mutex<Option<TcpStream>>,
    sink: &(impl Fn(Report) + Send + Clone + 'static),
) -> io::Result<()> {
    let target = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&target, CONNECT_WITHIN)?;
    stream.set_nodelay(true)?;
    let reading = stream.try_clone()?;
    *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream.try_clone()?);
    let reports = sink.clone();
    thread::spawn(move || {
        let why = read(reading, &reports).expect_err("reading ends with an error");
        reports(Report::Closed { was_open: true, why: why.to_string() });
    });
    // The reader says that it is over.
    let _ = write(&mut stream, frames, sink);
    let _ = stream.shutdown(Shutdown::Both);
    Ok(())
}

fn write(stream: &mut TcpStream, frames: &Receiver<Frame>, sink: &impl Fn(Report)) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut one_way = Vec::new();
    while let Ok(frame) = frames.recv() {
        bytes.clear();
        let mut next = Some(frame);
        while let Some(frame) = next {
            bytes.extend_from_slice(&frame.bytes);
            if frame.is_one_way {
                one_way.push(frame.opaque);
            }
            next = if bytes.len() < WRITE_AT_ONCE { frames.try_recv().ok() } else { None };
        }
        stream.write_all(&bytes)?;
        one_way.drain(..).for_each(|opaque| sink(Report::Written(opaque)));
    }
    Ok(())
}

fn read(stream: TcpStream, sink: &impl Fn(Report)) -> io::Result<()> {
    let odd = |why: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, why.to_string());
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(odd(&format!("a frame of `{length}` bytes")));
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame)?;
        sink(match decode(&frame).map_err(|why| odd(&why))? {
            Incoming::Response(opaque, response) => Report::Answer(opaque, response),
            Incoming::Request(request) => Report::Asked(request),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc::RecvTimeoutError;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    fn open(address: &str) -> (Channel, Receiver<Report>) {
        let (sink, reports) = channel();
        let sink = move |report| drop(sink.send(report));
        (Channel::open(address, sink), reports)
    }

    fn answer(opaque: u32, flag: u32) -> Vec<u8> {
        let header = format!(r#"{{"code":{opaque},"flag":{flag},"opaque":{opaque}}}"#);
        let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
        frame.extend((header.len() as u32).to_be_bytes());
        frame.extend(header.as_bytes());
        frame
    }

    #[test]
    fn answers_come_in_any_order_and_the_peer_may_ask_in_between() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (channel, reports) = open(&listener.local_addr().unwrap().to_string());
        channel.send(1, &Request::new(5));
        channel.send(2, &Request::new(5));
        channel.send(3, &Request::new(5).one_way());
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Written(3))));
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(&[answer(2, 1), answer(40, 0), answer(1, 1)].concat()).unwrap();
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Answer(2, _))));
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Asked(Request { code: 40, .. }))));
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Answer(1, _))));
        drop(peer);
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Closed { was_open: true, .. })));
        assert!(matches!(reports.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout)));
    }

    #[test]
    fn a_connection_that_never_came_about_says_so() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (channel, reports) = open(&address);
        channel.send(1, &Request::new(5));
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Closed { was_open: false, .. })));
    }

    #[test]
    fn a_channel_that_is_dropped_closes_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (channel, reports) = open(&listener.local_addr().unwrap().to_string());
        channel.send(1, &Request::new(5).one_way());
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Written(1))));
        drop(channel);
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(SOON)).unwrap();
        assert!(peer.read_to_end(&mut Vec::new()).is_ok(), "the peer sees the end");
        assert!(matches!(reports.recv_timeout(SOON), Ok(Report::Closed { was_open: true, .. })));
    }
}
