//! Produce versions 0 to 2: advertised for the sake of librdkafka, decoded only far enough to refuse them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// `UNSUPPORTED_VERSION`.
const UNSUPPORTED_VERSION: i16 = 35;

/// The partitions that an old Produce names; the messages themselves are skipped.
#[derive(Debug, PartialEq, Eq)]
pub struct AncientProduce {
    /// With 0 no response is expected.
    pub acks: i16,
    topics: Vec<(Bytes, Vec<i32>)>,
}

impl AncientProduce {
    /// Decodes the body; `None` if it lies about its lengths.
    pub fn decode(body: &mut Bytes) -> Option<Self> {
        let acks = body.try_get_i16().ok()?;
        let _timeout_ms = body.try_get_i32().ok()?;
        let mut topics = Vec::new();
        for _ in 0..body.try_get_i32().ok()?.max(0) {
            let name_length = usize::try_from(body.try_get_i16().ok()?).ok()?;
            let name = take(body, name_length)?;
            let mut partitions = Vec::new();
            for _ in 0..body.try_get_i32().ok()?.max(0) {
                partitions.push(body.try_get_i32().ok()?);
                let size = body.try_get_i32().ok()?.max(0) as usize;
                take(body, size)?;
            }
            topics.push((name, partitions));
        }
        Some(Self { acks, topics })
    }

    /// Refuses every partition.
    pub fn refusal(&self, version: i16, buffer: &mut BytesMut) {
        buffer.put_i32(self.topics.len() as i32);
        for (name, partitions) in &self.topics {
            buffer.put_i16(name.len() as i16);
            buffer.put_slice(name);
            buffer.put_i32(partitions.len() as i32);
            for partition in partitions {
                buffer.put_i32(*partition);
                buffer.put_i16(UNSUPPORTED_VERSION);
                buffer.put_i64(-1);
                if version >= 2 {
                    buffer.put_i64(-1);
                }
            }
        }
        if version >= 1 {
            buffer.put_i32(0);
        }
    }
}

fn take(body: &mut Bytes, length: usize) -> Option<Bytes> {
    (body.len() >= length).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_of_an_old_produce_is_refused() {
        let mut body = BytesMut::new();
        body.put_slice(&[0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 2, 7, 7]);
        let produce = AncientProduce::decode(&mut body.freeze()).expect("well formed");
        let mut response = BytesMut::new();
        produce.refusal(1, &mut response);
        let expected: &[u8] = &[
            0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 3, 0, 35, 255, 255, 255, 255, 255, 255, 255, 255, 0,
            0, 0, 0,
        ];
        assert_eq!((produce.acks, &response[..]), (1, expected));
    }

    #[test]
    fn an_old_produce_that_lies_about_a_length_is_not_decoded() {
        let mut body = Bytes::from_static(&[0, 1, 0, 0, 0, 9, 127, 255, 255, 255, 0, 9]);
        assert_eq!(AncientProduce::decode(&mut body), None);
    }
}
