//! From stored batches and snapshots to the image.

use bytes::Bytes;

use super::image::{ApplyError, ImageDelta, MetadataImage};
use super::record::{MetadataRecord, RecordError};
use super::snapshot::load_snapshot;
use crate::disk::Disk;
use crate::ids::Offset;
use crate::quorum::{Quorum, QuorumError, SnapshotError};
use crate::record::{BatchError, batches};

/// How much of the log is read at a time.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// Why batches of the metadata log cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// They are no batches, or compressed ones.
    #[error("bad batch in the metadata log: {0}")]
    Batch(#[from] BatchError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A record does not fit.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A snapshot is none.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

/// Applies whole batches. Records that the image has already, at the front of the first batch, are skipped.
pub(super) fn apply_batches(
    image: &mut MetadataImage,
    bytes: Bytes,
    delta: &mut ImageDelta,
) -> Result<(), ReplayError> {
    let next_offset = image.next_offset();
    each_record(bytes, next_offset, |offset, record| Ok(image.apply(offset, record, delta)?))
}

/// Reads the records of whole batches, from `next_offset` on.
pub(super) fn each_record(
    bytes: Bytes,
    next_offset: Offset,
    mut take: impl FnMut(Offset, &MetadataRecord) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    for batch in batches(bytes) {
        for record in batch?.records().ok_or(RecordError::Bad("compression"))? {
            let record = record?;
            if record.offset >= next_offset {
                let value = record.value.ok_or(RecordError::Truncated)?;
                take(record.offset, &MetadataRecord::decode(&value)?)?;
            }
        }
    }
    Ok(())
}

/// Applies what is committed and not in the image yet; returns how many bytes of the log that was. An image that is older than
/// the log is replaced by the newest snapshot.
pub(super) fn catch_up(
    image: &mut MetadataImage,
    quorum: &Quorum,
    disk: &mut dyn Disk,
) -> Result<u64, QuorumError> {
    let mut delta = ImageDelta::default();
    let mut read = 0;
    if image.next_offset() < quorum.log_start() {
        *image = newest_snapshot(quorum, disk)?;
    }
    while image.next_offset() < quorum.high_watermark() {
        for bytes in quorum.read(image.next_offset(), CHUNK_BYTES, disk)? {
            read += bytes.len() as u64;
            apply_batches(image, bytes, &mut delta)?;
        }
    }
    Ok(read)
}

/// What is committed, and nothing else.
pub(super) fn committed(quorum: &Quorum, disk: &mut dyn Disk) -> Result<MetadataImage, QuorumError> {
    let mut image = newest_snapshot(quorum, disk)?;
    catch_up(&mut image, quorum, disk)?;
    Ok(image)
}

/// What the newest snapshot says; nothing if there is none.
pub(super) fn newest_snapshot(quorum: &Quorum, disk: &mut dyn Disk) -> Result<MetadataImage, QuorumError> {
    Ok(match quorum.read_snapshot(disk)? {
        Some((id, bytes)) => load_snapshot(id, bytes)?,
        None => MetadataImage::default(),
    })
}
