//! One request of every API and version that is offered, with an element in each array.

use bytes::Bytes;
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn topic() -> TopicName {
    TopicName(text("orders"))
}

fn group() -> GroupId {
    GroupId(text("readers"))
}

/// A request that this version can carry.
pub(crate) fn request(api: ApiKey, version: i16) -> RequestKind {
    match api {
        ApiKey::Produce => produce().into(),
        ApiKey::Fetch => fetch(version).into(),
        ApiKey::ListOffsets => list_offsets(version).into(),
        ApiKey::Metadata => metadata(version).into(),
        ApiKey::OffsetCommit => offset_commit(version).into(),
        ApiKey::OffsetFetch => offset_fetch(version).into(),
        ApiKey::FindCoordinator if version >= 4 => {
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text("readers")]).into()
        }
        ApiKey::FindCoordinator => FindCoordinatorRequest::default().with_key(text("readers")).into(),
        ApiKey::JoinGroup => join_group(version).into(),
        ApiKey::SyncGroup => sync_group(version).into(),
        ApiKey::Heartbeat => heartbeat(version).into(),
        ApiKey::LeaveGroup => leave_group(version).into(),
        ApiKey::DescribeGroups => DescribeGroupsRequest::default()
            .with_groups(vec![group()])
            .with_include_authorized_operations(version >= 3)
            .into(),
        ApiKey::ListGroups => list_groups(version).into(),
        ApiKey::DeleteGroups => DeleteGroupsRequest::default().with_groups_names(vec![group()]).into(),
        ApiKey::ApiVersions if version >= 3 => ApiVersionsRequest::default()
            .with_client_software_name(text("kcat"))
            .with_client_software_version(text("1.7"))
            .into(),
        ApiKey::ApiVersions => ApiVersionsRequest::default().into(),
        ApiKey::CreateTopics => create_topics().into(),
        ApiKey::DeleteTopics => delete_topics(version).into(),
        ApiKey::CreatePartitions => create_partitions().into(),
        ApiKey::InitProducerId => init_producer_id(version).into(),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch(version).into(),
        ApiKey::DescribeConfigs => describe_configs(version).into(),
        ApiKey::DescribeCluster => DescribeClusterRequest::default()
            .with_include_cluster_authorized_operations(true)
            .with_endpoint_type(1)
            .into(),
        ApiKey::AlterPartition => alter_partition().into(),
        ApiKey::BrokerRegistration => broker_registration().into(),
        ApiKey::BrokerHeartbeat => BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(1))
            .with_broker_epoch(5)
            .with_current_metadata_offset(9)
            .with_want_fence(true)
            .into(),
        ApiKey::AllocateProducerIds => {
            AllocateProducerIdsRequest::default().with_broker_id(BrokerId(1)).with_broker_epoch(5).into()
        }
        other => panic!("no sample of {other:?}"),
    }
}

fn produce() -> ProduceRequest {
    let partition =
        PartitionProduceData::default().with_index(0).with_records(Some(Bytes::from_static(b"batch")));
    let topic = TopicProduceData::default().with_name(topic()).with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(text("tx"))))
        .with_acks(1)
        .with_timeout_ms(100)
        .with_topic_data(vec![topic])
}

fn fetch(version: i16) -> FetchRequest {
    let mut partition =
        FetchPartition::default().with_partition(0).with_fetch_offset(0).with_partition_max_bytes(1 << 20);
    partition.current_leader_epoch = if version >= 9 { 0 } else { -1 };
    partition.last_fetched_epoch = if version >= 12 { 0 } else { -1 };
    partition.log_start_offset = if version >= 5 { 0 } else { -1 };
    let mut named = FetchTopic::default().with_partitions(vec![partition]);
    let mut forgotten = ForgottenTopic::default().with_partitions(vec![1]);
    if version >= 13 {
        (named.topic_id, forgotten.topic_id) = (Uuid::from_u128(9), Uuid::from_u128(9));
    } else {
        (named.topic, forgotten.topic) = (topic(), topic());
    }
    let mut request =
        FetchRequest::default().with_min_bytes(1).with_max_bytes(1 << 20).with_topics(vec![named]);
    if version >= 15 {
        request.replica_state = ReplicaState::default().with_replica_id(BrokerId(2)).with_replica_epoch(6);
    } else {
        request.replica_id = BrokerId(-1);
    }
    if version >= 7 {
        request = request.with_session_epoch(-1).with_forgotten_topics_data(vec![forgotten]);
    }
    if version >= 11 { request.with_rack_id(text("rack")) } else { request }
}

fn list_offsets(version: i16) -> ListOffsetsRequest {
    let mut partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(-1);
    partition.current_leader_epoch = if version >= 4 { 0 } else { -1 };
    let topic = ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    if version >= 2 { request.with_isolation_level(1) } else { request }
}

fn metadata(version: i16) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(topic()));
    MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(true)
        .with_include_cluster_authorized_operations((8..=10).contains(&version))
        .with_include_topic_authorized_operations(version >= 8)
}

fn offset_commit(version: i16) -> OffsetCommitRequest {
    let mut partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(1)
        .with_committed_metadata(Some(text("note")));
    partition.committed_leader_epoch = if version >= 6 { 0 } else { -1 };
    let topic = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(1)
        .with_member_id(text("m"))
        .with_group_instance_id((version >= 7).then(|| text("static")))
        .with_topics(vec![topic])
}

fn offset_fetch(version: i16) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default().with_require_stable(version >= 7);
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0]);
        let mut asked =
            OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
        if version >= 9 {
            asked.member_id = Some(text("m"));
        }
        return request.with_groups(vec![asked]);
    }
    let topic = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0]);
    request.with_group_id(group()).with_topics(Some(vec![topic]))
}

fn join_group(version: i16) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"x"));
    JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(if version >= 1 { 6_000 } else { -1 })
        .with_group_instance_id((version >= 5).then(|| text("static")))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
        .with_reason((version >= 8).then(|| text("why")))
}

fn sync_group(version: i16) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(text("m"))
        .with_assignment(Bytes::from_static(b"x"));
    SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(text("m"))
        .with_group_instance_id((version >= 3).then(|| text("static")))
        .with_protocol_type((version >= 5).then(|| text("consumer")))
        .with_protocol_name((version >= 5).then(|| text("range")))
        .with_assignments(vec![assignment])
}

fn heartbeat(version: i16) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(text("m"))
        .with_group_instance_id((version >= 3).then(|| text("static")))
}

fn leave_group(version: i16) -> LeaveGroupRequest {
    let request = LeaveGroupRequest::default().with_group_id(group());
    if version < 3 {
        return request.with_member_id(text("m"));
    }
    let member = MemberIdentity::default()
        .with_member_id(text("m"))
        .with_group_instance_id(Some(text("static")))
        .with_reason((version >= 5).then(|| text("why")));
    request.with_members(vec![member])
}

fn list_groups(version: i16) -> ListGroupsRequest {
    let mut request = ListGroupsRequest::default();
    if version >= 4 {
        request.states_filter = vec![text("Stable")];
    }
    if version >= 5 {
        request.types_filter = vec![text("classic")];
    }
    request
}

fn create_topics() -> CreateTopicsRequest {
    let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
    let config =
        CreatableTopicConfig::default().with_name(text("min.insync.replicas")).with_value(Some(text("1")));
    let topic = CreatableTopic::default()
        .with_name(topic())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment])
        .with_configs(vec![config]);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
}

fn delete_topics(version: i16) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(1_000);
    if version < 6 {
        return request.with_topic_names(vec![topic()]);
    }
    request.with_topics(vec![DeleteTopicState::default().with_name(Some(topic()))])
}

fn create_partitions() -> CreatePartitionsRequest {
    let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
    let topic = CreatePartitionsTopic::default().with_name(topic()).with_count(2);
    let topic = topic.with_assignments(Some(vec![assignment]));
    CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(1_000)
}

fn init_producer_id(version: i16) -> InitProducerIdRequest {
    let request =
        InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1_000);
    if version >= 3 { request.with_producer_id(ProducerId(7)).with_producer_epoch(1) } else { request }
}

fn offset_for_leader_epoch(version: i16) -> OffsetForLeaderEpochRequest {
    let partition = OffsetForLeaderPartition::default().with_leader_epoch(0).with_current_leader_epoch(0);
    let topic = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    if version >= 3 { request.with_replica_id(BrokerId(-1)) } else { request }
}

fn describe_configs(version: i16) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configuration_keys(Some(vec![text("min.insync.replicas")]));
    DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(version >= 3)
}

fn alter_partition() -> AlterPartitionRequest {
    let member = BrokerState::default().with_broker_id(BrokerId(1)).with_broker_epoch(5);
    let partition = PartitionData::default().with_leader_epoch(2).with_partition_epoch(3);
    let partition = partition.with_new_isr_with_epochs(vec![member]);
    let topic = TopicData::default().with_topic_id(Uuid::from_u128(9)).with_partitions(vec![partition]);
    AlterPartitionRequest::default().with_broker_id(BrokerId(1)).with_broker_epoch(5).with_topics(vec![topic])
}

fn broker_registration() -> BrokerRegistrationRequest {
    let listener = Listener::default().with_name(text("CLIENT")).with_host(text("h")).with_port(9092);
    let feature = Feature::default().with_name(text("metadata.version")).with_max_supported_version(1);
    BrokerRegistrationRequest::default()
        .with_broker_id(BrokerId(1))
        .with_cluster_id(text("c"))
        .with_incarnation_id(Uuid::from_u128(3))
        .with_listeners(vec![listener])
        .with_features(vec![feature])
        .with_rack(Some(text("rack")))
        .with_log_dirs(vec![Uuid::from_u128(4)])
        .with_previous_broker_epoch(2)
}
