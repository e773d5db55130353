//! A snapshot of the metadata: records that stand for all of the log below an offset (KIP-630).
//!
//! A file named `<end offset>-<epoch>.checkpoint`: a batch with a header (a control record), batches with records, a batch with a footer.
//! The same state gives the same bytes, whoever writes it, so that what was begun at one voter can be fetched from another to the
//! end.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{SnapshotFooterRecord, SnapshotHeaderRecord};
use kafka_protocol::protocol::Encodable;

use crate::ids::{LeaderEpoch, Offset};
use crate::record::{
    Batch, BatchBuilder, BatchError, BatchHeader, batches, patch_base_offset, patch_leader_epoch,
};

/// The version of the schemas of control records and of their keys.
const VERSION: i16 = 0;
const HEADER: i16 = 3;
const FOOTER: i16 = 4;
/// A batch of records is closed when it has grown to this.
const BATCH_BYTES: usize = 64 << 10;

/// Names a snapshot by what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SnapshotId {
    /// All below is in it.
    pub end: Offset,
    /// The epoch of the last record below.
    pub epoch: LeaderEpoch,
}

/// Why bytes are no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They are no batches, or damaged ones.
    #[error("bad batch in a snapshot: {0}")]
    Batch(#[from] BatchError),
    /// They are other batches.
    #[error("snapshot has a bad {0}")]
    Bad(&'static str),
}

impl SnapshotId {
    pub(super) fn file_name(self) -> String {
        format!("{:020}-{:010}.checkpoint", self.end.0, self.epoch.0)
    }

    pub(super) fn of_file(name: &str) -> Option<Self> {
        let (end, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let id = Self { end: Offset(end.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) };
        (id.file_name() == name).then_some(id)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.end, self.epoch)
    }
}

/// The bytes of a snapshot with these records; `timestamp` is that of the last record of the log which it stands for.
pub(crate) fn encode(id: SnapshotId, timestamp: i64, values: &[Bytes]) -> Bytes {
    let mut out = Writer { id, next: Offset(0), bytes: BytesMut::new() };
    let header = SnapshotHeaderRecord::default().with_last_contained_log_timestamp(timestamp);
    out.control(timestamp, HEADER, &header);
    let mut batch = BatchBuilder::new(timestamp);
    for value in values {
        batch.push(timestamp, None, Some(value), &[]);
        if batch.record_bytes() >= BATCH_BYTES {
            out.put(std::mem::replace(&mut batch, BatchBuilder::new(timestamp)));
        }
    }
    if batch.count() > 0 {
        out.put(batch);
    }
    out.control(timestamp, FOOTER, &SnapshotFooterRecord::default());
    out.bytes.freeze()
}

struct Writer {
    id: SnapshotId,
    next: Offset,
    bytes: BytesMut,
}

impl Writer {
    fn put(&mut self, batch: BatchBuilder) {
        let count = batch.count();
        let mut batch = BytesMut::from(&batch.build()[..]);
        patch_base_offset(&mut batch, self.next);
        patch_leader_epoch(&mut batch, self.id.epoch);
        self.next.0 += i64::from(count);
        self.bytes.extend_from_slice(&batch);
    }

    fn control(&mut self, timestamp: i64, kind: i16, record: &impl Encodable) {
        let mut key = BytesMut::with_capacity(4);
        key.put_i16(VERSION);
        key.put_i16(kind);
        let mut value = BytesMut::new();
        record.encode(&mut value, VERSION).expect("a control record fits its schema");
        self.put(BatchBuilder::new(timestamp).control().record(Some(&key), Some(&value)));
    }
}

/// The records of a snapshot, once all of it is known to be whole.
pub fn decode(id: SnapshotId, bytes: Bytes) -> Result<Vec<Bytes>, SnapshotError> {
    let mut values = Vec::new();
    let mut next = Offset(0);
    let mut ended = false;
    for batch in batches(bytes) {
        let batch = batch?;
        BatchHeader::validate(&batch.bytes)?;
        let header = &batch.header;
        if header.base_offset != next || header.leader_epoch != id.epoch || ended {
            return Err(SnapshotError::Bad("place for a batch"));
        }
        match (control_kind(&batch), next) {
            (Some(HEADER), Offset(0)) => {}
            (Some(FOOTER), Offset(1..)) => ended = true,
            (None, Offset(1..)) => {
                for record in batch.records().ok_or(SnapshotError::Bad("compression"))? {
                    values.push(record?.value.ok_or(SnapshotError::Bad("record"))?);
                }
            }
            _ => return Err(SnapshotError::Bad("control record")),
        }
        next = header.last_offset().next();
    }
    if ended { Ok(values) } else { Err(SnapshotError::Bad("end")) }
}

fn control_kind(batch: &Batch) -> Option<i16> {
    if !batch.header.is_control() {
        return None;
    }
    let mut key = batch.records()?.next()?.ok()?.key?;
    key.try_get_i16().ok()?;
    key.try_get_i16().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SnapshotId = SnapshotId { end: Offset(1234), epoch: LeaderEpoch(7) };

    fn values(count: usize) -> Vec<Bytes> {
        (0..count).map(|n| Bytes::from(format!("record {n}").repeat(n % 100))).collect()
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        for count in [0, 1, 3, 2000] {
            let bytes = encode(ID, 5, &values(count));
            assert_eq!(decode(ID, bytes), Ok(values(count)), "{count}");
        }
    }

    #[test]
    fn a_large_one_is_made_of_many_batches_which_follow_each_other() {
        let found: Vec<_> =
            batches(encode(ID, 5, &values(2000))).map(|batch| batch.unwrap().header).collect();
        assert!(found.len() > 8, "{}", found.len());
        assert!(found.iter().all(|header| header.leader_epoch == ID.epoch));
        assert!(found.windows(2).all(|pair| pair[1].base_offset == pair[0].last_offset().next()));
    }

    #[test]
    fn a_snapshot_that_is_cut_or_damaged_anywhere_is_none() {
        let bytes = encode(ID, 5, &values(3));
        for at in 0..bytes.len() {
            assert!(decode(ID, bytes.slice(..at)).is_err(), "cut at {at}");
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(decode(ID, damaged.into()).is_err(), "byte {at}");
        }
        let other = SnapshotId { epoch: LeaderEpoch(6), ..ID };
        assert!(decode(other, bytes).is_err());
    }

    #[test]
    fn the_file_is_named_as_kafka_names_it() {
        assert_eq!(ID.file_name(), "00000000000000001234-0000000007.checkpoint");
        assert_eq!(SnapshotId::of_file(&ID.file_name()), Some(ID));
        for name in ["checkpoint", "1234-7.checkpoint", "00000000000000001234-0000000007.checkpoint.part"] {
            assert_eq!(SnapshotId::of_file(name), None, "{name}");
        }
    }

    #[test]
    fn the_header_is_the_control_record_that_kafka_writes() {
        let first = batches(encode(ID, 5, &[])).next().unwrap().unwrap();
        let record = first.records().unwrap().next().unwrap().unwrap();
        assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, 3][..]));
        assert_eq!(record.value.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0][..]));
    }
}
