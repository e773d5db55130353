//! The primitive types of Kafka's protocol in the versions before the flexible ones, as far as they are needed.

use std::fmt;

/// Sent with every request.
const CLIENT_ID: &str = "mqproof-bench";
/// Where the correlation id of a request stands in its frame: after the length, the key and the version.
const CORRELATION: std::ops::Range<usize> = 8..12;

/// The requests that are spoken, each in one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    /// Version 8: error details are there and skipped; 9 is flexible.
    Produce,
    /// Version 11, without a session; 12 is flexible.
    Fetch,
    /// Version 0.
    ApiVersions,
}

impl Api {
    /// Its number.
    pub fn key(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Fetch => 1,
            Self::ApiVersions => 18,
        }
    }

    /// The version that is spoken.
    pub fn version(self) -> i16 {
        match self {
            Self::Produce => 8,
            Self::Fetch => 11,
            Self::ApiVersions => 0,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::ApiVersions => "ApiVersions",
        })
    }
}

/// A request, with its length in front.
#[derive(Clone, Debug)]
pub(super) struct Request(Vec<u8>);

impl Request {
    pub(super) fn new(api: Api) -> Self {
        Self(vec![0; 4]).i16(api.key()).i16(api.version()).i32(0).string(CLIENT_ID)
    }

    pub(super) fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn string(self, text: &str) -> Self {
        let mut with = self.i16(text.len() as i16);
        with.0.extend(text.as_bytes());
        with
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut with = self.i32(bytes.len() as i32);
        with.0.extend(bytes);
        with
    }

    /// The frame, which may be sent any number of times, each time under another id.
    pub(super) fn frame(&mut self, correlation: i32) -> &[u8] {
        let length = (self.0.len() - 4) as i32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[CORRELATION].copy_from_slice(&correlation.to_be_bytes());
        &self.0
    }
}

/// What is left of an answer. Every read fails with what was expected where the bytes end too early.
pub(super) struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N).map(|bytes| bytes.try_into().expect("as many bytes as were taken"))
    }

    pub(super) fn i16(&mut self) -> Result<i16, &'static str> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, &'static str> {
        self.array().map(i32::from_be_bytes)
    }

    /// The number of elements of an array; that of none at all is −1.
    pub(super) fn count(&mut self) -> Result<usize, &'static str> {
        self.i32().map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// A string or null.
    pub(super) fn string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.i16()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }

    /// Bytes or null.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], &'static str> {
        let length = self.i32()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_the_protocol_says_and_keeps_all_but_its_id() {
        let mut request = Request::new(Api::Fetch).i8(-1).string("ab").bytes(&[7]);
        let mut wanted = vec![0, 0, 0, 33, 0, 1, 0, 11, 0, 0, 0, 5, 0, 13];
        wanted.extend(b"mqproof-bench");
        wanted.extend([255, 0, 2, b'a', b'b', 0, 0, 0, 1, 7]);
        assert_eq!(request.frame(5), wanted);
        wanted[11] = 6;
        assert_eq!(request.frame(6), wanted);
    }

    #[test]
    fn an_answer_that_ends_too_early_is_an_error() {
        let mut answer = Answer::new(&[0, 1, 255, 255, 0, 0, 0, 9, 1]);
        assert_eq!(answer.i16(), Ok(1));
        assert_eq!(answer.string(), Ok(&[][..]));
        assert_eq!(answer.bytes(), Err("it ends too early"));
    }
}
