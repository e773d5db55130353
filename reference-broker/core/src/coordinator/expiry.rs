//! Offsets that nobody needs any more, and groups that are left with none (KIP-211).

use std::collections::BTreeSet;

use super::group::{Group, GroupState, TopicPartition};
use super::journal::{Turn, Write};
use super::records;
use crate::defects::Defect;

impl Group {
    /// Lets go of offsets that are older than `offsets.retention.minutes` while no member needs them. A group that has
    /// no members and no offsets is forgotten with them.
    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::Dead {
            return;
        }
        let offsets = self.expired_offsets(turn);
        let all = offsets.len() == self.offsets.len() && self.undecided.is_empty() && !self.is_writing();
        if all && self.is_vacant() && (self.is_stored() || !offsets.is_empty()) {
            self.state = GroupState::Dead;
            return self.append(self.tombstones(), Write::ExpireGroup, turn);
        }
        if !offsets.is_empty() {
            let batch = offsets
                .iter()
                .map(|(topic, partition)| (records::offset_key(&self.id, topic, *partition), None));
            self.append(batch.collect(), Write::ExpireOffsets { offsets }, turn);
        }
    }

    /// What nobody has committed for too long, and no transaction or commit under way is about (KAFKA-13636).
    fn expired_offsets(&self, turn: &Turn<'_>) -> Vec<TopicPartition> {
        let Some(needed) = self.needed_topics(turn) else { return Vec::new() };
        let empty_since_ms =
            if self.protocol_type.is_some() && self.members.is_empty() { self.stored_ms } else { i64::MIN };
        let oldest_ms = turn.now.wall_ms.saturating_sub_unsigned(turn.config.offsets_retention_ms);
        let expired = self.offsets.iter().filter(|(partition, committed)| {
            committed.commit_timestamp_ms.max(empty_since_ms) <= oldest_ms
                && !needed.contains(&partition.0)
                && !self.pending_offsets.contains_key(*partition)
                && !self.is_undecided(partition)
        });
        expired.map(|(partition, _)| partition.clone()).collect()
    }

    /// The topics that members read; `None` while that cannot be known, because the group rebalances.
    fn needed_topics(&self, turn: &Turn<'_>) -> Option<BTreeSet<String>> {
        if let Some(consumer) = &self.consumer {
            return Some(consumer.subscribed_topics(turn.topics));
        }
        match self.state {
            GroupState::Empty => Some(BTreeSet::new()),
            GroupState::Stable if self.protocol_type.as_deref() == Some("consumer") => {
                Some(self.subscribed_topics())
            }
            GroupState::PreparingRebalance | GroupState::CompletingRebalance
                if turn.config.defects.has(Defect::ExpireWhileRebalancing) =>
            {
                Some(BTreeSet::new())
            }
            _ => None,
        }
    }
}
