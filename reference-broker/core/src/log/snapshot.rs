//! The producers as of the beginning of a segment: `<offset>.snapshot`, written when the segment is begun.
//!
//! Recovery scans from the newest one on that is not above what was durable; one above it may tell of records that were lost.
//! A snapshot that is missing or damaged costs a longer scan, nothing else.

use std::fmt::Write;

use super::producers::{ProducerState, ProducerStates, StoredBatch};
use super::{segment, text_file};
use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

const NO_OFFSET: Offset = Offset(-1);

/// Writes a snapshot; its name is durable when the directory is flushed.
pub(super) fn store(
    directory: &str,
    offset: Offset,
    producers: &ProducerStates,
    disk: &mut dyn Disk,
) -> Result<(), DiskError> {
    text_file::store(&path(directory, offset), &encode(producers), disk)
}

/// Reads a snapshot, unless it is missing or damaged.
pub(super) fn load(
    directory: &str,
    offset: Offset,
    disk: &mut dyn Disk,
) -> Result<Option<ProducerStates>, DiskError> {
    Ok(text_file::load(&path(directory, offset), disk)?.as_deref().and_then(decode))
}

/// Removes the snapshots of which no segment begins at the same offset.
pub(super) fn remove_others(
    directory: &str,
    segments: &[Offset],
    disk: &mut dyn Disk,
) -> Result<(), DiskError> {
    for offset in segment::offsets(directory, "snapshot", disk)? {
        if !segments.contains(&offset) {
            segment::remove_if_there(&path(directory, offset), disk)?;
        }
    }
    Ok(())
}

fn path(directory: &str, offset: Offset) -> String {
    format!("{}.snapshot", segment::stem(directory, offset))
}

fn encode(producers: &ProducerStates) -> String {
    let mut body = format!("forgetful {}\n", u8::from(producers.is_forgetful()));
    for (id, state) in producers.iter() {
        let ProducerState { epoch, coordinator_epoch, open, last_timestamp, batches } = state;
        let open = open.unwrap_or(NO_OFFSET);
        writeln!(body, "producer {id} {epoch} {coordinator_epoch} {open} {last_timestamp}")
            .expect("a string takes all");
        for batch in batches {
            let StoredBatch { first_sequence, last_sequence, first_offset, last_offset, timestamp } = batch;
            writeln!(
                body,
                "batch {id} {first_sequence} {last_sequence} {first_offset} {last_offset} {timestamp}"
            )
            .expect("a string takes all");
        }
    }
    body
}

fn decode(body: &str) -> Option<ProducerStates> {
    let mut producers = ProducerStates::default();
    for line in text_file::lines(body) {
        let (word, numbers) = line?;
        match (word, numbers.as_slice()) {
            ("forgetful", [0]) => {}
            ("forgetful", [1]) => producers.forget_some(),
            ("producer", [id, epoch, coordinator_epoch, open, last_timestamp]) => {
                let mut state = ProducerState::new(ProducerEpoch(i16::try_from(*epoch).ok()?));
                state.coordinator_epoch = i32::try_from(*coordinator_epoch).ok()?;
                state.open = Some(Offset(*open)).filter(|open| *open != NO_OFFSET);
                state.last_timestamp = *last_timestamp;
                producers.insert(ProducerId(*id), state);
            }
            ("batch", [id, first, last, first_offset, last_offset, timestamp]) => {
                producers.get_mut(ProducerId(*id))?.batches.push_back(StoredBatch {
                    first_sequence: Sequence(i32::try_from(*first).ok()?),
                    last_sequence: Sequence(i32::try_from(*last).ok()?),
                    first_offset: Offset(*first_offset),
                    last_offset: Offset(*last_offset),
                    timestamp: *timestamp,
                });
            }
            _ => return None,
        }
    }
    Some(producers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;
    use crate::record::{BatchBuilder, BatchHeader};

    fn producers() -> ProducerStates {
        let mut producers = ProducerStates::default();
        for sequence in 0..3 {
            let batch = BatchBuilder::new(17)
                .producer(ProducerId(5), ProducerEpoch(2), Sequence(sequence))
                .record(None, Some(b"v"))
                .build();
            producers.update(&BatchHeader::parse(&batch).unwrap(), None);
        }
        let open =
            BatchBuilder::new(18).producer(ProducerId(6), ProducerEpoch(0), Sequence(0)).transactional();
        let mut open = BatchHeader::parse(&open.record(None, Some(b"v")).build()).unwrap();
        open.base_offset = Offset(90);
        producers.update(&open, None);
        producers.forget_some();
        producers
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written_and_a_damaged_one_counts_as_missing() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        assert_eq!(load("log", Offset(7), &mut disk), Ok(None));
        store("log", Offset(7), &producers(), &mut disk).unwrap();
        assert_eq!(load("log", Offset(7), &mut disk), Ok(Some(producers())));
        let path = path("log", Offset(7));
        for at in 0..disk.contents(&path).unwrap().len() {
            let mut damaged = disk.clone();
            damaged.contents_mut(&path).unwrap()[at] ^= 1;
            assert_eq!(load("log", Offset(7), &mut damaged), Ok(None), "byte {at}");
        }
    }

    #[test]
    fn snapshots_without_a_segment_are_removed() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        for offset in [3, 7, 9] {
            store("log", Offset(offset), &producers(), &mut disk).unwrap();
        }
        remove_others("log", &[Offset(7), Offset(8)], &mut disk).unwrap();
        assert_eq!(disk.list("log").unwrap(), ["00000000000000000007.snapshot"]);
    }
}
