//! Metadata and DescribeCluster: what this broker knows of the cluster.
//!
//! Nothing here waits: a topic that does not exist yet is asked for, and the client told to come again.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::{DescribeClusterBroker, DescribeClusterResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{BrokerImage, BrokerState, MetadataImage, PartitionImage, TopicId, TopicImage};
use crate::ids::{NodeId, PartitionId};

use super::{Broker, Turn, is_internal};

/// "Not asked for", where a set of allowed operations would stand (KIP-430).
pub(super) const NO_OPERATIONS: i32 = i32::MIN;
/// Types of endpoints in DescribeCluster (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Broker {
    /// Answers from the metadata image; creates missing topics if the request and the settings allow it.
    pub(super) fn metadata(
        &mut self,
        request: &MetadataRequest,
        version: i16,
        turn: &mut Turn<'_>,
    ) -> MetadataResponse {
        let mut missing = BTreeSet::new();
        let topics = self.described_topics(request, version, &mut missing);
        let brokers = self.listed_brokers().map(|(id, broker)| {
            let described = MetadataResponseBroker::default()
                .with_node_id(BrokerId(id.0))
                .with_host(StrBytes::from_string(broker.client.host.clone()))
                .with_port(i32::from(broker.client.port));
            if version >= 1 { described.with_rack(rack(broker)) } else { described }
        });
        let mut response = MetadataResponse::default().with_brokers(brokers.collect()).with_topics(topics);
        if version >= 1 {
            response.controller_id = BrokerId(self.nearest_broker().0);
        }
        if version >= 2 {
            response.cluster_id = Some(StrBytes::from_string(self.config.cluster_id.clone()));
        }
        if (8..=10).contains(&version) {
            response.cluster_authorized_operations = NO_OPERATIONS;
        }
        if self.config.auto_create_topics && request.allow_auto_topic_creation {
            for name in missing {
                self.create_automatically(&name, turn);
            }
        }
        response
    }

    /// The brokers that clients may be sent to, and this one whatever the controller holds of it: it answers, after all.
    /// When all are fenced for a moment an empty list would leave clients with nobody to ask again, since librdkafka
    /// forgets the brokers that are not listed.
    fn listed_brokers(&self) -> impl Iterator<Item = (NodeId, &BrokerImage)> {
        let (image, me) = (self.channel.image(), self.config.node_id);
        let own = image.broker(me).map(|broker| (me, broker));
        image.serving_brokers().filter(move |(id, _)| *id != me).chain(own)
    }

    /// Admin requests go to any broker, which forwards them: so every broker says that it is the one (KIP-590). Where
    /// brokers are listed one of them is named, since librdkafka asks no second time before its metadata is old.
    fn nearest_broker(&self) -> NodeId {
        let image = self.channel.image();
        let me = self.config.node_id;
        if image.is_active(me) {
            return me;
        }
        let listed = self.listed_brokers().map(|(id, _)| id);
        image.active_brokers().chain(listed).next().unwrap_or(NodeId::NONE)
    }

    fn described_topics(
        &self,
        request: &MetadataRequest,
        version: i16,
        missing: &mut BTreeSet<String>,
    ) -> Vec<MetadataResponseTopic> {
        let image = self.channel.image();
        // In version 0 an empty list asks for all topics, later a null one does.
        let Some(topics) = request.topics.as_ref().filter(|topics| version > 0 || !topics.is_empty()) else {
            return image.topics().map(|topic| describe(image, topic, version)).collect();
        };
        let describe_one = |asked: &kafka_protocol::messages::metadata_request::MetadataRequestTopic| {
            let Some(name) = &asked.name else {
                let id = TopicId(asked.topic_id);
                return image.topic(id).map_or_else(
                    || {
                        error_topic(None, ResponseError::UnknownTopicId, version)
                            .with_topic_id(asked.topic_id)
                    },
                    |topic| describe(image, topic, version),
                );
            };
            if let Some(topic) = image.topic_named(name) {
                return describe(image, topic, version);
            }
            if !is_legal_name(name) {
                return error_topic(Some(name.clone()), ResponseError::InvalidTopicException, version);
            }
            let creating =
                self.config.auto_create_topics && request.allow_auto_topic_creation && !is_internal(name);
            let error = if creating {
                ResponseError::LeaderNotAvailable
            } else {
                ResponseError::UnknownTopicOrPartition
            };
            error_topic(Some(name.clone()), error, version)
        };
        let described: Vec<_> = topics.iter().map(describe_one).collect();
        let absent = described.iter().filter(|topic| {
            topic.error_code == ResponseError::LeaderNotAvailable.code() && topic.partitions.is_empty()
        });
        missing.extend(absent.filter_map(|topic| topic.name.as_ref()).map(|name| name.as_str().to_owned()));
        described
    }

    /// Answers from the metadata image. Controllers are not for clients to speak to (KIP-919).
    pub(super) fn describe_cluster(
        &self,
        request: &DescribeClusterRequest,
        version: i16,
    ) -> DescribeClusterResponse {
        let response = DescribeClusterResponse::default().with_error_message(None);
        match request.endpoint_type {
            BROKERS => {}
            CONTROLLERS => return response.with_error_code(ResponseError::MismatchedEndpointType.code()),
            _ => return response.with_error_code(ResponseError::UnsupportedEndpointType.code()),
        }
        let image = self.channel.image();
        let all = version >= 2 && request.include_fenced_brokers;
        let fenced = image.brokers().iter().map(|(id, broker)| (*id, broker));
        let fenced = fenced
            .filter(|(id, broker)| all && broker.state == BrokerState::Fenced && *id != self.config.node_id);
        let brokers = self.listed_brokers().chain(fenced).map(|(id, broker)| {
            let described = DescribeClusterBroker::default()
                .with_broker_id(BrokerId(id.0))
                .with_host(StrBytes::from_string(broker.client.host.clone()))
                .with_port(i32::from(broker.client.port))
                .with_rack(rack(broker));
            described.with_is_fenced(version >= 2 && broker.state == BrokerState::Fenced)
        });
        response
            .with_cluster_id(StrBytes::from_string(self.config.cluster_id.clone()))
            .with_controller_id(BrokerId(self.nearest_broker().0))
            .with_brokers(brokers.collect())
            .with_cluster_authorized_operations(NO_OPERATIONS)
    }
}

fn rack(broker: &BrokerImage) -> Option<StrBytes> {
    broker.rack.clone().map(StrBytes::from_string)
}

/// Kafka's rule for names: 1 to 249 of `[a-zA-Z0-9._-]`, and neither `.` nor `..`.
pub(super) fn is_legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(legal)
}

fn error_topic(name: Option<TopicName>, error: ResponseError, version: i16) -> MetadataResponseTopic {
    let topic = MetadataResponseTopic::default().with_error_code(error.code());
    let topic =
        if version >= 12 { topic.with_name(name) } else { topic.with_name(Some(name.unwrap_or_default())) };
    if version >= 8 { topic.with_topic_authorized_operations(NO_OPERATIONS) } else { topic }
}

fn describe(image: &MetadataImage, topic: &TopicImage, version: i16) -> MetadataResponseTopic {
    let partitions = topic
        .partitions
        .iter()
        .map(|(index, partition)| describe_partition(image, *index, partition, version));
    let mut described = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.clone()))))
        .with_partitions(partitions.collect());
    if version >= 1 {
        described.is_internal = is_internal(&topic.name);
    }
    if version >= 8 {
        described.topic_authorized_operations = NO_OPERATIONS;
    }
    if version >= 10 {
        described.topic_id = topic.id.0;
    }
    described
}

fn describe_partition(
    image: &MetadataImage,
    index: PartitionId,
    partition: &PartitionImage,
    version: i16,
) -> MetadataResponsePartition {
    let brokers = |nodes: &[NodeId]| nodes.iter().map(|node| BrokerId(node.0)).collect::<Vec<_>>();
    let state = &partition.state;
    let error = if partition.has_leader() { 0 } else { ResponseError::LeaderNotAvailable.code() };
    let mut described = MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(index.0)
        .with_leader_id(BrokerId(state.leader.0))
        .with_replica_nodes(brokers(&partition.replicas))
        .with_isr_nodes(brokers(&state.isr));
    if version >= 5 {
        let offline =
            partition.replicas.iter().filter(|node| !image.serving_brokers().any(|(id, _)| id == **node));
        described.offline_replicas = offline.map(|node| BrokerId(node.0)).collect();
    }
    if version >= 7 {
        described.leader_epoch = state.leader_epoch.0;
    }
    described
}
