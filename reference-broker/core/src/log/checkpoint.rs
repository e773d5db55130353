//! The file that tells recovery what it may rely on: `checkpoint` in the log's directory.

use std::fmt::Write;

use super::epochs::EpochCache;
use super::segment::remove_if_there;
use super::text_file;
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, Offset};

const NAME: &str = "checkpoint";

/// What recovery need not find out again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Checkpoint {
    /// Where the log starts: what lies below was deleted, whether its bytes are still there or not.
    pub(super) start: Offset,
    /// All below was durable; a bad batch there is damage, not the end of the log.
    pub(super) durable: Offset,
    /// All below was compacted.
    pub(super) cleaned: Offset,
    /// Offsets may be missing between batches, since the log, or its leader's, was compacted.
    pub(super) holes: bool,
    /// The leader epochs; only those that began below `durable` or `start` are stored.
    pub(super) epochs: EpochCache,
}

impl Checkpoint {
    /// Replaces the file; durable when this returns.
    pub(super) fn store(&self, directory: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
        text_file::store(&format!("{directory}/{NAME}"), &self.encode(), disk)?;
        disk.sync_dir(directory)
    }

    /// Makes sure that there is none; durable when this returns.
    pub(super) fn remove(directory: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
        remove_if_there(&format!("{directory}/{NAME}"), disk)?;
        disk.sync_dir(directory)
    }

    /// The stored checkpoint, unless it is missing or damaged.
    pub(super) fn load(directory: &str, disk: &mut dyn Disk) -> Result<Option<Self>, DiskError> {
        let body = text_file::load(&format!("{directory}/{NAME}"), disk)?;
        Ok(body.as_deref().and_then(Self::decode))
    }

    fn encode(&self) -> String {
        let Self { start, durable, cleaned, holes, .. } = self;
        let mut body =
            format!("start {start}\ndurable {durable}\ncleaned {cleaned}\nholes {}\n", u8::from(*holes));
        for entry in self.epochs.below((*durable).max(*start)) {
            writeln!(body, "epoch {} {}", entry.epoch, entry.start).expect("a string takes all");
        }
        body
    }

    fn decode(body: &str) -> Option<Self> {
        let mut checkpoint = Self::default();
        for line in text_file::lines(body) {
            let (word, numbers) = line?;
            match (word, numbers.as_slice()) {
                ("start", [offset]) => checkpoint.start = Offset(*offset),
                ("durable", [offset]) => checkpoint.durable = Offset(*offset),
                ("cleaned", [offset]) => checkpoint.cleaned = Offset(*offset),
                ("holes", [holes]) => checkpoint.holes = *holes != 0,
                ("epoch", [epoch, start]) => {
                    checkpoint.epochs.assign(LeaderEpoch(i32::try_from(*epoch).ok()?), Offset(*start));
                }
                _ => return None,
            }
        }
        Some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn checkpoint() -> Checkpoint {
        let mut epochs = EpochCache::default();
        epochs.assign(LeaderEpoch(1), Offset(0));
        epochs.assign(LeaderEpoch(4), Offset(70));
        let (start, durable, cleaned) = (Offset(20), Offset(120), Offset(40));
        Checkpoint { start, durable, cleaned, holes: true, epochs }
    }

    #[test]
    fn a_checkpoint_survives_the_disk() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        assert_eq!(Checkpoint::load("log", &mut disk), Ok(None));
        checkpoint().store("log", &mut disk).unwrap();
        assert_eq!(Checkpoint::load("log", &mut disk), Ok(Some(checkpoint())));
    }

    #[test]
    fn only_epochs_of_what_is_durable_or_deleted_are_stored() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        let epochs_with = |start, durable, disk: &mut MemDisk| {
            let (start, durable) = (Offset(start), Offset(durable));
            Checkpoint { start, durable, ..checkpoint() }.store("log", disk).unwrap();
            Checkpoint::load("log", disk).unwrap().unwrap().epochs.latest()
        };
        assert_eq!(epochs_with(0, 70, &mut disk), LeaderEpoch(1));
        assert_eq!(epochs_with(0, 71, &mut disk), LeaderEpoch(4));
        assert_eq!(epochs_with(71, 0, &mut disk), LeaderEpoch(4));
    }

    #[test]
    fn a_damaged_checkpoint_is_not_believed() {
        let mut disk = MemDisk::new();
        disk.create_dir("log").unwrap();
        checkpoint().store("log", &mut disk).unwrap();
        let length = disk.contents("log/checkpoint").unwrap().len();
        for at in 0..length {
            let mut damaged = disk.clone();
            damaged.contents_mut("log/checkpoint").unwrap()[at] ^= 1;
            let read = Checkpoint::load("log", &mut damaged).unwrap();
            assert!(read.is_none(), "byte {at}");
            let mut cut = disk.clone();
            cut.contents_mut("log/checkpoint").unwrap().truncate(at);
            assert_eq!(Checkpoint::load("log", &mut cut), Ok(None), "cut at {at}");
        }
    }
}
