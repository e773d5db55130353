//! Produce: append, then answer as soon as the asked-for number of replicas has the records.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ResponseKind, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::controller::TopicPartitionId;
use crate::coordinator::AppendToken;
use crate::defects::Defect;
use crate::ids::{ConnId, LeaderEpoch, Offset, PartitionId};
use crate::log::{AppendError, Appended};
use crate::node::connections::ReplyTo;
use crate::record::BatchHeader;
use crate::replication::Partition;
use crate::transaction::TopicPartition;

use super::markers::MarkerAppend;
use super::{Broker, NS_PER_MS, Turn, Violation, is_internal};

/// One in so many batches is stored and rejected by the planted bug that does so.
const REJECT_EVERY: u64 = 200;

/// Records that are stored here and not yet where they have to be.
#[derive(Debug)]
pub(super) struct DelayedProduce {
    to: Whom,
    waiting: Vec<Waiting>,
    failed: Vec<(Waiting, ResponseError)>,
}

/// Who is told.
#[derive(Debug)]
pub(super) enum Whom {
    /// A client; the response is complete but for the partitions that wait.
    Client { reply: ReplyTo, response: Box<ProduceResponse> },
    /// The group coordinator.
    Group(AppendToken),
    /// The transaction coordinator.
    Transaction(AppendToken),
    /// Who has asked for a marker.
    Marker(Box<MarkerAppend>),
}

/// A produce request that is carried out in its turn.
#[derive(Debug)]
pub(super) struct Produce {
    pub(super) request: ProduceRequest,
    pub(super) version: i16,
    pub(super) conn: ConnId,
    pub(super) reply: Option<ReplyTo>,
    pub(super) deadline_ns: u64,
}

/// One partition of a produce.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    id: TopicPartitionId,
    /// Where it stands in the response: which topic, which partition of it.
    place: (usize, usize),
    /// The end that has to be reached, exclusive.
    end: Offset,
    leader_epoch: LeaderEpoch,
    /// What the client asked for.
    asked: Acks,
    /// What is waited for: the same, but for a planted bug.
    acks: Acks,
}

/// How many replicas must have the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Acks {
    None,
    Leader,
    All,
    /// As `All`, whatever has become of the in-sync set meanwhile: committed is committed.
    Committed,
}

impl Acks {
    fn from_wire(acks: i16) -> Option<Self> {
        match acks {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// What became of one batch.
enum Outcome {
    /// Answered as it is.
    Done(PartitionProduceResponse),
    /// Stored here; to be answered when the rest has happened.
    Stored(PartitionProduceResponse, Waiting),
}

impl Broker {
    /// Takes a request. What begins a transaction is appended when the coordinator has vouched for it.
    pub(super) fn produce(
        &mut self,
        (request, version): (ProduceRequest, i16),
        conn: ConnId,
        reply: Option<ReplyTo>,
        turn: &mut Turn<'_>,
    ) {
        let deadline_ns = turn.now.mono_ns + request.timeout_ms.max(0) as u64 * NS_PER_MS;
        self.produce_in_turn(Produce { request, version, conn, reply, deadline_ns }, turn);
    }

    /// Appends what was not `refused`; answers at once or parks the request. Without acks nothing is answered, and an
    /// error can only be shown by closing the connection.
    pub(super) fn append_produce(
        &mut self,
        produce: Produce,
        refused_before: &BTreeMap<TopicPartition, ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        let Produce { request, conn, reply, deadline_ns, .. } = produce;
        let transactional = request.transactional_id.is_some();
        let acks = Acks::from_wire(request.acks);
        let mut response = ProduceResponse::default();
        let mut waiting = Vec::new();
        for topic in request.topic_data {
            let mut partitions = Vec::with_capacity(topic.partition_data.len());
            for data in topic.partition_data {
                let index = PartitionId(data.index);
                let outcome = match (acks, refused_before.get(&(topic.name.to_string(), index))) {
                    (_, Some(error)) => refused(index, error.code()),
                    (Some(acks), None) => {
                        self.produce_batch(&topic.name, index, (data.records, transactional), acks, turn)
                    }
                    (None, None) => refused(index, ResponseError::InvalidRequiredAcks.code()),
                };
                match outcome {
                    Outcome::Done(done) => partitions.push(done),
                    Outcome::Stored(done, wait) => {
                        waiting.push(Waiting { place: (response.responses.len(), partitions.len()), ..wait });
                        partitions.push(done);
                    }
                }
            }
            response.responses.push(
                TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions),
            );
        }
        let Some(reply) = reply else {
            let failed = response
                .responses
                .iter()
                .flat_map(|topic| &topic.partition_responses)
                .any(|p| p.error_code != 0);
            if failed {
                tracing::info!(?conn, "closing: a produce without acks has failed");
                self.connections.close(conn, turn.effects);
            }
            return;
        };
        let operation = DelayedProduce {
            to: Whom::Client { reply, response: Box::new(response) },
            waiting,
            failed: Vec::new(),
        };
        self.finish_or_park(operation, deadline_ns, turn);
    }

    fn produce_batch(
        &mut self,
        topic: &TopicName,
        index: PartitionId,
        (records, transactional): (Option<Bytes>, bool),
        acks: Acks,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let id = match self.led_partition(topic, index) {
            Ok(id) => id,
            Err(error) => return refused(index, error.code()),
        };
        if is_internal(topic) {
            return refused(index, ResponseError::InvalidTopicException.code());
        }
        let Some(partition) = self.partitions.get_mut(&id) else {
            return refused(index, ResponseError::NotLeaderOrFollower.code());
        };
        if acks == Acks::All && partition.is_under_min_isr() {
            return refused(index, ResponseError::NotEnoughReplicas.code());
        }
        let epoch = partition.state().leader_epoch;
        let records = records.unwrap_or_default();
        if let Err(error) = check_from_client(&records, transactional) {
            return refused(index, error.code());
        }
        let appended = match partition.log.append_as_leader(records, epoch, turn.now.wall_ms, turn.disk) {
            Ok(appended) => appended,
            Err(error) => {
                let (code, start) = (error.code(), partition.log.log_start_offset());
                if let AppendError::Disk(error) = &error {
                    self.append_failed(id, error, turn);
                    return refused(index, code);
                }
                tracing::debug!(topic = topic.as_str(), partition = index.0, %error, "batch refused");
                // A producer that is behind it cannot know what became of its last batches (KAFKA-5793).
                let refused = failed(index, code).with_log_start_offset(start.0);
                return Outcome::Done(with_record_errors(refused, &error));
            }
        };
        partition.advance_high_watermark();
        let defects = partition.settings().defects;
        let hasty = defects.has(Defect::AckBeforeReplicate) && acks == Acks::All;
        let done = PartitionProduceResponse::default()
            .with_index(index.0)
            .with_base_offset(appended.first_offset.0)
            .with_log_append_time_ms(appended.log_append_time_ms)
            .with_log_start_offset(partition.log.log_start_offset().0);
        self.appended(id, turn);
        self.produced += 1;
        if defects.has(Defect::AppendRejected) && self.produced.is_multiple_of(REJECT_EVERY) {
            return refused(index, ResponseError::TopicAuthorizationFailed.code());
        }
        let wait = Waiting {
            id,
            place: (0, 0),
            end: appended.last_offset.next(),
            leader_epoch: epoch,
            asked: acks,
            acks: if hasty { Acks::Leader } else { acks },
        };
        Outcome::Stored(done, wait)
    }

    /// Appends records of a coordinator, as `acks=all`.
    pub(super) fn append_for_coordinator(
        &mut self,
        id: Option<TopicPartitionId>,
        batch: Bytes,
        whom: Whom,
        turn: &mut Turn<'_>,
    ) {
        let result = id.ok_or(ResponseError::UnknownTopicOrPartition).and_then(|id| {
            self.append_committed(id, turn, |partition, turn| {
                let epoch = partition.state().leader_epoch;
                partition.log.append_as_leader(batch, epoch, turn.now.wall_ms, turn.disk)
            })
        });
        match result {
            // The coordinator answers its clients in time by itself.
            Ok(waiting) => self.await_committed(waiting, whom, turn),
            Err(error) => self.coordinator_append_ended(&whom, Err(error), turn),
        }
    }

    /// Appends to a partition that this broker leads what will count when it is committed.
    pub(super) fn append_committed(
        &mut self,
        id: TopicPartitionId,
        turn: &mut Turn<'_>,
        append: impl FnOnce(&mut Partition, &mut Turn<'_>) -> Result<Appended, AppendError>,
    ) -> Result<Waiting, ResponseError> {
        let Some(partition) = self.partitions.get_mut(&id).filter(|partition| partition.is_leader()) else {
            return Err(ResponseError::NotLeaderOrFollower);
        };
        if partition.is_under_min_isr() {
            return Err(ResponseError::NotEnoughReplicas);
        }
        let appended = append(partition, turn);
        partition.advance_high_watermark();
        let leader_epoch = partition.state().leader_epoch;
        match appended {
            Ok(appended) => {
                self.appended(id, turn);
                let (acks, end) = (Acks::Committed, appended.last_offset.next());
                Ok(Waiting { id, place: (0, 0), end, leader_epoch, asked: acks, acks })
            }
            Err(error) => {
                let code = error.code();
                match error {
                    AppendError::Disk(error) => self.append_failed(id, &error, turn),
                    error => tracing::warn!(%error, "a coordinator's records are refused"),
                }
                Err(ResponseError::try_from_code(code).unwrap_or(ResponseError::UnknownServerError))
            }
        }
    }

    /// Tells somebody when that is committed, however long it takes.
    pub(super) fn await_committed(&mut self, waiting: Waiting, to: Whom, turn: &mut Turn<'_>) {
        let operation = DelayedProduce { to, waiting: vec![waiting], failed: Vec::new() };
        self.finish_or_park(operation, u64::MAX, turn);
    }

    fn coordinator_append_ended(
        &mut self,
        whom: &Whom,
        result: Result<(), ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        match whom {
            Whom::Group(token) => self.group_append_ended(*token, result, turn),
            Whom::Transaction(token) => self.transaction_append_ended(*token, result, turn),
            Whom::Client { .. } | Whom::Marker(_) => {}
        }
    }

    /// The id of a partition that this broker leads.
    pub(super) fn led_partition(
        &self,
        topic: &str,
        index: PartitionId,
    ) -> Result<TopicPartitionId, ResponseError> {
        let image = self.channel.image().topic_named(topic).ok_or(ResponseError::UnknownTopicOrPartition)?;
        if !image.partitions.contains_key(&index) {
            return Err(ResponseError::UnknownTopicOrPartition);
        }
        let id = TopicPartitionId { topic: image.id, partition: index };
        match self.partitions.get(&id) {
            Some(partition) if partition.is_leader() => Ok(id),
            None if self.is_offline(id) => Err(ResponseError::KafkaStorageError),
            _ => Err(ResponseError::NotLeaderOrFollower),
        }
    }

    fn finish_or_park(&mut self, mut operation: DelayedProduce, deadline_ns: u64, turn: &mut Turn<'_>) {
        operation.judge(&self.partitions, &mut self.violations);
        if operation.waiting.is_empty() {
            self.end_produce(operation, turn);
        } else {
            let watches = operation.waiting.iter().map(|waiting| waiting.id).collect();
            self.produces.park(operation, watches, deadline_ns);
        }
    }

    /// Looks again at the produces that wait for this partition, in the order in which they came.
    pub(super) fn complete_produces(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        for ticket in self.produces.watching(id) {
            let Some(operation) = self.produces.get_mut(ticket) else { continue };
            operation.judge(&self.partitions, &mut self.violations);
            if operation.waiting.is_empty()
                && let Some(operation) = self.produces.take(ticket)
            {
                self.end_produce(operation, turn);
            }
        }
    }

    /// Answers the produces whose time is over: their records may or may not survive.
    pub(super) fn expire_produces(&mut self, turn: &mut Turn<'_>) {
        for ticket in self.produces.expired(turn.now.mono_ns) {
            if let Some(mut operation) = self.produces.take(ticket) {
                let late = operation.waiting.drain(..).map(|wait| (wait, ResponseError::RequestTimedOut));
                operation.failed.extend(late);
                self.end_produce(operation, turn);
            }
        }
    }

    fn end_produce(&mut self, operation: DelayedProduce, turn: &mut Turn<'_>) {
        match operation.to {
            Whom::Client { reply, mut response } => {
                for (wait, error) in operation.failed {
                    let (topic, partition) = wait.place;
                    response.responses[topic].partition_responses[partition] =
                        failed(wait.id.partition, error.code());
                }
                self.respond(reply, &ResponseKind::Produce(*response), turn);
            }
            // With the leadership the coordinator has lost the partition, and was told so.
            Whom::Group(_) | Whom::Transaction(_) if !operation.failed.is_empty() => {}
            Whom::Marker(marker) => {
                let failed = operation.failed.first();
                self.marker_ended(&marker, failed.map_or(Ok(()), |(_, error)| Err(*error)), turn);
            }
            whom => self.coordinator_append_ended(&whom, Ok(()), turn),
        }
    }
}

impl DelayedProduce {
    /// Takes out of `waiting` what is decided by now.
    fn judge(&mut self, partitions: &BTreeMap<TopicPartitionId, Partition>, violations: &mut Vec<Violation>) {
        let failed = &mut self.failed;
        self.waiting.retain(|wait| {
            let partition = partitions.get(&wait.id);
            match wait.verdict(partition) {
                None => return true,
                Some(Ok(())) if wait.asked == Acks::All => {
                    violations.extend(partition.and_then(|partition| Violation::of_ack(partition, wait.end)));
                }
                Some(Ok(())) => {}
                Some(Err(error)) => failed.push((*wait, error)),
            }
            false
        });
    }
}

impl Waiting {
    /// `None` while nothing is decided.
    fn verdict(&self, partition: Option<&Partition>) -> Option<Result<(), ResponseError>> {
        let led = partition
            .filter(|partition| partition.is_leader() && partition.state().leader_epoch == self.leader_epoch);
        // A deposed leader cannot know what its successor keeps.
        let Some(partition) = led else { return Some(Err(ResponseError::NotLeaderOrFollower)) };
        match self.acks {
            Acks::None => Some(Ok(())),
            Acks::Leader => (partition.stored_end() >= self.end).then_some(Ok(())),
            Acks::All | Acks::Committed if partition.high_watermark() < self.end => None,
            Acks::All if partition.is_under_min_isr() => {
                Some(Err(ResponseError::NotEnoughReplicasAfterAppend))
            }
            Acks::All | Acks::Committed => Some(Ok(())),
        }
    }
}

/// What a client may not send: markers, records without a number where numbers count, and records in a transaction of
/// which the request says nothing.
fn check_from_client(records: &[u8], transactional: bool) -> Result<(), ResponseError> {
    let Ok(header) = BatchHeader::parse(records) else { return Ok(()) };
    if header.is_transactional() && !transactional {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    let unnumbered = header.is_transactional() && (!header.is_idempotent() || header.base_sequence.0 < 0);
    if header.is_control() || unnumbered {
        return Err(ResponseError::InvalidRecord);
    }
    Ok(())
}

fn refused(partition: PartitionId, error: i16) -> Outcome {
    Outcome::Done(failed(partition, error))
}

/// Says which records are to blame, where not the batch as a whole is (KIP-467): a client can send the others again.
fn with_record_errors(response: PartitionProduceResponse, error: &AppendError) -> PartitionProduceResponse {
    let AppendError::NoKey { records } = error else { return response };
    let why = StrBytes::from_static_str("a record without a key in a compacted topic");
    let of_record = |&place: &i32| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(place)
            .with_batch_index_error_message(Some(why.clone()))
    };
    response
        .with_record_errors(records.iter().map(of_record).collect())
        .with_error_message(Some(StrBytes::from_string(error.to_string())))
}

fn failed(partition: PartitionId, error: i16) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(partition.0)
        .with_error_code(error)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
}
