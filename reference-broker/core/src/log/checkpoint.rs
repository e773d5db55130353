//! The file that tells recovery where to begin: `checkpoint` in the log's directory.
//!
//! Replaced as a whole: written aside, flushed, renamed, and the directory flushed (KAFKA-16541). A line at the top
//! holds the checksum of the rest, so that a damaged file is taken for a missing one: then everything is scanned.

use std::collections::VecDeque;
use std::fmt::Write;

use super::epochs::EpochCache;
use super::index::read_whole;
use super::producers::{ProducerState, ProducerStates, StoredBatch};
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

const NAME: &str = "checkpoint";

/// What recovery need not find out again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Checkpoint {
    /// All below was durable; a bad batch there is damage, not the end of the log.
    pub(super) durable: Offset,
    /// The base of the first segment that recovery scans.
    pub(super) scan_from: Offset,
    /// The leader epochs; only those that began below it are stored.
    pub(super) epochs: EpochCache,
    /// The producers as of it.
    pub(super) producers: ProducerStates,
}

impl Checkpoint {
    pub(super) fn store(&self, directory: &str, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let body = self.encode();
        let head = format!("crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
        let aside = format!("{directory}/{NAME}.tmp");
        let file = disk.open(&aside)?;
        let done = disk
            .truncate(file, 0)
            .and_then(|()| disk.write_at(file, 0, &[head.as_bytes(), body.as_bytes()]))
            .and_then(|()| disk.sync(file));
        disk.close(file);
        done?;
        disk.rename(&aside, &format!("{directory}/{NAME}"))?;
        disk.sync_dir(directory)
    }

    /// The stored checkpoint, unless it is missing or damaged.
    pub(super) fn load(directory: &str, disk: &mut dyn Disk) -> Result<Option<Self>, DiskError> {
        let bytes = read_whole(&format!("{directory}/{NAME}"), disk)?;
        Ok(std::str::from_utf8(&bytes).ok().and_then(Self::decode))
    }

    fn encode(&self) -> String {
        let mut body = format!("durable {}\nscan {}\n", self.durable, self.scan_from);
        for entry in self.epochs.below(self.scan_from) {
            writeln!(body, "epoch {} {}", entry.epoch, entry.start).expect("a string takes all");
        }
        for (id, state) in self.producers.iter() {
            writeln!(body, "producer {id} {}", state.epoch).expect("a string takes all");
            for batch in &state.batches {
                let StoredBatch { first_sequence, last_sequence, first_offset, last_offset, timestamp } =
                    batch;
                writeln!(
                    body,
                    "batch {id} {first_sequence} {last_sequence} {first_offset} {last_offset} {timestamp}"
                )
                .expect("a string takes all");
            }
        }
        body
    }

    fn decode(text: &str) -> Option<Self> {
        let (head, body) = text.split_once('\n')?;
        let checksum = u32::from_str_radix(head.strip_prefix("crc32c ")?, 16).ok()?;
        if crc32c::crc32c(body.as_bytes()) != checksum {
            return None;
        }
        let mut checkpoint = Self::default();
        for line in body.lines() {
            let (word, numbers) = line.split_once(' ')?;
            let numbers: Vec<i64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
            match (word, numbers.as_slice()) {
                ("durable", [offset]) => checkpoint.durable = Offset(*offset),
                ("scan", [offset]) => checkpoint.scan_from = Offset(*offset),
                ("epoch", [epoch, start]) => {
                    checkpoint.epochs.assign(LeaderEpoch(i32::try_from(*epoch).ok()?), Offset(*start));
                }
                ("producer", [id, epoch]) => {
                    let epoch = ProducerEpoch(i16::try_from(*epoch).ok()?);
                    let state = ProducerState { epoch, batches: VecDeque::new() };
                    checkpoint.producers.insert(ProducerId(*id), state);
                }
                ("batch", [id, first, last, first_offset, last_offset, timestamp]) => {
                    checkpoint.producers.get_mut(ProducerId(*id))?.batches.push_back(StoredBatch {
                        first_sequence: Sequence(i32::try_from(*first).ok()?),
                        last_sequence: Sequence(i32::try_from(*last).ok()?),
                        first_offset: Offset(*first_offset),
                        last_offset: Offset(*last_offset),
                        timestamp: *timestamp,
                    });
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
    use crate::record::{BatchBuilder, BatchHeader};

    fn checkpoint() -> Checkpoint {
        let mut checkpoint =
            Checkpoint { durable: Offset(120), scan_from: Offset(100), ..Checkpoint::default() };
        checkpoint.epochs.assign(LeaderEpoch(1), Offset(0));
        checkpoint.epochs.assign(LeaderEpoch(4), Offset(70));
        for sequence in 0..3 {
            let batch = BatchBuilder::new(17)
                .producer(ProducerId(5), ProducerEpoch(2), Sequence(sequence))
                .record(None, Some(b"v"))
                .build();
            checkpoint.producers.update(&BatchHeader::parse(&batch).unwrap());
        }
        checkpoint
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
