//! Topic ids (KIP-516): a topic that is deleted and created again is another topic.

use std::fmt;

use uuid::Uuid;

use crate::ids::Offset;

/// Identifies one life of a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// The metadata log itself, in a Fetch of version 13 or later (KIP-595).
    pub const METADATA: Self = Self(Uuid::from_u128(1));

    /// The id of a topic whose creation is recorded at `offset` of the metadata log. The offset makes it unique in the
    /// cluster, the names make a mix-up of two clusters visible.
    pub fn derive(cluster_id: &str, name: &str, offset: Offset) -> Self {
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        for byte in cluster_id.bytes().chain([0]).chain(name.bytes()).chain([0]).chain(offset.0.to_be_bytes())
        {
            hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
        // Version 8 of RFC 9562 (vendor-specific), which also keeps clear of the reserved ids 0 and 1.
        Self(uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
