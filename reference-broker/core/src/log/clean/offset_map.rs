//! The newest offset of each key, within a bound of memory.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::Offset;

/// What an entry takes besides its key, about.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct OffsetMap {
    newest: BTreeMap<Bytes, Offset>,
    bytes: usize,
    bytes_max: usize,
}

impl OffsetMap {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { newest: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Offsets come in their order.
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) {
        if let Some(newest) = self.newest.get_mut(key) {
            *newest = offset;
            return;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        // A copy, so that the bytes around the key can go.
        self.newest.insert(Bytes::copy_from_slice(key), offset);
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Whether no newer record with this key is known.
    pub(super) fn is_newest(&self, key: &[u8], offset: Offset) -> bool {
        self.newest.get(key).is_none_or(|newest| offset >= *newest)
    }
}
