//! The requests that the channel makes on its own, and what it fills into those of others.

use kafka_protocol::messages::broker_registration_request::Listener;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use kafka_protocol::messages::{BrokerHeartbeatRequest, BrokerId, BrokerRegistrationRequest, FetchRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::controller::api::ControllerRequest;
use crate::controller::brokers::{CLIENT_LISTENER, INTERNAL_LISTENER};
use crate::controller::derived_id::derived_id;
use crate::controller::image::MetadataImage;
use crate::controller::topic_id::TopicId;
use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId};
use crate::node::{Endpoint, NodeConfig, Now};
use crate::quorum::{ChunkAsked, Receiver, chunk_request};

/// How long a Fetch waits for news of the metadata log.
pub(super) const FETCH_WAIT_MS: i32 = 500;

const FETCH_BYTES_MAX: i32 = 8 << 20;

/// Who the broker is.
#[derive(Debug)]
pub(super) struct Identity {
    broker: NodeId,
    cluster_id: String,
    incarnation: Uuid,
    previous_epoch: Option<BrokerEpoch>,
    client: Endpoint,
    internal: Endpoint,
    rack: Option<String>,
    /// How much of a snapshot is asked for at a time.
    chunk_bytes: i32,
}

impl Identity {
    /// A process of the broker that starts now; the time tells it from the ones before.
    pub(super) fn new(config: &NodeConfig, previous_epoch: Option<BrokerEpoch>, now: Now) -> Self {
        let incarnation = derived_id(&[
            config.cluster_id.as_bytes(),
            &config.node_id.0.to_be_bytes(),
            &config.seed.to_be_bytes(),
            &now.wall_ms.to_be_bytes(),
            &now.mono_ns.to_be_bytes(),
        ]);
        Self {
            broker: config.node_id,
            cluster_id: config.cluster_id.clone(),
            incarnation,
            previous_epoch,
            client: config.advertised_client.clone(),
            internal: config.advertised_internal.clone(),
            rack: config.rack.clone(),
            chunk_bytes: config.quorum_snapshot_fetch_bytes,
        }
    }

    pub(super) fn registration(&self) -> ControllerRequest {
        let listener = |name: &'static str, endpoint: &Endpoint| {
            Listener::default()
                .with_name(StrBytes::from_static_str(name))
                .with_host(text(&endpoint.host))
                .with_port(endpoint.port)
        };
        BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(self.broker.0))
            .with_cluster_id(text(&self.cluster_id))
            .with_incarnation_id(self.incarnation)
            .with_listeners(vec![
                listener(CLIENT_LISTENER, &self.client),
                listener(INTERNAL_LISTENER, &self.internal),
            ])
            .with_previous_broker_epoch(self.previous_epoch.map_or(-1, |epoch| epoch.0))
            .with_rack(Some(text(self.rack.as_deref().unwrap_or_default())))
            .into()
    }

    pub(super) fn heartbeat(
        &self,
        epoch: BrokerEpoch,
        image: &MetadataImage,
        stopping: bool,
    ) -> ControllerRequest {
        BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(self.broker.0))
            .with_broker_epoch(epoch.0)
            .with_current_metadata_offset(image.next_offset().0 - 1)
            .with_want_shut_down(stopping)
            .into()
    }

    pub(super) fn fetch(&self, epoch: Option<BrokerEpoch>, image: &MetadataImage) -> ControllerRequest {
        let partition = FetchPartition::default()
            .with_fetch_offset(image.next_offset().0)
            .with_last_fetched_epoch(image.epoch().0)
            .with_partition_max_bytes(FETCH_BYTES_MAX);
        let topic = FetchTopic::default().with_topic_id(TopicId::METADATA.0).with_partitions(vec![partition]);
        let replica = ReplicaState::default()
            .with_replica_id(BrokerId(self.broker.0))
            .with_replica_epoch(epoch.map_or(-1, |epoch| epoch.0));
        FetchRequest::default()
            .with_cluster_id(Some(text(&self.cluster_id)))
            .with_replica_state(replica)
            .with_max_wait_ms(FETCH_WAIT_MS)
            .with_min_bytes(1)
            .with_max_bytes(FETCH_BYTES_MAX)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
            .into()
    }

    /// Asks for the next part of a snapshot.
    pub(super) fn fetch_snapshot(&self, receiver: &Receiver) -> ControllerRequest {
        let asked = ChunkAsked {
            replica: self.broker,
            epoch: LeaderEpoch::NONE,
            id: receiver.id(),
            position: receiver.position(),
            max_bytes: self.chunk_bytes,
        };
        chunk_request(&self.cluster_id, asked).into()
    }

    /// Fills in who sends a forwarded request.
    pub(super) fn sign(&self, mut request: ControllerRequest, epoch: BrokerEpoch) -> ControllerRequest {
        match &mut request {
            ControllerRequest::AlterPartition(body) => {
                (body.broker_id, body.broker_epoch) = (BrokerId(self.broker.0), epoch.0);
            }
            ControllerRequest::AllocateProducerIds(body) => {
                (body.broker_id, body.broker_epoch) = (BrokerId(self.broker.0), epoch.0);
            }
            _ => {}
        }
        request
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
