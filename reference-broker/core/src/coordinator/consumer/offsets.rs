//! Who may commit and fetch the offsets of a group of the consumer protocol.

use kafka_protocol::ResponseError;

use super::state::ConsumerGroup;
use crate::defects::{Defect, Defects};

/// The first version of OffsetCommit that names a member epoch.
const MEMBER_EPOCH_SINCE: i16 = 9;

impl ConsumerGroup {
    /// A commit counts if its member speaks in its own epoch: whoever is behind may have lost the partition.
    pub(in crate::coordinator) fn check_commit(
        &self,
        member_id: &str,
        epoch: i32,
        version: i16,
        defects: Defects,
    ) -> Result<(), ResponseError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let checked = self.check_member_epoch(member_id, epoch);
        match checked {
            Ok(()) | Err(ResponseError::StaleMemberEpoch) if version < MEMBER_EPOCH_SINCE => {
                Err(ResponseError::UnsupportedVersion)
            }
            Err(ResponseError::StaleMemberEpoch) if defects.has(Defect::StaleMemberCommits) => Ok(()),
            checked => checked,
        }
    }

    /// The same in a transaction, whose protocol knows generations only.
    pub(in crate::coordinator) fn check_transactional_commit(
        &self,
        member_id: &str,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check_member_epoch(member_id, epoch).map_err(|error| match error {
            ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
            error => error,
        })
    }

    /// Whoever names itself is told only what is so in its epoch; an admin names nobody.
    pub(in crate::coordinator) fn check_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match member_id.unwrap_or_default() {
            "" if epoch < 0 => Ok(()),
            member_id => self.check_member_epoch(member_id, epoch),
        }
    }
}
