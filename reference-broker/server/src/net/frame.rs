//! Frames of the Kafka wire: a big-endian `i32` length, then so many bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Cuts a stream into frames.
#[derive(Default)]
pub(super) struct FrameDecoder {
    buffer: BytesMut,
}

/// The length of a frame that is negative or beyond what is allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {length} bytes, allowed are 0 to {max}")]
pub(super) struct BadLength {
    length: i32,
    max: usize,
}

/// Room to read into at least; memory for a large frame grows with what has arrived, not with what was announced.
const READ_BYTES: usize = 64 << 10;

impl FrameDecoder {
    /// Where to put the next bytes of the stream.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// The next whole frame, without its length; `None` until more bytes are there.
    pub(super) fn next_frame(&mut self, max: usize) -> Result<Option<Bytes>, BadLength> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = i32::from_be_bytes(*prefix);
        let valid = usize::try_from(length).ok().filter(|length| *length <= max);
        let Some(needed) = valid else { return Err(BadLength { length, max }) };
        if self.buffer.len() < 4 + needed {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(needed).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let stream = [0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 0, 0, 1, b'd'];
        for cut in 0..stream.len() {
            let mut decoder = FrameDecoder::default();
            let mut frames = Vec::new();
            for piece in [&stream[..cut], &stream[cut..]] {
                decoder.room().extend_from_slice(piece);
                while let Some(frame) = decoder.next_frame(10).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"abc"[..], b"", b"d"], "cut at {cut}");
        }
    }

    #[test]
    fn oversized_and_negative_lengths_are_refused_before_the_body_arrives() {
        for (bytes, length) in [([0, 0, 0, 11], 11), ([0xff; 4], -1), (*b"GET ", 0x4745_5420)] {
            let mut decoder = FrameDecoder::default();
            decoder.room().extend_from_slice(&bytes);
            assert_eq!(decoder.next_frame(10), Err(BadLength { length, max: 10 }));
        }
    }
}
