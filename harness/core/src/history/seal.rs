//! The seal: how many events a journal holds, and why no more follow. 64 bytes at the end of the header.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::format::{u32_at, u64_at};

/// Size of an encoded seal.
pub(super) const SEAL_SIZE: usize = 64;
const MAGIC: &[u8; 4] = b"SEAL";

/// Why a journal ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SealReason {
    /// Its process did all that it had to.
    Clean = 1,
    /// Its process was killed, and the conductor sealed what it had recorded.
    Killed = 2,
    /// The disk was full: what happened afterwards is not recorded.
    DiskFull = 3,
    /// The run was interrupted.
    Interrupted = 4,
}

impl SealReason {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Clean,
            2 => Self::Killed,
            3 => Self::DiskFull,
            4 => Self::Interrupted,
            _ => return None,
        })
    }

    /// Whether everything that the process did before its end is in the journal.
    pub fn is_complete(self) -> bool {
        self != Self::DiskFull
    }
}

impl fmt::Display for SealReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::Killed => "killed",
            Self::DiskFull => "disk full",
            Self::Interrupted => "interrupted",
        })
    }
}

/// The last word on a journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Why it ended.
    pub reason: SealReason,
    /// Events in all blocks.
    pub events: u64,
    /// Checksum of the last block, 0 without blocks. Each block names the one before, so this stands for all.
    pub last_block_crc: u32,
    /// When it was sealed, CLOCK_MONOTONIC.
    pub t_ns: u64,
}

impl Seal {
    /// magic 4 | reason u8 | zero 3 | events u64 | last block's CRC u32 | zero 4 | t u64 | zero 28 | CRC-32C u32.
    pub fn encode(&self) -> [u8; SEAL_SIZE] {
        let mut bytes = [0; SEAL_SIZE];
        bytes[0..4].copy_from_slice(MAGIC);
        bytes[4] = self.reason as u8;
        bytes[8..16].copy_from_slice(&self.events.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.last_block_crc.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.t_ns.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a seal; all zero is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unsealed> {
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(Unsealed::NeverSealed);
        }
        if &bytes[0..4] != MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(Unsealed::SealDamaged);
        }
        Ok(Self {
            reason: SealReason::from_number(bytes[4]).ok_or(Unsealed::SealDamaged)?,
            events: u64_at(bytes, 8),
            last_block_crc: u32_at(bytes, 16),
            t_ns: u64_at(bytes, 24),
        })
    }
}

/// Why a journal cannot be taken as the whole record of its process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Unsealed {
    /// Its process still runs, or died and nobody sealed it.
    #[error("never sealed")]
    NeverSealed,
    /// The seal's own checksum does not match.
    #[error("seal damaged")]
    SealDamaged,
    /// A block's checksum, chain or contents do not match; it and what follows is not read.
    #[error("block `{0}` damaged")]
    BlockDamaged(u64),
    /// The seal speaks of more events than the file holds, or of other ones.
    #[error("`{found}` events where the seal says `{sealed}`")]
    Truncated {
        /// What the seal says.
        sealed: u64,
        /// What is there.
        found: u64,
    },
}

/// Whether the absence of an event in a journal means that it did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// The journal is whole; it ended for this reason.
    Sealed(SealReason),
    /// It is not; the events that can be read are still good as positive evidence.
    Unsealed(Unsealed),
}

impl Completeness {
    /// Whether negative conclusions may rest on the journal.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Sealed(reason) if reason.is_complete())
    }
}

impl fmt::Display for Completeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(reason) => write!(f, "sealed: {reason}"),
            Self::Unsealed(why) => write!(f, "unsealed: {why}"),
        }
    }
}
