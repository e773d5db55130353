//! Which versions of which API each listener offers.
//!
//! The codec's own table promises more than it can encode, and not every version it knows is answered here, so
//! the node keeps tables of its own; a test round-trips every entry.

use kafka_protocol::messages::ApiKey;

use crate::node::{ListenerKind, Role};

/// A range of versions of one API, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// The API.
    pub api: ApiKey,
    /// The lowest version that `ApiVersions` names.
    pub min: i16,
    /// The highest one.
    pub max: i16,
}

const fn of(api: ApiKey, min: i16, max: i16) -> Versions {
    Versions { api, min, max }
}

/// What clients may speak: all that librdkafka uses, and what Java clients need for transactions of the second protocol
/// (KIP-890), in the order of the API keys.
///
/// Produce starts at 0 although versions below 3 are answered with `UNSUPPORTED_VERSION`: librdkafka takes a higher
/// minimum as a lack of compression codecs, and Kafka 4 advertises the same.
const CLIENT: &[Versions] = &[
    of(ApiKey::Produce, 0, 12),
    of(ApiKey::Fetch, 4, 12),
    of(ApiKey::ListOffsets, 1, 7),
    of(ApiKey::Metadata, 0, 12),
    of(ApiKey::OffsetCommit, 2, 9),
    of(ApiKey::OffsetFetch, 1, 9),
    of(ApiKey::FindCoordinator, 0, 4),
    of(ApiKey::JoinGroup, 0, 9),
    of(ApiKey::Heartbeat, 0, 4),
    of(ApiKey::LeaveGroup, 0, 5),
    of(ApiKey::SyncGroup, 0, 5),
    of(ApiKey::DescribeGroups, 0, 6),
    of(ApiKey::ListGroups, 0, 5),
    of(ApiKey::SaslHandshake, 0, 1),
    of(ApiKey::ApiVersions, 0, 3),
    of(ApiKey::CreateTopics, 2, 7),
    of(ApiKey::DeleteTopics, 1, 6),
    of(ApiKey::DeleteRecords, 0, 2),
    of(ApiKey::InitProducerId, 0, 5),
    of(ApiKey::OffsetForLeaderEpoch, 2, 4),
    of(ApiKey::AddPartitionsToTxn, 0, 3),
    of(ApiKey::AddOffsetsToTxn, 0, 4),
    of(ApiKey::EndTxn, 0, 5),
    of(ApiKey::TxnOffsetCommit, 0, 5),
    of(ApiKey::DescribeConfigs, 1, 4),
    of(ApiKey::AlterConfigs, 0, 2),
    of(ApiKey::SaslAuthenticate, 0, 2),
    of(ApiKey::CreatePartitions, 0, 3),
    of(ApiKey::DeleteGroups, 0, 2),
    of(ApiKey::ElectLeaders, 0, 2),
    of(ApiKey::AlterPartitionReassignments, 0, 1),
    of(ApiKey::ListPartitionReassignments, 0, 0),
    of(ApiKey::OffsetDelete, 0, 0),
    of(ApiKey::IncrementalAlterConfigs, 0, 1),
    of(ApiKey::DescribeQuorum, 0, 2),
    of(ApiKey::DescribeCluster, 0, 2),
    of(ApiKey::UnregisterBroker, 0, 0),
    of(ApiKey::ConsumerGroupHeartbeat, 0, 1),
    of(ApiKey::ConsumerGroupDescribe, 0, 1),
    of(ApiKey::DescribeTopicPartitions, 0, 0),
];

/// What a broker answers to other brokers: Kafka's own schema, with the follower's registration (KIP-903) and questions
/// about transactions (KIP-890).
const PEER: &[Versions] = &[
    of(ApiKey::Fetch, 15, 15),
    of(ApiKey::SaslHandshake, 1, 1),
    of(ApiKey::ApiVersions, 0, 3),
    of(ApiKey::AddPartitionsToTxn, 4, 4),
    of(ApiKey::WriteTxnMarkers, 1, 1),
    of(ApiKey::SaslAuthenticate, 2, 2),
];

/// What a controller answers to brokers and to other controllers.
const CONTROLLER: &[Versions] = &[
    of(ApiKey::Fetch, 15, 15),
    of(ApiKey::SaslHandshake, 1, 1),
    of(ApiKey::ApiVersions, 0, 3),
    of(ApiKey::CreateTopics, 7, 7),
    of(ApiKey::DeleteTopics, 6, 6),
    of(ApiKey::AlterConfigs, 2, 2),
    of(ApiKey::SaslAuthenticate, 2, 2),
    of(ApiKey::CreatePartitions, 3, 3),
    of(ApiKey::IncrementalAlterConfigs, 1, 1),
    of(ApiKey::AlterPartition, 3, 3),
    of(ApiKey::BrokerRegistration, 4, 4),
    of(ApiKey::BrokerHeartbeat, 1, 1),
    of(ApiKey::AllocateProducerIds, 0, 0),
    of(ApiKey::Vote, 2, 2),
    of(ApiKey::BeginQuorumEpoch, 1, 1),
    of(ApiKey::EndQuorumEpoch, 1, 1),
    of(ApiKey::FetchSnapshot, 0, 0),
    of(ApiKey::DescribeQuorum, 2, 2),
    of(ApiKey::UnregisterBroker, 0, 0),
    of(ApiKey::ElectLeaders, 2, 2),
    of(ApiKey::AlterPartitionReassignments, 1, 1),
    of(ApiKey::ListPartitionReassignments, 0, 0),
];

/// A listener of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// Of the node.
    pub role: Role,
    /// Which of its listeners.
    pub listener: ListenerKind,
}

/// All that a listener offers. A controller has nothing for clients.
pub fn advertised(door: Door) -> &'static [Versions] {
    match (door.role, door.listener) {
        (Role::Broker, ListenerKind::Client) => CLIENT,
        (Role::Broker, ListenerKind::Internal) => PEER,
        (Role::Controller, _) => CONTROLLER,
    }
}

/// Whether a listener offers this version of an API.
pub fn offers(door: Door, api: ApiKey, version: i16) -> bool {
    advertised(door).iter().any(|offer| offer.api == api && (offer.min..=offer.max).contains(&version))
}
