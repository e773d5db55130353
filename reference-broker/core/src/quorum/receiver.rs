//! A snapshot on its way here, chunk by chunk.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_snapshot_response::PartitionSnapshot;

use super::snapshot::SnapshotId;

/// What has come of a snapshot so far.
#[derive(Debug)]
pub(crate) struct Receiver {
    id: SnapshotId,
    bytes: BytesMut,
    /// It is not known whether the leader still offers it: the next fetch tells.
    waits: bool,
    /// How often it went on after its connection or its leader was lost.
    resumed: u32,
    interrupted: bool,
}

/// What a chunk has led to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// More is to come.
    Part,
    /// All is here, unchecked.
    Whole(Bytes),
    /// It is not the next chunk of this snapshot: begin again.
    Mismatch,
}

impl Receiver {
    /// The leader offers this snapshot: what has come of it before is kept.
    pub(crate) fn of(id: SnapshotId, before: Option<Self>) -> Self {
        match before.filter(|before| before.id == id) {
            Some(before) => Self { waits: false, ..before },
            None => Self { id, bytes: BytesMut::new(), waits: false, resumed: 0, interrupted: false },
        }
    }

    pub(crate) fn id(&self) -> SnapshotId {
        self.id
    }

    /// How many bytes have come.
    pub(crate) fn position(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn resumed(&self) -> u32 {
        self.resumed
    }

    /// Whether the next chunk may be asked for.
    pub(crate) fn is_offered(&self) -> bool {
        !self.waits
    }

    /// The connection is gone.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = !self.bytes.is_empty();
    }

    /// The leader is another one, who may not offer this snapshot.
    pub(crate) fn wait(&mut self) {
        self.interrupt();
        self.waits = true;
    }

    /// Takes the next chunk.
    pub(crate) fn take(&mut self, chunk: &PartitionSnapshot) -> Received {
        let (end, epoch) = (chunk.snapshot_id.end_offset, chunk.snapshot_id.epoch);
        let size = u64::try_from(chunk.size).unwrap_or(0);
        let after = self.position() + chunk.unaligned_records.len() as u64;
        let same = (end, epoch) == (self.id.end.0, self.id.epoch.0);
        if !same
            || chunk.position != self.position() as i64
            || chunk.unaligned_records.is_empty()
            || after > size
        {
            return Received::Mismatch;
        }
        self.resumed += u32::from(std::mem::take(&mut self.interrupted));
        self.bytes.extend_from_slice(&chunk.unaligned_records);
        if after == size { Received::Whole(self.bytes.split().freeze()) } else { Received::Part }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::fetch_snapshot_response::SnapshotId as WireId;

    use super::*;
    use crate::ids::{LeaderEpoch, Offset};

    const ID: SnapshotId = SnapshotId { end: Offset(20), epoch: LeaderEpoch(3) };

    fn chunk(position: i64, bytes: &'static [u8]) -> PartitionSnapshot {
        PartitionSnapshot::default()
            .with_snapshot_id(WireId::default().with_end_offset(20).with_epoch(3))
            .with_position(position)
            .with_size(6)
            .with_unaligned_records(Bytes::from_static(bytes))
    }

    #[test]
    fn chunks_add_up_to_a_snapshot() {
        let mut receiver = Receiver::of(ID, None);
        assert_eq!(receiver.take(&chunk(0, b"ab")), Received::Part);
        assert_eq!(receiver.take(&chunk(2, b"cdef")), Received::Whole(Bytes::from_static(b"abcdef")));
    }

    #[test]
    fn what_is_not_the_next_chunk_is_refused() {
        let mut receiver = Receiver::of(ID, None);
        receiver.take(&chunk(0, b"ab"));
        for wrong in [chunk(0, b"ab"), chunk(3, b"d"), chunk(2, b""), chunk(2, b"cdefg")] {
            assert_eq!(receiver.take(&wrong), Received::Mismatch, "{wrong:?}");
        }
        let mut other = chunk(2, b"cd");
        other.snapshot_id.epoch = 4;
        assert_eq!(receiver.take(&other), Received::Mismatch);
    }

    #[test]
    fn an_interrupted_snapshot_goes_on_if_it_is_offered_again() {
        let mut receiver = Receiver::of(ID, None);
        receiver.take(&chunk(0, b"ab"));
        receiver.wait();
        assert!(!receiver.is_offered());
        let mut receiver = Receiver::of(ID, Some(receiver));
        assert_eq!((receiver.is_offered(), receiver.position(), receiver.resumed()), (true, 2, 0));
        receiver.take(&chunk(2, b"c"));
        assert_eq!(receiver.resumed(), 1);
        let newer = SnapshotId { end: Offset(30), ..ID };
        assert_eq!(Receiver::of(newer, Some(receiver)).position(), 0);
    }
}
