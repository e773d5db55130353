//! The fields of the coordinators' own records, as in Kafka's schemas.
//!
//! All integers are big-endian. In inflexible versions a string has an `i16` length, bytes an `i32` one, and −1 is null. In
//! flexible ones a length is a varint that is one larger, 0 is null, and tagged fields may follow (KIP-482).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Why a record cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("key version `{0}` is not known")]
    KeyVersion(i16),
    #[error("value version `{found}` is not `{expected}`")]
    ValueVersion { found: i16, expected: i16 },
    #[error("state `{0}` is not known")]
    State(i8),
    #[error("the record ends too early")]
    Truncated,
    #[error("a string is not UTF-8")]
    NotUtf8,
    #[error("a length of `{0}` is negative")]
    NegativeLength(i32),
    #[error("a varint is longer than 32 bits")]
    Varint,
}

pub(crate) fn put_string(buffer: &mut BytesMut, text: &str) {
    let length = i16::try_from(text.len()).expect("requests with strings past 32767 bytes are refused");
    buffer.put_i16(length);
    buffer.put_slice(text.as_bytes());
}

pub(crate) fn put_nullable(buffer: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(buffer, text),
        None => buffer.put_i16(-1),
    }
}

pub(crate) fn put_bytes(buffer: &mut BytesMut, bytes: &[u8]) {
    buffer.put_i32(bytes.len() as i32);
    buffer.put_slice(bytes);
}

pub(crate) fn put_varint(buffer: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// The length of a flexible array.
pub(crate) fn put_count(buffer: &mut BytesMut, count: usize) {
    put_varint(buffer, count as u32 + 1);
}

pub(crate) fn put_compact(buffer: &mut BytesMut, text: &str) {
    put_count(buffer, text.len());
    buffer.put_slice(text.as_bytes());
}

pub(crate) fn put_compact_nullable(buffer: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_compact(buffer, text),
        None => put_varint(buffer, 0),
    }
}

/// The end of a flexible structure without tagged fields.
pub(crate) fn put_no_tags(buffer: &mut BytesMut) {
    put_varint(buffer, 0);
}

/// Reads fields off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn expect_version(&mut self, expected: i16) -> Result<(), RecordError> {
        match self.i16()? {
            version if version == expected => Ok(()),
            found => Err(RecordError::ValueVersion { found, expected }),
        }
    }

    pub(crate) fn i16(&mut self) -> Result<i16, RecordError> {
        self.0.try_get_i16().map_err(|_| RecordError::Truncated)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, RecordError> {
        self.0.try_get_i32().map_err(|_| RecordError::Truncated)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, RecordError> {
        self.0.try_get_i64().map_err(|_| RecordError::Truncated)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, RecordError> {
        self.0.try_get_i8().map_err(|_| RecordError::Truncated)
    }

    fn take(&mut self, length: i32) -> Result<&'a [u8], RecordError> {
        let length = usize::try_from(length).map_err(|_| RecordError::NegativeLength(length))?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RecordError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn nullable(&mut self) -> Result<Option<String>, RecordError> {
        match self.i16()? {
            -1 => Ok(None),
            length => {
                let text =
                    std::str::from_utf8(self.take(i32::from(length))?).map_err(|_| RecordError::NotUtf8)?;
                Ok(Some(text.to_owned()))
            }
        }
    }

    pub(crate) fn string(&mut self) -> Result<String, RecordError> {
        self.nullable()?.ok_or(RecordError::NegativeLength(-1))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, RecordError> {
        let length = self.i32()?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    pub(crate) fn varint(&mut self) -> Result<u32, RecordError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.0.try_get_u8().map_err(|_| RecordError::Truncated)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| RecordError::Varint);
            }
        }
        Err(RecordError::Varint)
    }

    /// The length of a flexible array; null counts as empty. Every element takes at least one byte.
    pub(crate) fn count(&mut self) -> Result<usize, RecordError> {
        let count = self.varint()?.saturating_sub(1) as usize;
        if count > self.0.len() { Err(RecordError::Truncated) } else { Ok(count) }
    }

    pub(crate) fn compact_nullable(&mut self) -> Result<Option<String>, RecordError> {
        let Some(length) = self.varint()?.checked_sub(1) else { return Ok(None) };
        let (taken, rest) = self.0.split_at_checked(length as usize).ok_or(RecordError::Truncated)?;
        self.0 = rest;
        String::from_utf8(taken.to_vec()).map(Some).map_err(|_| RecordError::NotUtf8)
    }

    pub(crate) fn compact(&mut self) -> Result<String, RecordError> {
        self.compact_nullable()?.ok_or(RecordError::NegativeLength(-1))
    }

    pub(crate) fn uuid(&mut self) -> Result<[u8; 16], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// The tagged field of this number, if it is there; all others are skipped.
    pub(crate) fn tagged(&mut self, wanted: u32) -> Result<Option<&'a [u8]>, RecordError> {
        let mut found = None;
        for _ in 0..self.varint()? {
            let (tag, length) = (self.varint()?, self.varint()? as usize);
            let (taken, rest) = self.0.split_at_checked(length).ok_or(RecordError::Truncated)?;
            self.0 = rest;
            if tag == wanted {
                found = Some(taken);
            }
        }
        Ok(found)
    }

    pub(crate) fn skip_tags(&mut self) -> Result<(), RecordError> {
        self.tagged(u32::MAX).map(|_| ())
    }
}
