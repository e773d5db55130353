//! One connection, on which one question at a time is asked.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::frame::{FrameError, Incoming, MAX_FRAME, Request, Response, decode};

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RemotingError {
    #[error("`{0}`: {1}")]
    Io(String, String),
    #[error("`{0}` did not answer in time")]
    TimedOut(String),
    #[error("`{0}`: {1}")]
    Frame(String, FrameError),
}

/// A connection to one address.
#[derive(Debug)]
pub(crate) struct Connection {
    address: String,
    stream: TcpStream,
    opaque: u32,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: &str, deadline: Instant) -> Result<Self, RemotingError> {
        let failed = |why: io::Error| RemotingError::of(address, &why);
        let target = address
            .to_socket_addrs()
            .map_err(failed)?
            .next()
            .ok_or_else(|| RemotingError::Io(address.to_owned(), "no such address".to_owned()))?;
        let stream = TcpStream::connect_timeout(&target, left(address, deadline)?).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self { address: address.to_owned(), stream, opaque: 0 })
    }

    /// Asks and waits. After an error the connection is of no more use: an answer may still be on its way.
    pub(crate) fn ask(&mut self, request: &Request, deadline: Instant) -> Result<Response, RemotingError> {
        self.opaque = self.opaque.wrapping_add(1);
        let timeout = left(&self.address, deadline)?;
        self.stream
            .set_write_timeout(Some(timeout))
            .and_then(|()| self.stream.write_all(&request.encode(self.opaque)))
            .map_err(|why| RemotingError::of(&self.address, &why))?;
        loop {
            let frame = self.read_frame(deadline)?;
            match decode(&frame).map_err(|why| RemotingError::Frame(self.address.clone(), why))? {
                Incoming::Response(opaque, response) if opaque == self.opaque => return Ok(response),
                Incoming::Response(..) | Incoming::Request(_) => {}
            }
        }
    }

    fn read_frame(&mut self, deadline: Instant) -> Result<Vec<u8>, RemotingError> {
        let mut length = [0; 4];
        self.read_exact(&mut length, deadline)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(RemotingError::Frame(self.address.clone(), FrameError::Length(length)));
        }
        let mut frame = vec![0; length];
        self.read_exact(&mut frame, deadline)?;
        Ok(frame)
    }

    /// As of `Read`, but the deadline is that of all bytes together.
    fn read_exact(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<(), RemotingError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let timeout = left(&self.address, deadline)?;
            let read = self
                .stream
                .set_read_timeout(Some(timeout))
                .and_then(|()| self.stream.read(&mut buffer[filled..]))
                .map_err(|why| RemotingError::of(&self.address, &why))?;
            if read == 0 {
                return Err(RemotingError::of(&self.address, &io::ErrorKind::UnexpectedEof.into()));
            }
            filled += read;
        }
        Ok(())
    }
}

impl RemotingError {
    fn of(address: &str, why: &io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut(address.to_owned()),
            _ => Self::Io(address.to_owned(), why.to_string()),
        }
    }
}

fn left(address: &str, deadline: Instant) -> Result<Duration, RemotingError> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A time-out of nothing would mean none.
    if left < Duration::from_micros(1) { Err(RemotingError::TimedOut(address.to_owned())) } else { Ok(left) }
}
