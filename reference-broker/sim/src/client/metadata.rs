//! Who leads, as far as a client knows, and when it asks again.

use std::collections::BTreeMap;

use broker_core::NodeId;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{ApiKey, MetadataRequest, MetadataResponse, RequestKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::ClientTurn;
use super::session::Session;
use crate::dice::Dice;

const VERSION: i16 = 9;

/// A client's picture of one topic, which may be out of date.
#[derive(Debug)]
pub(crate) struct Metadata {
    topic: TopicName,
    leaders: BTreeMap<i32, (NodeId, i32)>,
    asking: bool,
    stale: bool,
    /// Between an answer and the next question at least.
    pause_ns: u64,
    not_before_ns: u64,
    /// Between an answer and the next question at most.
    every_ns: u64,
    refresh_ns: u64,
}

impl Metadata {
    /// Knows nothing yet.
    pub(crate) fn new(topic: TopicName, pause_ns: u64, every_ns: u64) -> Self {
        Self {
            topic,
            leaders: BTreeMap::new(),
            asking: false,
            stale: true,
            pause_ns,
            not_before_ns: 0,
            every_ns,
            refresh_ns: u64::MAX,
        }
    }

    pub(crate) fn topic(&self) -> &TopicName {
        &self.topic
    }

    pub(crate) fn leader(&self, partition: i32) -> Option<(NodeId, i32)> {
        self.leaders.get(&partition).copied()
    }

    /// What is known does not hold any more.
    pub(crate) fn expire(&mut self) {
        self.stale = true;
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Asks any broker if it is time to.
    pub(crate) fn ask<T>(
        &mut self,
        session: &mut Session<T>,
        tag: T,
        dice: &mut Dice,
        turn: &mut ClientTurn<'_>,
    ) {
        self.stale |= turn.now_ns >= self.refresh_ns;
        if !self.stale || self.asking || turn.now_ns < self.not_before_ns {
            return;
        }
        self.stale = false;
        self.asking = true;
        let node = any_broker(turn, dice);
        let topic = MetadataRequestTopic::default().with_name(Some(self.topic.clone()));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        session.request(node, ApiKey::Metadata, VERSION, &RequestKind::Metadata(request), tag, turn);
    }

    /// The question has been answered, or is lost.
    pub(crate) fn answered(&mut self, response: Option<&MetadataResponse>, now_ns: u64) {
        if let Some(response) = response {
            self.update(response);
        }
        self.asking = false;
        self.not_before_ns = now_ns + self.pause_ns;
        self.refresh_ns = now_ns.saturating_add(self.every_ns);
    }

    /// When the next question is due.
    pub(crate) fn next_ns(&self) -> u64 {
        match (self.asking, self.stale) {
            (true, _) => u64::MAX,
            (false, true) => self.not_before_ns,
            (false, false) => self.refresh_ns,
        }
    }

    /// An older leader than the one known is ignored (KIP-320).
    fn update(&mut self, response: &MetadataResponse) {
        let topics = response.topics.iter().filter(|topic| topic.name.as_ref() == Some(&self.topic));
        for partition in topics.flat_map(|topic| &topic.partitions) {
            let known = self.leaders.get(&partition.partition_index).map_or(-1, |(_, epoch)| *epoch);
            if partition.leader_epoch >= known && partition.leader_id.0 >= 0 {
                let leader = (NodeId(partition.leader_id.0), partition.leader_epoch);
                self.leaders.insert(partition.partition_index, leader);
            }
        }
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Any broker will do.
pub(crate) fn any_broker(turn: &ClientTurn<'_>, dice: &mut Dice) -> NodeId {
    NodeId(dice.between(1, turn.brokers) as i32)
}
