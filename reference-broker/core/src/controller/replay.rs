//! From stored batches to the image.

use bytes::Bytes;

use super::image::{ApplyError, ImageDelta, MetadataImage};
use super::record::{MetadataRecord, RecordError};
use crate::disk::Disk;
use crate::ids::Offset;
use crate::node::BootError;
use crate::quorum::Quorum;
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

/// The image of all that is committed.
pub(super) fn replay(quorum: &Quorum, disk: &mut dyn Disk) -> Result<MetadataImage, BootError> {
    let mut image = MetadataImage::default();
    let mut delta = ImageDelta::default();
    while image.next_offset() < quorum.high_watermark() {
        let chunks = quorum.read(image.next_offset(), CHUNK_BYTES, disk);
        for bytes in chunks.map_err(|error| BootError::BadData(error.to_string()))? {
            apply_batches(&mut image, bytes, &mut delta)
                .map_err(|error| BootError::BadData(error.to_string()))?;
        }
    }
    Ok(image)
}
