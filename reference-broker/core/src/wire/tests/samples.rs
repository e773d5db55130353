//! One request of every API and version that is offered, with an element in each array.

use bytes::Bytes;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::{Feature, Listener};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};
use kafka_protocol::messages::fetch_snapshot_request::{PartitionSnapshot, SnapshotId, TopicSnapshot};
use kafka_protocol::messages::incremental_alter_configs_request as incremental;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
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
        ApiKey::OffsetDelete => offset_delete().into(),
        ApiKey::ConsumerGroupHeartbeat => consumer_group_heartbeat(version).into(),
        ApiKey::ConsumerGroupDescribe => ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![group()])
            .with_include_authorized_operations(true)
            .into(),
        ApiKey::SaslHandshake => SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-256")).into(),
        ApiKey::SaslAuthenticate => {
            SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"n,,n=alice,r=4")).into()
        }
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
        ApiKey::AddPartitionsToTxn => add_partitions_to_txn(version).into(),
        ApiKey::AddOffsetsToTxn => AddOffsetsToTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(ProducerId(9))
            .with_producer_epoch(1)
            .with_group_id(group())
            .into(),
        ApiKey::EndTxn => EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(ProducerId(9))
            .with_producer_epoch(1)
            .with_committed(true)
            .into(),
        ApiKey::WriteTxnMarkers => write_txn_markers().into(),
        ApiKey::TxnOffsetCommit => txn_offset_commit(version).into(),
        ApiKey::DescribeConfigs => describe_configs(version).into(),
        ApiKey::AlterConfigs => alter_configs().into(),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs().into(),
        ApiKey::DeleteRecords => delete_records().into(),
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
        ApiKey::Vote => vote().into(),
        ApiKey::BeginQuorumEpoch => begin_quorum_epoch().into(),
        ApiKey::EndQuorumEpoch => end_quorum_epoch().into(),
        ApiKey::FetchSnapshot => fetch_snapshot().into(),
        ApiKey::ElectLeaders => elect_leaders(version).into(),
        ApiKey::AlterPartitionReassignments => alter_partition_reassignments(version).into(),
        ApiKey::ListPartitionReassignments => list_partition_reassignments().into(),
        ApiKey::DescribeQuorum => describe_quorum().into(),
        ApiKey::UnregisterBroker => UnregisterBrokerRequest::default().with_broker_id(BrokerId(7)).into(),
        ApiKey::DescribeTopicPartitions => describe_topic_partitions().into(),
        other => panic!("no sample of {other:?}"),
    }
}

fn offset_delete() -> OffsetDeleteRequest {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(2);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic])
}

fn consumer_group_heartbeat(version: i16) -> ConsumerGroupHeartbeatRequest {
    let owned = consumer_group_heartbeat_request::TopicPartitions::default()
        .with_topic_id(Uuid::from_u128(9))
        .with_partitions(vec![0, 2]);
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("m"))
        .with_member_epoch(3)
        .with_instance_id(Some(text("i")))
        .with_rack_id(Some(text("r")))
        .with_rebalance_timeout_ms(1_000)
        .with_subscribed_topic_names(Some(vec![topic()]))
        .with_subscribed_topic_regex((version >= 1).then(|| text("^x")))
        .with_server_assignor(Some(text("range")))
        .with_topic_partitions(Some(vec![owned]))
}

fn alter_configs() -> AlterConfigsRequest {
    let config = AlterableConfig::default().with_name(text("retention.ms")).with_value(Some(text("1000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configs(vec![config]);
    AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
}

fn incremental_alter_configs() -> IncrementalAlterConfigsRequest {
    let config = incremental::AlterableConfig::default()
        .with_name(text("cleanup.policy"))
        .with_config_operation(2)
        .with_value(Some(text("compact")));
    let resource = incremental::AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
}

fn delete_records() -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition::default().with_partition_index(2).with_offset(7);
    let topic = DeleteRecordsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(500)
}

fn transactional_id() -> TransactionalId {
    TransactionalId(text("tx"))
}

fn add_partitions_to_txn(version: i16) -> AddPartitionsToTxnRequest {
    let topics = vec![AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![0, 2])];
    if version < 4 {
        return AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id())
            .with_v3_and_below_producer_id(ProducerId(9))
            .with_v3_and_below_producer_epoch(1)
            .with_v3_and_below_topics(topics);
    }
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(transactional_id())
        .with_producer_id(ProducerId(9))
        .with_producer_epoch(1)
        .with_verify_only(true)
        .with_topics(topics);
    AddPartitionsToTxnRequest::default().with_transactions(vec![transaction])
}

fn write_txn_markers() -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default().with_name(topic()).with_partition_indexes(vec![0, 2]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(9))
        .with_producer_epoch(1)
        .with_transaction_result(true)
        .with_coordinator_epoch(3)
        .with_topics(vec![topic]);
    WriteTxnMarkersRequest::default().with_markers(vec![marker])
}

fn txn_offset_commit(version: i16) -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_committed_offset(7)
        .with_committed_leader_epoch(if version >= 2 { 2 } else { -1 })
        .with_committed_metadata(Some(text("note")));
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(transactional_id())
        .with_group_id(group())
        .with_producer_id(ProducerId(9))
        .with_producer_epoch(1)
        .with_topics(vec![topic]);
    if version < 3 {
        return request;
    }
    request.with_generation_id(4).with_member_id(text("m")).with_group_instance_id(Some(text("i")))
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

fn vote() -> VoteRequest {
    let partition = vote_request::PartitionData::default()
        .with_replica_epoch(4)
        .with_replica_id(BrokerId(101))
        .with_last_offset_epoch(3)
        .with_last_offset(17)
        .with_pre_vote(true);
    let topic = vote_request::TopicData::default().with_topic_name(topic()).with_partitions(vec![partition]);
    VoteRequest::default()
        .with_cluster_id(Some(text("c")))
        .with_voter_id(BrokerId(102))
        .with_topics(vec![topic])
}

fn begin_quorum_epoch() -> BeginQuorumEpochRequest {
    let partition = begin_quorum_epoch_request::PartitionData::default()
        .with_leader_id(BrokerId(101))
        .with_leader_epoch(4);
    let topic = begin_quorum_epoch_request::TopicData::default();
    let topic = topic.with_topic_name(self::topic()).with_partitions(vec![partition]);
    let endpoint = begin_quorum_epoch_request::LeaderEndpoint::default();
    let endpoint = endpoint.with_name(text("INTERNAL")).with_host(text("h")).with_port(9093);
    BeginQuorumEpochRequest::default()
        .with_cluster_id(Some(text("c")))
        .with_voter_id(BrokerId(102))
        .with_topics(vec![topic])
        .with_leader_endpoints(vec![endpoint])
}

fn end_quorum_epoch() -> EndQuorumEpochRequest {
    let candidate = end_quorum_epoch_request::ReplicaInfo::default().with_candidate_id(BrokerId(102));
    let partition = end_quorum_epoch_request::PartitionData::default()
        .with_leader_id(BrokerId(101))
        .with_leader_epoch(4)
        .with_preferred_candidates(vec![candidate]);
    let topic = end_quorum_epoch_request::TopicData::default();
    let topic = topic.with_topic_name(self::topic()).with_partitions(vec![partition]);
    EndQuorumEpochRequest::default().with_cluster_id(Some(text("c"))).with_topics(vec![topic])
}

fn fetch_snapshot() -> FetchSnapshotRequest {
    let id = SnapshotId::default().with_end_offset(9).with_epoch(2);
    let partition =
        PartitionSnapshot::default().with_current_leader_epoch(3).with_snapshot_id(id).with_position(7);
    FetchSnapshotRequest::default()
        .with_cluster_id(Some(text("c")))
        .with_replica_id(BrokerId(4))
        .with_max_bytes(100)
        .with_topics(vec![TopicSnapshot::default().with_name(topic()).with_partitions(vec![partition])])
}

fn elect_leaders(version: i16) -> ElectLeadersRequest {
    let named =
        elect_leaders_request::TopicPartitions::default().with_topic(topic()).with_partitions(vec![0, 2]);
    let request =
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![named])).with_timeout_ms(100);
    if version >= 1 { request.with_election_type(1) } else { request }
}

fn describe_quorum() -> DescribeQuorumRequest {
    let partition = describe_quorum_request::PartitionData::default().with_partition_index(2);
    let asked = describe_quorum_request::TopicData::default().with_topic_name(topic());
    DescribeQuorumRequest::default().with_topics(vec![asked.with_partitions(vec![partition])])
}

fn describe_topic_partitions() -> DescribeTopicPartitionsRequest {
    let cursor = describe_topic_partitions_request::Cursor::default();
    DescribeTopicPartitionsRequest::default()
        .with_topics(vec![describe_topic_partitions_request::TopicRequest::default().with_name(topic())])
        .with_response_partition_limit(5)
        .with_cursor(Some(cursor.with_topic_name(topic()).with_partition_index(3)))
}

fn alter_partition_reassignments(version: i16) -> AlterPartitionReassignmentsRequest {
    let partition = alter_partition_reassignments_request::ReassignablePartition::default()
        .with_partition_index(2)
        .with_replicas(Some(vec![BrokerId(3), BrokerId(1)]));
    let named = alter_partition_reassignments_request::ReassignableTopic::default().with_name(topic());
    AlterPartitionReassignmentsRequest::default()
        .with_timeout_ms(100)
        .with_allow_replication_factor_change(version < 1)
        .with_topics(vec![named.with_partitions(vec![partition])])
}

fn list_partition_reassignments() -> ListPartitionReassignmentsRequest {
    let named = list_partition_reassignments_request::ListPartitionReassignmentsTopics::default();
    ListPartitionReassignmentsRequest::default()
        .with_timeout_ms(100)
        .with_topics(Some(vec![named.with_name(topic()).with_partition_indexes(vec![0, 2])]))
}
