//! What is too old or too much is deleted from the beginning of the log (`retention.ms`, `retention.bytes`).

use super::{LogError, PartitionLog};
use crate::defects::Defect;
use crate::disk::Disk;
use crate::ids::Offset;

impl PartitionLog {
    /// Raises the start over the segments that need not be kept any longer, whole and committed ones only (KAFKA-5634); says
    /// whether there were any. The segment that is appended to is closed first if it is to go, too. Batches without time
    /// stamps do not age.
    pub fn retain(
        &mut self,
        high_watermark: Offset,
        wall_ms: i64,
        disk: &mut dyn Disk,
    ) -> Result<bool, LogError> {
        if self.fenced || !self.config.deletes {
            return Ok(false);
        }
        let expired = self.too_old(wall_ms).max(self.too_much());
        let committed =
            if self.config.defects.has(Defect::RetainPastHighWatermark) { self.end } else { high_watermark };
        let bases = (1..=expired).map(|number| self.segments.get(number).map_or(self.end, |next| next.base));
        let Some(start) = bases.take_while(|end| *end <= committed).last() else { return Ok(false) };
        if start == self.end && self.active().size > 0 {
            self.roll(disk).inspect_err(|_| self.fenced = true)?;
        }
        self.raise_start(start, disk)
    }

    /// How many segments, from the first on, hold only what is older than `retention.ms`.
    fn too_old(&self, wall_ms: i64) -> usize {
        let Some(retention_ms) = self.config.retention_ms else { return 0 };
        let oldest = wall_ms.saturating_sub_unsigned(retention_ms);
        let expired = |newest: i64| newest >= 0 && newest < oldest;
        self.segments.iter().take_while(|segment| expired(segment.index.max_timestamp())).count()
    }

    /// How many segments, from the first on, the log can lose and still be as large as `retention.bytes`.
    fn too_much(&self) -> usize {
        let Some(retention_bytes) = self.config.retention_bytes else { return 0 };
        let mut size = self.size();
        let goes = |bytes: u64| {
            size = size.saturating_sub(bytes);
            bytes > 0 && size >= retention_bytes
        };
        self.segments.iter().map(|segment| segment.size).map(goes).take_while(|goes| *goes).count()
    }

    /// The bytes of all segments.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Forgets producers that were silent for longer than `producer.id.expiration.ms`.
    pub fn expire_producers(&mut self, wall_ms: i64) {
        let before = wall_ms.saturating_sub(self.config.producer_expiration_ms);
        if self.producers.expire(before) {
            tracing::debug!(log = self.directory, "producers are forgotten");
        }
    }
}
