//! Which versions of which API each listener offers.
//!
//! The codec's own table promises more than it can encode, and not every version it knows is answered here, so
//! the node keeps tables of its own; a test round-trips every entry.

use kafka_protocol::messages::ApiKey;

use crate::node::ListenerKind;

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

/// What clients may speak: all that librdkafka uses, in the order of the API keys.
///
/// Produce starts at 0 although versions below 3 are answered with `UNSUPPORTED_VERSION`: librdkafka takes a higher
/// minimum as a lack of compression codecs, and Kafka 4 advertises the same.
const CLIENT: &[Versions] = &[
    of(ApiKey::Produce, 0, 9),
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
    of(ApiKey::DescribeGroups, 0, 5),
    of(ApiKey::ListGroups, 0, 5),
    of(ApiKey::ApiVersions, 0, 3),
    of(ApiKey::CreateTopics, 2, 7),
    of(ApiKey::DeleteTopics, 1, 6),
    of(ApiKey::InitProducerId, 0, 4),
    of(ApiKey::OffsetForLeaderEpoch, 2, 4),
    of(ApiKey::DescribeConfigs, 1, 4),
    of(ApiKey::CreatePartitions, 0, 3),
    of(ApiKey::DeleteGroups, 0, 2),
    of(ApiKey::DescribeCluster, 0, 1),
];

/// What brokers and controllers speak among themselves: the schemas of Kafka's own.
const INTERNAL: &[Versions] = &[
    of(ApiKey::Fetch, 4, 15),
    of(ApiKey::Metadata, 0, 12),
    of(ApiKey::ApiVersions, 0, 3),
    of(ApiKey::CreateTopics, 2, 7),
    of(ApiKey::DeleteTopics, 1, 6),
    of(ApiKey::OffsetForLeaderEpoch, 2, 4),
    of(ApiKey::CreatePartitions, 0, 3),
    of(ApiKey::Vote, 0, 2),
    of(ApiKey::AlterPartition, 2, 3),
    of(ApiKey::DescribeCluster, 0, 1),
    of(ApiKey::BrokerRegistration, 0, 4),
    of(ApiKey::BrokerHeartbeat, 0, 1),
    of(ApiKey::AllocateProducerIds, 0, 0),
];

/// All that a listener offers.
pub fn advertised(listener: ListenerKind) -> &'static [Versions] {
    match listener {
        ListenerKind::Client => CLIENT,
        ListenerKind::Internal => INTERNAL,
    }
}

/// Whether a listener offers this version of an API.
pub fn offers(listener: ListenerKind, api: ApiKey, version: i16) -> bool {
    advertised(listener).iter().any(|offer| offer.api == api && (offer.min..=offer.max).contains(&version))
}
