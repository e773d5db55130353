//! UUIDs that are computed, since the core draws none.

use uuid::Uuid;

/// A UUID made of the parts by FNV-1a, 128 bits; the parts are kept apart. Version 8 of RFC 9562 (vendor-specific), which
/// also keeps clear of the reserved topic ids 0 and 1.
pub(super) fn derived_id(parts: &[&[u8]]) -> Uuid {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in (part.len() as u64).to_be_bytes().iter().chain(*part) {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}
