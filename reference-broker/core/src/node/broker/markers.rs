//! Markers: those that the coordinator of this broker wants written, and those that others ask for (WriteTxnMarkers).

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{
    ApiKey, ResponseKind, TopicName, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionId, ProducerEpoch, ProducerId};
use crate::log::TransactionEnd;
use crate::node::connections::ReplyTo;
use crate::record::Marker;
use crate::transaction::{DueMarker, OrderId, TopicPartition, TransactionVersion};

use super::links::Awaited;
use super::produce::Whom;
use super::{Broker, OFFSETS_TOPIC, Turn, marker_order};

/// The version of WriteTxnMarkers that brokers speak.
const VERSION: i16 = 1;

/// A tagged field of our own, without a value: the epoch is newer than the transaction's. KIP-1228 says so in version 2,
/// which the codec does not know.
const BUMPED_TAG: i32 = 10_000;

/// The answer to a request that comes too late. Nobody waits for it any more.
const OVERTAKEN: ResponseError = ResponseError::TransactionCoordinatorFenced;

/// The markers in one request to another broker.
pub(super) type SentMarkers = Vec<(OrderId, ProducerId, TopicPartition)>;

/// A marker that is being appended here.
#[derive(Debug)]
pub(super) struct MarkerAppend {
    target: TopicPartition,
    producer: ProducerId,
    commit: bool,
    asker: Asker,
}

/// Who wants to know what became of a marker.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// The coordinator of this broker.
    Own(OrderId),
    /// The coordinator of another: which request, and where its result stands in the response.
    Request { id: u64, place: (usize, usize, usize) },
}

/// The requests of other brokers whose markers are not all committed.
#[derive(Debug, Default)]
pub(super) struct MarkerRequests {
    next: u64,
    waiting: BTreeMap<u64, MarkerRequest>,
}

#[derive(Debug)]
struct MarkerRequest {
    reply: ReplyTo,
    response: WriteTxnMarkersResponse,
    left: usize,
}

impl Broker {
    /// Writes what is due: here, or by asking the leader.
    pub(super) fn drive_markers(&mut self, turn: &mut Turn<'_>) {
        let mut by_leader: BTreeMap<NodeId, Vec<(DueMarker, LeaderEpoch)>> = BTreeMap::new();
        for due in self.transactions.take_due_markers(turn.now) {
            let (topic, index) = &due.target;
            let topic = self.channel.image().topic_named(topic);
            let state = topic.and_then(|topic| topic.partitions.get(index)).map(|partition| &partition.state);
            match state.map(|state| (state.leader, state.leader_epoch)) {
                // It was there when it was added, so it was deleted since.
                None => self.own_marker_ended(due.order, &due.target, Ok(()), turn),
                Some((NodeId::NONE, _)) => {
                    let error = Err(ResponseError::LeaderNotAvailable);
                    self.own_marker_ended(due.order, &due.target, error, turn);
                }
                Some((leader, _)) if leader == self.config.node_id => {
                    self.append_marker(end_of(&due), due.target, None, Asker::Own(due.order), turn);
                }
                Some((leader, epoch)) => by_leader.entry(leader).or_default().push((due, epoch)),
            }
        }
        for (leader, due) in by_leader {
            let markers = due.iter().map(|(due, epoch)| marker_order::sent_to(on_the_wire(due), *epoch));
            let request = WriteTxnMarkersRequest::default().with_markers(markers.collect());
            let registration = self.channel.broker_epoch().unwrap_or(BrokerEpoch(-1));
            let request = self.marker_order.number(request, self.config.node_id, registration);
            let sent = due.into_iter().map(|(due, _)| (due.order, due.producer_id, due.target)).collect();
            let api = (ApiKey::WriteTxnMarkers, VERSION);
            self.send_over_link(leader, api, request.into(), Awaited::Markers(sent));
        }
    }

    /// Another broker has answered, or not.
    pub(super) fn markers_answered(
        &mut self,
        sent: &SentMarkers,
        response: Option<&WriteTxnMarkersResponse>,
        turn: &mut Turn<'_>,
    ) {
        for (order, producer, target) in sent {
            let code = response.and_then(|response| code_of(response, *producer, target));
            let result = match code.map(ResponseError::try_from_code) {
                None => Err(ResponseError::NetworkException),
                Some(None) => Ok(()),
                Some(Some(error)) => Err(error),
            };
            self.own_marker_ended(*order, target, result, turn);
        }
    }

    fn own_marker_ended(
        &mut self,
        order: OrderId,
        target: &TopicPartition,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        match result {
            // A newer producer has written there, so that transaction has ended already.
            Ok(()) | Err(ResponseError::InvalidProducerEpoch) => {
                let mut out = Vec::new();
                self.transactions.marker_written(turn.now, order, target, &mut out);
                self.carry_out_transactions(out, turn);
            }
            Err(error) => {
                tracing::debug!(topic = target.0, partition = target.1.0, %error, "marker not written yet");
                self.transactions.marker_failed(turn.now, order, target);
            }
        }
    }

    /// Another broker's coordinator asks for markers.
    pub(super) fn write_txn_markers(
        &mut self,
        request: &WriteTxnMarkersRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let taken = if self.marker_order.takes(request) { 0 } else { OVERTAKEN.code() };
        let results: Vec<_> = request.markers.iter().map(|asked| result_of(asked, taken)).collect();
        let partitions = |result: &WritableTxnMarkerResult| -> usize {
            result.topics.iter().map(|topic| topic.partitions.len()).sum()
        };
        let left = results.iter().map(partitions).sum();
        let response = WriteTxnMarkersResponse::default().with_markers(results);
        if left == 0 || taken != 0 {
            return self.respond(reply, &ResponseKind::WriteTxnMarkers(response), turn);
        }
        let id = self.marker_requests.next;
        self.marker_requests.next += 1;
        self.marker_requests.waiting.insert(id, MarkerRequest { reply, response, left });
        for (first, asked) in request.markers.iter().enumerate() {
            let end = TransactionEnd {
                producer: ProducerId(asked.producer_id.0),
                producer_epoch: ProducerEpoch(asked.producer_epoch),
                bumped: asked.unknown_tagged_fields.contains_key(&BUMPED_TAG),
                marker: Marker {
                    commit: asked.transaction_result,
                    coordinator_epoch: asked.coordinator_epoch,
                },
            };
            for (second, topic) in asked.topics.iter().enumerate() {
                for (third, index) in topic.partition_indexes.iter().enumerate() {
                    let target = (topic.name.to_string(), PartitionId(*index));
                    let asker = Asker::Request { id, place: (first, second, third) };
                    self.append_marker(end, target, marker_order::epoch_of(asked), asker, turn);
                }
            }
        }
    }

    fn append_marker(
        &mut self,
        end: TransactionEnd,
        target: TopicPartition,
        sent_to: Option<LeaderEpoch>,
        asker: Asker,
        turn: &mut Turn<'_>,
    ) {
        let appended = self.led_partition(&target.0, target.1).and_then(|id| {
            let epoch = self.partitions.get(&id).map(|partition| partition.state().leader_epoch);
            if sent_to.is_some() && sent_to != epoch {
                return Err(ResponseError::FencedLeaderEpoch);
            }
            self.append_committed(id, turn, |partition, turn| {
                let epoch = partition.state().leader_epoch;
                let wall_ms = turn.now.wall_ms;
                partition.log.append_marker(end, epoch, wall_ms, turn.disk)
            })
        });
        let append = MarkerAppend { target, producer: end.producer, commit: end.marker.commit, asker };
        match appended {
            Ok(waiting) => self.await_committed(waiting, Whom::Marker(Box::new(append)), turn),
            Err(error) => self.marker_ended(&append, Err(error), turn),
        }
    }

    /// A marker is committed, or not known to be.
    pub(super) fn marker_ended(
        &mut self,
        append: &MarkerAppend,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        if result.is_ok() && append.target.0 == OFFSETS_TOPIC {
            self.coordinator.transaction_ended(append.target.1, append.producer, append.commit);
        }
        match append.asker {
            Asker::Own(order) => self.own_marker_ended(order, &append.target, result, turn),
            Asker::Request { id, place: (first, second, third) } => {
                let Some(request) = self.marker_requests.waiting.get_mut(&id) else { return };
                let code = result.err().map_or(0, |error| error.code());
                request.response.markers[first].topics[second].partitions[third].error_code = code;
                request.left -= 1;
                if request.left == 0
                    && let Some(MarkerRequest { reply, response, .. }) =
                        self.marker_requests.waiting.remove(&id)
                {
                    self.respond(reply, &ResponseKind::WriteTxnMarkers(response), turn);
                }
            }
        }
    }
}

fn end_of(due: &DueMarker) -> TransactionEnd {
    TransactionEnd {
        producer: due.producer_id,
        producer_epoch: due.producer_epoch,
        bumped: due.version == TransactionVersion::Second,
        marker: due.marker,
    }
}

fn on_the_wire(due: &DueMarker) -> WritableTxnMarker {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(TopicName(StrBytes::from_string(due.target.0.clone())))
        .with_partition_indexes(vec![due.target.1.0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(due.producer_id.0.into())
        .with_producer_epoch(due.producer_epoch.0)
        .with_transaction_result(due.marker.commit)
        .with_coordinator_epoch(due.marker.coordinator_epoch)
        .with_topics(vec![topic]);
    if end_of(due).bumped { marker.with_unknown_tagged_field(BUMPED_TAG, Bytes::new()) } else { marker }
}

/// The same result for every partition that a marker is asked for.
fn result_of(asked: &WritableTxnMarker, code: i16) -> WritableTxnMarkerResult {
    let topics = asked.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let results = partitions
            .map(|partition| WritableTxnMarkerPartitionResult::default().with_partition_index(*partition))
            .map(|result| result.with_error_code(code));
        WritableTxnMarkerTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(results.collect())
    });
    WritableTxnMarkerResult::default().with_producer_id(asked.producer_id).with_topics(topics.collect())
}

fn code_of(response: &WriteTxnMarkersResponse, producer: ProducerId, target: &TopicPartition) -> Option<i16> {
    let of_producer = response.markers.iter().filter(|result| result.producer_id.0 == producer.0);
    let topics = of_producer.flat_map(|result| &result.topics).filter(|topic| **topic.name == *target.0);
    let mut partitions = topics.flat_map(|topic| &topic.partitions);
    partitions.find(|result| result.partition_index == target.1.0).map(|result| result.error_code)
}
