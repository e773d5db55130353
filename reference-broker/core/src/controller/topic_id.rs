//! Topic ids (KIP-516): a topic that is deleted and created again is another topic.

use std::fmt;

use uuid::Uuid;

use super::derived_id::derived_id;
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
        Self(derived_id(&[cluster_id.as_bytes(), name.as_bytes(), &offset.0.to_be_bytes()]))
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
