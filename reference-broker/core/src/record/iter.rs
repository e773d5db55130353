//! Walks over batches and records without copying them.

use bytes::{Buf, Bytes};

use super::header::{BatchError, BatchHeader, Compression, HEADER_BYTES};
use super::varint;
use crate::ids::Offset;

/// One batch: its header, and all its bytes.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The decoded header.
    pub header: BatchHeader,
    /// The batch from its base offset on.
    pub bytes: Bytes,
}

/// The batches in `bytes`, one after another. Lengths are checked, checksums are not.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

/// See [`batches`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let whole = BatchHeader::parse(&self.rest).and_then(|header| {
            let need = header.size();
            let have = self.rest.len();
            if have < need { Err(BatchError::Torn { have, need }) } else { Ok(header) }
        });
        Some(match whole {
            Ok(header) => Ok(Batch { header, bytes: self.rest.split_to(header.size()) }),
            Err(error) => {
                self.rest.clear();
                Err(error)
            }
        })
    }
}

impl Batch {
    /// The records, or nothing if they are compressed.
    pub fn records(&self) -> Option<Records> {
        (self.header.compression() == Compression::None).then(|| Records {
            header: self.header,
            rest: self.bytes.slice(HEADER_BYTES..),
            left: self.header.record_count,
        })
    }
}

/// A header of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its name.
    pub key: Bytes,
    /// Its value, or null.
    pub value: Option<Bytes>,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it is in the partition.
    pub offset: Offset,
    /// In milliseconds since 1970.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<Bytes>,
    /// The value, or null.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<Header>,
}

/// The records of an uncompressed batch. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    rest: Bytes,
    left: i32,
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let record = self.decode();
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

impl Records {
    fn decode(&mut self) -> Result<Record, BatchError> {
        let length = length(number(&mut self.rest)?, &self.rest)?;
        let mut record = self.rest.split_to(length);
        if record.is_empty() {
            return Err(BatchError::Record);
        }
        let _attributes = record.split_to(1);
        let timestamp_delta = number(&mut record)?;
        let offset_delta = number(&mut record)?;
        let key = nullable(&mut record)?;
        let value = nullable(&mut record)?;
        let mut headers = Vec::new();
        for _ in 0..number(&mut record)? {
            let key = nullable(&mut record)?.ok_or(BatchError::Record)?;
            headers.push(Header { key, value: nullable(&mut record)? });
        }
        let timestamp = if self.header.is_log_append_time() {
            self.header.max_timestamp
        } else {
            self.header.base_timestamp.wrapping_add(timestamp_delta)
        };
        let offset = Offset(self.header.base_offset.0.wrapping_add(offset_delta));
        if record.is_empty() {
            Ok(Record { offset, timestamp, key, value, headers })
        } else {
            Err(BatchError::Record)
        }
    }
}

fn number(bytes: &mut Bytes) -> Result<i64, BatchError> {
    let mut view: &[u8] = bytes;
    let number = varint::take(&mut view).ok_or(BatchError::Record)?;
    let used = bytes.len() - view.len();
    bytes.advance(used);
    Ok(number)
}

fn length(number: i64, bytes: &Bytes) -> Result<usize, BatchError> {
    usize::try_from(number).ok().filter(|length| *length <= bytes.len()).ok_or(BatchError::Record)
}

fn nullable(bytes: &mut Bytes) -> Result<Option<Bytes>, BatchError> {
    match number(bytes)? {
        -1 => Ok(None),
        number => {
            let length = length(number, bytes)?;
            Ok(Some(bytes.split_to(length)))
        }
    }
}
