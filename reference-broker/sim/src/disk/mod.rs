//! A disk that keeps what was flushed, and of the rest what it likes.
//!
//! In:  the calls of a node ([`broker_core::Disk`]), flushes that begin and end, faults, the end of a process, power loss.
//! Out: bytes, errors, and what is left.
//! Owns: of each file and directory two images, the one that processes see and the one on the platters, and the changes
//!       between them in order.
//! Never: draws a random number but when the power fails or a bit rots, from the stream it is given.
//!
//! What holds of a real file system, and no more, holds here: a flush of a file says nothing of its name, a name (new,
//! renamed, removed) is there to stay once its directory was flushed, a change of a name is there whole or not at all, and the
//! length of a file and its bytes reach the platters one by one, in any order, sector by sector.

mod directory;
mod file;
mod sim_disk;
mod tear;
#[cfg(test)]
mod tests;

pub(crate) use sim_disk::{DiskFaults, Flush, SimDisk};
