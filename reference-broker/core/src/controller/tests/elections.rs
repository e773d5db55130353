//! Leaders that somebody asks for, and those that the controller elects from time to time.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    BrokerId, DescribeQuorumRequest, ElectLeadersRequest, TopicName, UnregisterBrokerRequest,
    describe_quorum_request,
};

use super::fixture::{CONTROLLER, Fixture, state};
use crate::controller::ControllerResponse;
use crate::ids::NodeId;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

fn three(change: impl FnOnce(&mut crate::node::NodeConfig)) -> Fixture {
    let mut it = Fixture::with(change);
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    assert_eq!(it.create("t", 1, 3), 0);
    it
}

fn elect(it: &mut Fixture, kind: i8, partitions: Option<Vec<i32>>) -> Vec<(i32, i16)> {
    let named = TopicPartitions::default().with_topic(TopicName("t".into()));
    let asked = partitions.map(|partitions| vec![named.with_partitions(partitions)]);
    let request = ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(asked);
    match it.ask(request) {
        ControllerResponse::ElectLeaders(response) => {
            assert_eq!(response.error_code, 0);
            let results = response.replica_election_results.into_iter().flat_map(|it| it.partition_result);
            results.map(|it| (it.partition_id, it.error_code)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Leadership has moved away from broker 1, which is back and in sync.
fn moved_away(it: &mut Fixture) {
    it.pass(400, &[2, 3]);
    assert_eq!(it.state("t", 0).leader, NodeId(2));
    it.beat(1, false);
    it.alter(2, "t", (1, 1), &[1, 2, 3]);
    assert_eq!(it.state("t", 0), state(2, &[1, 2, 3], 1, 2));
}

#[test]
fn the_preferred_leader_is_elected_when_somebody_asks() {
    let mut it = three(|_| {});
    assert_eq!(elect(&mut it, PREFERRED, Some(vec![0])), [(0, ResponseError::ElectionNotNeeded.code())]);
    moved_away(&mut it);
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let twice = ResponseError::InvalidRequest.code();
    assert_eq!(elect(&mut it, PREFERRED, Some(vec![0, 8, 0])), [(0, 0), (8, unknown), (0, twice)]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 2, 3));
    assert_eq!(elect(&mut it, PREFERRED, None), [], "only what needs an election is told");
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_preferred_leader_that_is_not_in_sync_is_not_elected() {
    let mut it = three(|_| {});
    it.pass(400, &[2, 3]);
    it.beat(1, false);
    let error = ResponseError::PreferredLeaderNotAvailable.code();
    assert_eq!(elect(&mut it, PREFERRED, Some(vec![0])), [(0, error)]);
    assert_eq!(it.state("t", 0).leader, NodeId(2));
}

#[test]
fn leadership_goes_back_by_itself_if_that_is_wanted() {
    let mut it = three(|config| config.leader_imbalance_check_interval_ms = 1000);
    moved_away(&mut it);
    it.pass(1000, &[1, 2, 3]);
    assert_eq!(it.state("t", 0), state(1, &[1, 2, 3], 2, 3));

    let mut it = three(|config| {
        config.leader_imbalance_check_interval_ms = 1000;
        config.auto_leader_rebalance = false;
    });
    moved_away(&mut it);
    it.pass(3000, &[1, 2, 3]);
    assert_eq!(it.state("t", 0).leader, NodeId(2));
}

#[test]
fn an_unclean_leader_is_elected_only_where_nobody_leads() {
    let mut it = three(|_| {});
    it.alter(1, "t", (0, 0), &[1]);
    assert_eq!(elect(&mut it, UNCLEAN, Some(vec![0])), [(0, ResponseError::ElectionNotNeeded.code())]);
    it.pass(400, &[2, 3]);
    assert_eq!(it.state("t", 0).leader, NodeId::NONE);
    assert_eq!(elect(&mut it, UNCLEAN, None), [(0, 0)]);
    assert_eq!(it.state("t", 0), state(2, &[2], 2, 3));
}

#[test]
fn a_broker_that_is_unregistered_leads_nothing_and_may_come_back_as_another() {
    let mut it = three(|_| {});
    let unregister =
        |it: &mut Fixture| match it.ask(UnregisterBrokerRequest::default().with_broker_id(BrokerId(1))) {
            ControllerResponse::UnregisterBroker(response) => response.error_code,
            other => panic!("{other:?}"),
        };
    assert_eq!(unregister(&mut it), 0);
    assert!(it.controller.image().broker(NodeId(1)).is_none());
    assert_eq!(it.state("t", 0), state(2, &[2, 3], 1, 1));
    assert_eq!(unregister(&mut it), ResponseError::BrokerIdNotRegistered.code());
    it.join(1, 77);
    assert!(it.controller.image().is_active(NodeId(1)));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn the_quorum_is_described_with_its_voters_and_readers() {
    let mut it = three(|_| {});
    let asked = describe_quorum_request::PartitionData::default();
    let topic = describe_quorum_request::TopicData::default()
        .with_topic_name(TopicName("__cluster_metadata".into()))
        .with_partitions(vec![asked]);
    it.ask(Fixture::fetch_request(3, 0, 0).with_replica_state(
        kafka_protocol::messages::fetch_request::ReplicaState::default().with_replica_id(BrokerId(2)),
    ));
    let response = match it.ask(DescribeQuorumRequest::default().with_topics(vec![topic])) {
        ControllerResponse::DescribeQuorum(response) => response,
        other => panic!("{other:?}"),
    };
    let end = it.controller.image().next_offset().0;
    let partition = &response.topics[0].partitions[0];
    assert_eq!((partition.leader_id.0, partition.high_watermark), (CONTROLLER.0, end));
    let voters: Vec<_> =
        partition.current_voters.iter().map(|it| (it.replica_id.0, it.log_end_offset)).collect();
    assert_eq!(voters, [(CONTROLLER.0, end)]);
    let observers: Vec<_> = partition
        .observers
        .iter()
        .map(|it| (it.replica_id.0, it.log_end_offset, it.last_caught_up_timestamp))
        .collect();
    assert_eq!(observers, [(2, 3, -1)]);
    assert_eq!(response.nodes[0].listeners[0].port, 9100);
}
