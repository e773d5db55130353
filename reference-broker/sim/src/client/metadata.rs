//! Who leads, as far as a client knows.

use std::collections::BTreeMap;

use broker_core::NodeId;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::TOPIC;
use crate::dice::Dice;
use crate::plan::BROKERS;

pub(super) const METADATA_VERSION: i16 = 9;

/// A client's picture of the topic, which may be out of date.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    leaders: BTreeMap<i32, (NodeId, i32)>,
}

impl Metadata {
    pub(super) fn request() -> RequestKind {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name()));
        RequestKind::Metadata(
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false),
        )
    }

    /// Takes the answer of a broker; an older leader than the one known is ignored (KIP-320).
    pub(super) fn update(&mut self, response: &MetadataResponse) {
        let topics = response.topics.iter().filter(|topic| topic.name.as_ref() == Some(&topic_name()));
        for partition in topics.flat_map(|topic| &topic.partitions) {
            let known = self.leaders.get(&partition.partition_index).map_or(-1, |(_, epoch)| *epoch);
            if partition.leader_epoch >= known && partition.leader_id.0 >= 0 {
                let leader = (NodeId(partition.leader_id.0), partition.leader_epoch);
                self.leaders.insert(partition.partition_index, leader);
            }
        }
    }

    pub(super) fn leader(&self, partition: i32) -> Option<(NodeId, i32)> {
        self.leaders.get(&partition).copied()
    }
}

pub(super) fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// Any broker will do.
pub(super) fn any_broker(dice: &mut Dice) -> NodeId {
    NodeId(dice.between(1, BROKERS as u64) as i32)
}
