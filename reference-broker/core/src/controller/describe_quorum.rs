//! `DescribeQuorum`: who votes on the metadata, who reads it, and how far everybody is (KIP-595, KIP-836).

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;

use crate::ids::NodeId;
use crate::node::{NodeConfig, Now, Peer};
use crate::quorum::{Quorum, ReaderView};

/// The name of the listener of controllers.
const LISTENER: &str = "CONTROLLER";
const TOPIC: &str = "__cluster_metadata";

/// Of the active controller.
pub(super) fn describe_quorum(
    quorum: &Quorum,
    config: &NodeConfig,
    now: Now,
    request: &DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let (voters, observers) = quorum.readers(now);
    let states = |readers: &[ReaderView]| readers.iter().map(replica_state).collect::<Vec<_>>();
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let data = PartitionData::default().with_partition_index(asked.partition_index);
            if topic.topic_name.as_str() != TOPIC || asked.partition_index != 0 {
                return data.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            }
            data.with_leader_id(BrokerId(quorum.leader().unwrap_or(NodeId::NONE).0))
                .with_leader_epoch(quorum.epoch().0)
                .with_high_watermark(quorum.high_watermark().0)
                .with_current_voters(states(&voters))
                .with_observers(states(&observers))
        });
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default()
        .with_error_message(None)
        .with_topics(topics.collect())
        .with_nodes(config.controllers.iter().map(node).collect())
}

fn replica_state(reader: &ReaderView) -> ReplicaState {
    ReplicaState::default()
        .with_replica_id(BrokerId(reader.node.0))
        .with_log_end_offset(reader.end.0)
        .with_last_fetch_timestamp(reader.fetched_ms)
        .with_last_caught_up_timestamp(reader.caught_up_ms)
}

fn node(peer: &Peer) -> Node {
    let listener = Listener::default()
        .with_name(StrBytes::from_static_str(LISTENER))
        .with_host(StrBytes::from_string(peer.endpoint.host.clone()))
        .with_port(peer.endpoint.port);
    Node::default().with_node_id(BrokerId(peer.node.0)).with_listeners(vec![listener])
}
