//! Partitions that were deleted or moved while this broker was away leave their directories behind.

use uuid::Uuid;

use crate::controller::{TopicId, TopicPartitionId};
use crate::disk::DiskError;
use crate::ids::PartitionId;
use crate::log;

use super::{Broker, Turn};

impl Broker {
    /// Removes the directories of partitions that are in the metadata no more, or that other brokers hold. To be called when this broker has
    /// caught up with the metadata: before that, a topic may only not have been heard of yet.
    pub(super) fn remove_strays(&mut self, turn: &mut Turn<'_>) {
        if let Err(error) = self.try_remove_strays(turn) {
            super::fail(&error, turn);
        }
    }

    fn try_remove_strays(&mut self, turn: &mut Turn<'_>) -> Result<(), DiskError> {
        let image = self.channel.image();
        for entry in turn.disk.list("")? {
            if let Some(id) = partition_of(&entry)
                && image.partition(id).is_none_or(|it| !it.replicas.contains(&self.config.node_id))
            {
                tracing::info!(
                    directory = entry,
                    "removed: its topic was deleted, or others hold the partition"
                );
                log::remove(&entry, turn.disk)?;
                self.checkpoint.remove(&id);
            }
        }
        Ok(())
    }
}

/// Where a partition is stored. The id keeps a topic apart from an earlier one of the same name; a file name may not
/// be longer than 255 bytes.
pub(super) fn directory(topic: &str, id: TopicPartitionId) -> String {
    let name: String = topic.chars().take(200).collect();
    format!("{name}-{}.{}", id.partition, id.topic.0.simple())
}

/// The partition that is stored in a directory, if its name is one that [`directory`] gives.
fn partition_of(directory: &str) -> Option<TopicPartitionId> {
    let (rest, topic) = directory.rsplit_once('.')?;
    let (_, partition) = rest.rsplit_once('-')?;
    let topic = TopicId(Uuid::try_parse(topic).ok()?);
    Some(TopicPartitionId { topic, partition: PartitionId(partition.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_its_partition_and_other_entries_name_none() {
        let id = TopicPartitionId { topic: TopicId(Uuid::from_u128(7)), partition: PartitionId(12) };
        for topic in ["orders", "a.b-c-1", &"x".repeat(249)] {
            assert_eq!(partition_of(&directory(topic, id)), Some(id));
        }
        for entry in ["clean-shutdown", "high-watermarks", "high-watermarks.tmp", "lost+found", "orders-0"] {
            assert_eq!(partition_of(entry), None);
        }
    }
}
