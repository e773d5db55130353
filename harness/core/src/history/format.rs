//! Sizes and places of journal version 1, and its header. `docs/history-format.md` is the public text.

use super::meta::JournalMeta;

/// Version of the format.
pub const VERSION: u32 = 1;
/// Bytes before the first block.
pub const HEADER_SIZE: usize = 4096;
/// Bytes of a block: events and a trailer.
pub const BLOCK_SIZE: usize = 64 * 1024;
/// Events of a full block.
pub const BLOCK_EVENTS: usize = BLOCK_SIZE / super::Event::SIZE - 1;
/// A file grows by so many bytes at once, and a writer maps so many.
pub const SEGMENT_SIZE: usize = 16 * 1024 * 1024;
/// Where in the header the seal is written.
pub const SEAL_OFFSET: usize = HEADER_SIZE - super::seal::SEAL_SIZE;

const MAGIC: &[u8; 8] = b"MQPJRNL\x01";
/// magic 8 | version u32 | header size u32 | block size u32 | event size u32 | run id u64 | clock u32 | meta length u32.
const META_OFFSET: usize = 44;
/// CLOCK_MONOTONIC.
const CLOCK: u32 = 1;

/// Why a header cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header.
    #[error("shorter than its header: `{0}` bytes")]
    Short(usize),
    /// Another kind of file.
    #[error("not a journal: wrong magic")]
    Magic,
    /// Written by a later version.
    #[error("journal version `{0}` is not supported (hint: this mqproof reads version `{VERSION}`)")]
    Version(u32),
    /// The checksum over the header does not match.
    #[error("header damaged: {0}")]
    Damaged(&'static str),
    /// The description of the process is too long.
    #[error("description of `{0}` bytes does not fit into the header")]
    TooLong(usize),
}

/// The header of an unsealed journal.
pub fn encode_header(meta: &JournalMeta) -> Result<Box<[u8]>, HeaderError> {
    let json = serde_json::to_vec(meta).expect("a description of strings and numbers is always JSON");
    let end = META_OFFSET + json.len();
    if end + 4 > SEAL_OFFSET {
        return Err(HeaderError::TooLong(json.len()));
    }
    let mut bytes = vec![0; HEADER_SIZE].into_boxed_slice();
    bytes[0..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&(HEADER_SIZE as u32).to_le_bytes());
    bytes[16..20].copy_from_slice(&(BLOCK_SIZE as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&(super::Event::SIZE as u32).to_le_bytes());
    bytes[24..32].copy_from_slice(&meta.run_id.to_le_bytes());
    bytes[32..36].copy_from_slice(&CLOCK.to_le_bytes());
    bytes[36..40].copy_from_slice(&(json.len() as u32).to_le_bytes());
    bytes[META_OFFSET..end].copy_from_slice(&json);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..40]), &json);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// Reads a header; the seal is not looked at.
pub fn decode_header(bytes: &[u8]) -> Result<JournalMeta, HeaderError> {
    if bytes.len() < HEADER_SIZE {
        return Err(HeaderError::Short(bytes.len()));
    }
    if &bytes[0..8] != MAGIC {
        return Err(HeaderError::Magic);
    }
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Err(HeaderError::Version(version));
    }
    let length = u32_at(bytes, 36) as usize;
    if META_OFFSET + length > SEAL_OFFSET {
        return Err(HeaderError::Damaged("length"));
    }
    let json = &bytes[META_OFFSET..META_OFFSET + length];
    if crc32c::crc32c_append(crc32c::crc32c(&bytes[..40]), json) != u32_at(bytes, 40) {
        return Err(HeaderError::Damaged("checksum"));
    }
    let sizes = [HEADER_SIZE, BLOCK_SIZE, super::Event::SIZE, CLOCK as usize];
    if [12, 16, 20, 32].map(|at| u32_at(bytes, at) as usize) != sizes {
        return Err(HeaderError::Damaged("sizes"));
    }
    serde_json::from_slice(json).map_err(|_| HeaderError::Damaged("description"))
}

/// Little-endian.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

/// Little-endian.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}
