//! The epoch and the vote given in it, on the disk before anybody hears of them.
//!
//! A text file: a version, then `epoch <n>`, then `voted <id>` (−1 for nobody), then `end`. It is replaced as a whole.
//! A damaged one is no file to go on with: whoever forgets a vote can give another one in the same epoch.

use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, NodeId};
use crate::node::BootError;
use crate::replication::replace_file;

const PATH: &str = "quorum-state";
const TEMPORARY: &str = "quorum-state.tmp";
const VERSION: &str = "quorum-state 1";

/// The newest epoch that a voter has heard of, and whom it has voted for in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Vote {
    pub(super) epoch: LeaderEpoch,
    pub(super) voted: Option<NodeId>,
}

impl Vote {
    /// `None` if nothing was stored yet.
    pub(super) fn load(disk: &mut dyn Disk) -> Result<Option<Self>, BootError> {
        if !disk.list("")?.iter().any(|name| name == PATH) {
            return Ok(None);
        }
        let file = disk.open(PATH)?;
        let mut bytes = vec![0; disk.len(file)? as usize];
        disk.read_at(file, 0, &mut bytes)?;
        disk.close(file);
        let vote = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
        vote.map(Some).ok_or_else(|| {
            BootError::BadData(format!("`{PATH}` is damaged: {:?}", bytes.escape_ascii().to_string()))
        })
    }

    pub(super) fn store(self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let voted = self.voted.unwrap_or(NodeId::NONE);
        let text = format!("{VERSION}\nepoch {}\nvoted {voted}\nend\n", self.epoch);
        replace_file(PATH, TEMPORARY, text.as_bytes(), disk)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let epoch = LeaderEpoch(lines.next()?.strip_prefix("epoch ")?.parse().ok()?);
        let voted = NodeId(lines.next()?.strip_prefix("voted ")?.parse().ok()?);
        (lines.next()? == "end").then_some(Self { epoch, voted: (voted != NodeId::NONE).then_some(voted) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[test]
    fn what_is_stored_is_read_again() {
        let mut disk = MemDisk::new();
        assert_eq!(Vote::load(&mut disk).expect("reads"), None);
        for voted in [None, Some(NodeId(7))] {
            let vote = Vote { epoch: LeaderEpoch(3), voted };
            vote.store(&mut disk).expect("writes");
            assert_eq!(Vote::load(&mut disk).expect("reads"), Some(vote));
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_taken_for_a_missing_one() {
        let mut disk = MemDisk::new();
        Vote { epoch: LeaderEpoch(3), voted: None }.store(&mut disk).expect("writes");
        disk.contents_mut(PATH).expect("a file").truncate(20);
        assert!(matches!(Vote::load(&mut disk), Err(BootError::BadData(reason)) if reason.contains(PATH)));
    }
}
