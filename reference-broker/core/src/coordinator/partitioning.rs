//! Which partition of an internal topic stores what belongs to a name.

use crate::ids::PartitionId;

/// Java's `abs(name.hashCode()) % partitions`, as Kafka has it for groups and transactional ids.
pub(crate) fn partition_of(name: &str, partitions: i32) -> PartitionId {
    let units = name.encode_utf16();
    let hash = units.fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    PartitionId(hash.checked_abs().unwrap_or(0) % partitions)
}
