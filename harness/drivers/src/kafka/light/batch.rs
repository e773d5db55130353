//! A record batch of message format 2, made once.

use std::ops::Range;

/// Bytes of a batch before its first record.
pub(super) const HEADER_BYTES: usize = 61;
/// The part of the header that its length does not count: base offset and the length itself.
pub(super) const LENGTH_PREFIX_BYTES: usize = 12;
const LENGTH: Range<usize> = 8..12;
const CRC: Range<usize> = 17..21;
/// From here on the checksum counts.
const CHECKED_FROM: usize = 21;
const LAST_OFFSET_DELTA: Range<usize> = 23..27;
const RECORD_COUNT: Range<usize> = 57..61;

/// Records of one size without keys, neither compressed nor of an idempotent producer.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    records: u32,
}

impl Batch {
    /// So many records with values of so many bytes each. The values look random, so that nothing on the way to the disk
    /// can make them smaller.
    pub fn new(records: u32, record_bytes: u32, created_ms: i64) -> Self {
        let mut bytes = header(records, created_ms);
        let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
        let mut record = Vec::new();
        for number in 0..records {
            record.clear();
            // Attributes and the distance in time.
            record.extend([0, 0]);
            varint(&mut record, i64::from(number));
            // No key.
            varint(&mut record, -1);
            varint(&mut record, i64::from(record_bytes));
            record.extend((0..record_bytes).map(|_| next(&mut noise)));
            // No headers.
            varint(&mut record, 0);
            varint(&mut bytes, record.len() as i64);
            bytes.extend(&record);
        }
        let length = (bytes.len() - LENGTH_PREFIX_BYTES) as i32;
        bytes[LENGTH].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
        Self { bytes, records }
    }

    /// As many records as fit into so many bytes, at least one.
    pub fn filled(batch_bytes: u32, record_bytes: u32, created_ms: i64) -> Self {
        // What surrounds a value: lengths, attributes, distances.
        const AROUND: u32 = 10;
        let room = batch_bytes.saturating_sub(HEADER_BYTES as u32);
        Self::new((room / (record_bytes + AROUND)).max(1), record_bytes, created_ms)
    }

    /// As it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, to be damaged.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// How many records there are in it.
    pub fn records(&self) -> u32 {
        self.records
    }
}

fn header(records: u32, created_ms: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend(0_i64.to_be_bytes()); // base offset
    bytes.extend(0_i32.to_be_bytes()); // length, later
    bytes.extend((-1_i32).to_be_bytes()); // leader epoch
    bytes.push(2); // format
    bytes.extend(0_u32.to_be_bytes()); // checksum, later
    bytes.extend(0_i16.to_be_bytes()); // attributes
    bytes.extend((records as i32 - 1).to_be_bytes()); // last offset delta
    bytes.extend(created_ms.to_be_bytes()); // of the first record
    bytes.extend(created_ms.to_be_bytes()); // of the newest
    bytes.extend((-1_i64).to_be_bytes()); // producer id
    bytes.extend((-1_i16).to_be_bytes()); // producer epoch
    bytes.extend((-1_i32).to_be_bytes()); // sequence
    bytes.extend((records as i32).to_be_bytes());
    bytes
}

fn varint(bytes: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        bytes.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
}

/// xorshift64*.
fn next(state: &mut u64) -> u8 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
}

/// The records in a run of whole batches, and the offset after the last of them. A last batch that was cut off counts for
/// nothing.
pub(super) fn counted(mut bytes: &[u8]) -> (u64, Option<i64>) {
    let field = |batch: &[u8], range: Range<usize>| {
        i32::from_be_bytes(batch[range].try_into().expect("four bytes")) as i64
    };
    let (mut records, mut next) = (0, None);
    while bytes.len() >= HEADER_BYTES {
        let size = field(bytes, LENGTH) as usize + LENGTH_PREFIX_BYTES;
        let Some((batch, rest)) = bytes.split_at_checked(size.max(HEADER_BYTES)) else { break };
        let base = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
        records += field(batch, RECORD_COUNT) as u64;
        next = Some(base + field(batch, LAST_OFFSET_DELTA) + 1);
        bytes = rest;
    }
    (records, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_one_record_has_the_layout_of_format_2() {
        let batch = Batch::new(1, 3, 1_000);
        let bytes = batch.bytes();
        assert_eq!(bytes.len(), HEADER_BYTES + 10);
        assert_eq!(bytes[LENGTH], 59_i32.to_be_bytes());
        assert_eq!(bytes[16], 2);
        assert_eq!(bytes[CRC], crc32c::crc32c(&bytes[21..]).to_be_bytes());
        assert_eq!(bytes[LAST_OFFSET_DELTA], [0; 4]);
        // Length 9, attributes, time, offset, no key, three bytes of value, no headers; lengths are zigzag.
        assert_eq!(bytes[61..67], [18, 0, 0, 0, 1, 6]);
        assert_eq!(bytes[70], 0);
    }

    #[test]
    fn a_filled_batch_stays_below_its_size() {
        for (batch_bytes, record_bytes) in [(65_536, 1024), (65_536, 100), (16_384, 1024)] {
            let batch = Batch::filled(batch_bytes, record_bytes, 0);
            assert!(batch.bytes().len() <= batch_bytes as usize);
            assert!(batch.bytes().len() + record_bytes as usize + 20 > batch_bytes as usize * 9 / 10);
        }
        assert_eq!(Batch::filled(1, 100, 0).records(), 1);
    }

    #[test]
    fn whole_batches_are_counted_and_a_piece_of_one_is_not() {
        let mut bytes = Batch::new(5, 10, 0).bytes().to_vec();
        let mut second = Batch::new(2, 10, 0).bytes().to_vec();
        second[..8].copy_from_slice(&5_i64.to_be_bytes());
        bytes.extend(&second);
        assert_eq!(counted(&bytes), (7, Some(7)));
        assert_eq!(counted(&bytes[..bytes.len() - 1]), (5, Some(5)));
        assert_eq!(counted(&[]), (0, None));
    }
}
