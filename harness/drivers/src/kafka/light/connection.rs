//! A connection to one broker: requests go out one after the other, and answers come back in the same order.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::error::LightError;
use super::wire::{Answer, Api, Request};

/// How long a read waits before its caller may look around.
const TICK: Duration = Duration::from_millis(50);
/// How long the broker may be silent with a request open.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The first size of the buffer of answers.
const BUFFER_BYTES: usize = 256 << 10;
/// No answer is larger.
const ANSWER_MAX_BYTES: usize = 256 << 20;

/// A connection.
pub struct LightConnection {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
}

/// Its outgoing half.
pub(super) struct Sender {
    address: String,
    stream: TcpStream,
    next: i32,
}

/// Its incoming half.
pub(super) struct Receiver {
    pub(super) address: String,
    stream: TcpStream,
    next: i32,
    buffer: Vec<u8>,
    /// What was received and not handed out.
    begin: usize,
    end: usize,
}

impl LightConnection {
    /// Connects to `HOST:PORT`, and asks whether all that will be asked is offered.
    pub fn open(address: &str, within: Duration) -> Result<Self, LightError> {
        let failed = |source| LightError::Io { address: address.to_owned(), source };
        let target = address
            .to_socket_addrs()
            .map_err(failed)?
            .next()
            .ok_or_else(|| failed(io::Error::new(io::ErrorKind::NotFound, "no such address")))?;
        let stream = TcpStream::connect_timeout(&target, within).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(TICK)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(failed)?;
        let outgoing = stream.try_clone().map_err(failed)?;
        let mut connection = Self {
            sender: Sender { address: address.to_owned(), stream: outgoing, next: 0 },
            receiver: Receiver {
                address: address.to_owned(),
                stream,
                next: 0,
                buffer: vec![0; BUFFER_BYTES],
                begin: 0,
                end: 0,
            },
        };
        connection.check_versions()?;
        Ok(connection)
    }

    fn check_versions(&mut self) -> Result<(), LightError> {
        self.sender.send(&mut Request::new(Api::ApiVersions))?;
        let address = self.receiver.address.clone();
        let offered = self.receiver.receive(|answer| {
            answer.i16()?;
            (0..answer.count()?)
                .map(|_| Ok((answer.i16()?, answer.i16()?, answer.i16()?)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        for api in [Api::Produce, Api::Fetch] {
            let is_offered = |(key, min, max): &(i16, i16, i16)| {
                *key == api.key() && (*min..=*max).contains(&api.version())
            };
            if !offered.iter().any(is_offered) {
                return Err(LightError::NotOffered { address, api });
            }
        }
        Ok(())
    }
}

impl Sender {
    /// Sends the request under the next id.
    pub(super) fn send(&mut self, request: &mut Request) -> Result<(), LightError> {
        let frame = request.frame(self.next);
        self.next = self.next.wrapping_add(1);
        self.stream
            .write_all(frame)
            .map_err(|source| LightError::Io { address: self.address.clone(), source })
    }
}

impl Receiver {
    /// Waits for the next answer and reads it.
    pub(super) fn receive<T>(
        &mut self,
        read: impl FnOnce(&mut Answer<'_>) -> Result<T, &'static str>,
    ) -> Result<T, LightError> {
        let until = Instant::now() + ANSWER_WITHIN;
        while !self.is_ready()? {
            if Instant::now() > until {
                return Err(LightError::Silent(self.address.clone()));
            }
        }
        self.next(read)
    }

    /// Whether a whole answer is there; waits a moment for one.
    pub(super) fn is_ready(&mut self) -> Result<bool, LightError> {
        while self.whole_frame()?.is_none() {
            self.make_room();
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(LightError::Closed(self.address.clone())),
                Ok(count) => self.end += count,
                Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(false);
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LightError::Io { address: self.address.clone(), source }),
            }
        }
        Ok(true)
    }

    /// Reads the answer that is there.
    fn next<T>(
        &mut self,
        read: impl FnOnce(&mut Answer<'_>) -> Result<T, &'static str>,
    ) -> Result<T, LightError> {
        let malformed = |address: &str, why| LightError::Malformed { address: address.to_owned(), why };
        let Some(size) = self.whole_frame()? else {
            return Err(malformed(&self.address, "it is not whole"));
        };
        let frame = &self.buffer[self.begin + 4..self.begin + size];
        let mut answer = Answer::new(frame);
        let expected = self.next;
        let result = match answer.i32() {
            Ok(correlation) if correlation == expected => read(&mut answer),
            _ => Err("it belongs to another request"),
        };
        self.begin += size;
        self.next = self.next.wrapping_add(1);
        result.map_err(|why| malformed(&self.address, why))
    }

    /// The size of the next frame with its length, if all of it is there.
    fn whole_frame(&self) -> Result<Option<usize>, LightError> {
        let Some(size) = self.frame_size()? else { return Ok(None) };
        Ok((self.end - self.begin >= size).then_some(size))
    }

    fn frame_size(&self) -> Result<Option<usize>, LightError> {
        let received = &self.buffer[self.begin..self.end];
        let Some((length, _)) = received.split_first_chunk::<4>() else { return Ok(None) };
        let size = u32::from_be_bytes(*length) as usize + 4;
        if size > ANSWER_MAX_BYTES {
            return Err(LightError::Malformed { address: self.address.clone(), why: "its length is absurd" });
        }
        Ok(Some(size))
    }

    /// Moves what is there to the front, and grows to the size of the answer that is coming.
    fn make_room(&mut self) {
        if self.begin > 0 {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        let wanted = self.frame_size().ok().flatten().unwrap_or(0);
        if self.buffer.len() < wanted || self.end == self.buffer.len() {
            self.buffer.resize(wanted.max(2 * self.buffer.len()), 0);
        }
    }
}
