//! A consumer group over the wire.

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, GroupId, JoinGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    RequestKind, ResponseKind, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use crate::ids::NodeId;

use super::cluster::{Client, Cluster};
use super::requests::topic_name;

pub(super) fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("readers"))
}

/// Asks until there is a coordinator.
pub(super) fn coordinator(cluster: &mut Cluster, at: NodeId) -> NodeId {
    let client = cluster.connect(at);
    for _ in 0..100 {
        let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("readers"));
        let answer = cluster.ask(client, ApiKey::FindCoordinator, 2, RequestKind::FindCoordinator(request));
        let ResponseKind::FindCoordinator(answer) = answer else { panic!("{answer:?}") };
        if answer.error_code == 0 {
            return NodeId(answer.node_id.0);
        }
        cluster.run_ms(50);
    }
    panic!("no coordinator");
}

fn join(cluster: &mut Cluster, client: Client) -> (i32, StrBytes) {
    for _ in 0..100 {
        let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
        let request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(6_000)
            .with_rebalance_timeout_ms(6_000)
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let answer = cluster.ask(client, ApiKey::JoinGroup, 3, RequestKind::JoinGroup(request));
        let ResponseKind::JoinGroup(answer) = answer else { panic!("{answer:?}") };
        if answer.error_code == 0 {
            return (answer.generation_id, answer.member_id);
        }
        cluster.run_ms(50);
    }
    panic!("cannot join");
}

pub(super) fn fetched(cluster: &mut Cluster, client: Client) -> (i16, i64) {
    let topic =
        OffsetFetchRequestTopic::default().with_name(topic_name("orders")).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
    let answer = cluster.ask(client, ApiKey::OffsetFetch, 5, RequestKind::OffsetFetch(request));
    let ResponseKind::OffsetFetch(answer) = answer else { panic!("{answer:?}") };
    if answer.error_code != 0 {
        return (answer.error_code, -1);
    }
    (answer.topics[0].partitions[0].error_code, answer.topics[0].partitions[0].committed_offset)
}

#[test]
fn a_committed_offset_survives_the_coordinator() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    let first = coordinator(&mut cluster, NodeId(1));
    let client = cluster.connect(first);
    let (generation, member) = join(&mut cluster, client);
    let assignment = SyncGroupRequestAssignment::default().with_member_id(member.clone());
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(member.clone())
        .with_assignments(vec![assignment]);
    let answer = cluster.ask(client, ApiKey::SyncGroup, 3, RequestKind::SyncGroup(request));
    let ResponseKind::SyncGroup(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.error_code, 0);

    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(42);
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member)
        .with_topics(vec![topic]);
    let answer = cluster.ask(client, ApiKey::OffsetCommit, 7, RequestKind::OffsetCommit(request));
    let ResponseKind::OffsetCommit(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    assert_eq!(fetched(&mut cluster, client), (0, 42));

    cluster.kill(first);
    let alive = NodeId(if first == NodeId(1) { 2 } else { 1 });
    cluster.run_ms(1_000);
    let second = coordinator(&mut cluster, alive);
    assert_ne!(second, first);
    let client = cluster.connect(second);
    for _ in 0..100 {
        if let (0, offset) = fetched(&mut cluster, client) {
            return assert_eq!(offset, 42);
        }
        cluster.run_ms(50);
    }
    panic!("never loaded");
}
