use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::fixture::{Fixture, state};
use crate::controller::ControllerResponse;
use crate::ids::PartitionId;
use crate::node::FlushPolicy;

fn three_brokers() -> Fixture {
    let mut it = Fixture::new();
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    it
}

fn named(name: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(name))
}

#[test]
fn partitions_are_spread_round_robin_and_go_on_where_the_last_topic_ended() {
    let mut it = three_brokers();
    it.create("a", 4, 2);
    it.create("b", 1, 3);
    let leaders: Vec<i32> = (0..4).map(|partition| it.state("a", partition).leader.0).collect();
    assert_eq!(leaders, [1, 2, 3, 1]);
    assert_eq!(it.state("a", 2), state(3, &[3, 1], 0, 0));
    assert_eq!(it.state("b", 0), state(2, &[2, 3, 1], 0, 0));
}

#[test]
fn defaults_stand_for_minus_one() {
    let mut it = three_brokers();
    let answer = it.create_with("a", -1, -1, &[]);
    assert_eq!((answer.topics[0].num_partitions, answer.topics[0].replication_factor), (1, 3));
}

#[test]
fn bad_topics_are_refused_each_for_its_reason() {
    let mut it = three_brokers();
    assert_eq!(it.create("a", 1, 1), 0);
    let cases = [
        ("a", 1, 1, ResponseError::TopicAlreadyExists),
        ("b", 1, 4, ResponseError::InvalidReplicationFactor),
        ("b", 1, 0, ResponseError::InvalidReplicationFactor),
        ("b", 0, 1, ResponseError::InvalidPartitions),
        ("b", 10_001, 1, ResponseError::InvalidPartitions),
        ("", 1, 1, ResponseError::InvalidTopicException),
        ("..", 1, 1, ResponseError::InvalidTopicException),
        ("b c", 1, 1, ResponseError::InvalidTopicException),
    ];
    for (name, partitions, replicas, error) in cases {
        assert_eq!(it.create(name, partitions, replicas), error.code(), "`{name}` {partitions} {replicas}");
    }
    assert_eq!(it.controller.image().topics().count(), 1);
}

#[test]
fn settings_are_checked_and_kept() {
    let mut it = three_brokers();
    for bad in [
        ("min.insync.replicas", "0"),
        ("min.insync.replicas", "two"),
        ("flush", "1"),
        ("cleanup.policy", "forget"),
    ] {
        let answer = it.create_with("a", 1, 1, &[bad]);
        assert_eq!(answer.topics[0].error_code, ResponseError::InvalidConfig.code(), "{bad:?}");
        assert!(answer.topics[0].error_message.as_ref().unwrap().contains(bad.0));
    }
    it.create_with("a", 1, 3, &[("min.insync.replicas", "2"), ("flush.messages", "1")]);
    let topic = it.controller.image().topic_named("a").unwrap();
    assert_eq!(topic.min_insync_replicas(1), 2);
    assert_eq!(topic.flush_policy(FlushPolicy::PageCache), FlushPolicy::BeforeAck);
    assert!(!topic.unclean_leader_election(false));
}

#[test]
fn a_request_to_validate_only_changes_nothing() {
    let mut it = three_brokers();
    let topic =
        CreatableTopic::default().with_name(named("a")).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true);
    let ControllerResponse::CreateTopics(answer) = it.ask(request) else { panic!() };
    assert_eq!(answer.topics[0].error_code, 0);
    assert!(it.controller.image().topic_named("a").is_none());
}

#[test]
fn an_assignment_given_by_the_client_is_checked_and_taken() {
    let mut it = three_brokers();
    let mut assign = |lists: &[&[i32]]| {
        let assignments = lists.iter().zip(0..).map(|(brokers, index)| {
            let brokers = brokers.iter().map(|id| (*id).into()).collect();
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(brokers)
        });
        let topic = CreatableTopic::default()
            .with_name(named("a"))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(assignments.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let ControllerResponse::CreateTopics(answer) = it.ask(request) else { panic!() };
        answer.topics[0].error_code
    };
    let bad = ResponseError::InvalidReplicaAssignment.code();
    assert_eq!(assign(&[&[1, 1]]), bad, "twice the same");
    assert_eq!(assign(&[&[1, 4]]), bad, "an unknown broker");
    assert_eq!(assign(&[&[1, 2], &[1]]), bad, "uneven");
    assert_eq!(assign(&[&[]]), bad, "none");
    assert_eq!(assign(&[&[3, 1], &[1, 2]]), 0);
    assert_eq!(it.state("a", 0), state(3, &[3, 1], 0, 0));
    assert_eq!(it.state("a", 1), state(1, &[1, 2], 0, 0));
}

#[test]
fn a_topic_is_deleted_by_name_or_id_and_its_name_is_free_again() {
    let mut it = three_brokers();
    it.create("a", 2, 1);
    it.create("b", 1, 1);
    let (a, b) = (it.topic_id("a"), it.topic_id("b"));
    let by_name = DeleteTopicState::default().with_name(Some(named("a")));
    let by_id = DeleteTopicState::default().with_name(None).with_topic_id(b.0);
    let unknown = DeleteTopicState::default().with_name(Some(named("c")));
    let request = DeleteTopicsRequest::default().with_topics(vec![by_name, by_id.clone(), unknown, by_id]);
    let ControllerResponse::DeleteTopics(answer) = it.ask(request) else { panic!() };
    let codes: Vec<i16> = answer.responses.iter().map(|result| result.error_code).collect();
    let (topic, id) = (ResponseError::UnknownTopicOrPartition.code(), ResponseError::UnknownTopicId.code());
    assert_eq!(codes, [0, 0, topic, id]);
    assert_eq!(answer.responses[1].name, Some(named("b")));
    assert_eq!(it.controller.image().topics().count(), 0);
    assert_eq!(it.create("a", 1, 1), 0);
    assert_ne!(it.topic_id("a"), a);
    let old = DeleteTopicsRequest::default().with_topic_names(vec![named("a")]);
    let ControllerResponse::DeleteTopics(answer) = it.ask(old) else { panic!() };
    assert_eq!(answer.responses[0].error_code, 0);
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_topic_grows_but_never_shrinks() {
    let mut it = three_brokers();
    it.create("a", 1, 2);
    let mut grow = |count| {
        let topic =
            CreatePartitionsTopic::default().with_name(named("a")).with_count(count).with_assignments(None);
        let ControllerResponse::CreatePartitions(answer) =
            it.ask(CreatePartitionsRequest::default().with_topics(vec![topic]))
        else {
            panic!()
        };
        answer.results[0].error_code
    };
    assert_eq!(grow(1), ResponseError::InvalidPartitions.code());
    assert_eq!(grow(3), 0);
    assert_eq!(it.state("a", 1), state(2, &[2, 3], 0, 0));
    assert_eq!(it.state("a", 2), state(3, &[3, 1], 0, 0));
    let topic = it.controller.image().topic_named("a").unwrap();
    assert_eq!(topic.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2].map(PartitionId));
}

#[test]
fn blocks_of_producer_ids_never_overlap_even_after_a_restart() {
    let mut it = three_brokers();
    let next = |it: &mut Fixture| {
        let request =
            AllocateProducerIdsRequest::default().with_broker_id(1.into()).with_broker_epoch(it.epoch(1));
        let ControllerResponse::AllocateProducerIds(answer) = it.ask(request) else { panic!() };
        (answer.error_code, answer.producer_id_start.0, answer.producer_id_len)
    };
    assert_eq!(next(&mut it), (0, 0, 1000));
    it.restart();
    assert_eq!(next(&mut it), (0, 1000, 1000));
}
