//! A coordinator, its log, and the producers' side of the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest,
    TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::coordinator::{AppendToken, ReplyId};
use crate::defects::Defects;
use crate::ids::{LeaderEpoch, PartitionId, ProducerEpoch, ProducerId};
use crate::node::Now;
use crate::transaction::records;
use crate::transaction::{
    DueMarker, Join, TopicPartition, TransactionConfig, TransactionCoordinator, TransactionEffect,
    TransactionMetadata, TransactionRequest, TransactionResponse, TransactionState,
};

pub(super) const PARTITIONS: i32 = 4;
pub(super) const TIMEOUT_MS: u64 = 10_000;
pub(super) const ID: &str = "tx";

/// The version of EndTxn with which the second protocol begins.
pub(super) const SECOND: i16 = 5;

/// A producer id and an epoch.
pub(super) type Identity = (i64, i16);
type StoredRecord = (Bytes, Option<Bytes>);

/// One broker, as the rest of the cluster sees it.
pub(super) struct World {
    pub(super) coordinator: TransactionCoordinator,
    config: TransactionConfig,
    pub(super) now: Now,
    epoch: LeaderEpoch,
    log: BTreeMap<PartitionId, Vec<StoredRecord>>,
    /// What is appended and not committed, oldest first.
    pub(super) appends: VecDeque<(PartitionId, StoredRecord, AppendToken)>,
    replies: BTreeMap<ReplyId, TransactionResponse>,
    /// Requests without a reply, with their versions.
    pub(super) open: BTreeMap<ReplyId, i16>,
    seen: BTreeSet<ReplyId>,
    next_reply: u64,
    next_producer_id: i64,
    /// No producer id can be had.
    pub(super) ids_refused: bool,
}

impl World {
    pub(super) fn new(defects: impl IntoIterator<Item = crate::defects::Defect>) -> Self {
        let defects: Defects = defects.into_iter().collect();
        let config = TransactionConfig { topic_partitions: PARTITIONS, max_timeout_ms: 60_000, defects };
        let mut world = Self {
            coordinator: TransactionCoordinator::new(config.clone()),
            config,
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 },
            epoch: LeaderEpoch(0),
            log: BTreeMap::new(),
            appends: VecDeque::new(),
            replies: BTreeMap::new(),
            open: BTreeMap::new(),
            seen: BTreeSet::new(),
            next_reply: 0,
            next_producer_id: 500,
            ids_refused: false,
        };
        world.load_all();
        world
    }

    fn load_all(&mut self) {
        let mut out = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            let records = self.log.get(&partition).cloned().unwrap_or_default();
            self.coordinator.load(self.now, partition, self.epoch, records, &mut out);
        }
        self.take(out);
    }

    /// Another broker takes over; what was appended and not committed is lost.
    pub(super) fn fail_over(&mut self) {
        let mut out = Vec::new();
        for partition in (0..PARTITIONS).map(PartitionId) {
            self.coordinator.unload(partition, &mut out);
        }
        self.take(out);
        assert!(self.open.is_empty(), "unanswered after the coordinator moved: {:?}", self.open);
        self.appends.clear();
        self.epoch.0 += 1;
        self.coordinator = TransactionCoordinator::new(self.config.clone());
        self.load_all();
    }

    /// The log says this of the transactional id, and a new coordinator loads it.
    pub(super) fn overwrite(&mut self, stored: &TransactionMetadata) {
        let record = (records::key(ID), Some(records::value(stored)));
        self.log.entry(self.coordinator.partition_for(ID)).or_default().push(record);
        self.fail_over();
    }

    /// What a coordinator would be that is loaded from the committed records now.
    pub(super) fn reloaded(&self) -> BTreeMap<String, TransactionMetadata> {
        let mut fresh = TransactionCoordinator::new(self.config.clone());
        let mut out = Vec::new();
        for (partition, records) in &self.log {
            fresh.load(self.now, *partition, LeaderEpoch(9), records.clone(), &mut out);
        }
        assert!(out.is_empty());
        fresh.snapshot()
    }

    fn take(&mut self, out: Vec<TransactionEffect>) {
        for effect in out {
            match effect {
                TransactionEffect::Append { partition, key, value, token } => {
                    self.appends.push_back((partition, (key, Some(value)), token));
                }
                TransactionEffect::Reply { reply, response } => {
                    assert!(self.seen.insert(reply), "answered twice: {response:?}");
                    let version = self.open.remove(&reply).expect("a reply to an open request");
                    encode(&response, version);
                    self.replies.insert(reply, response);
                }
                TransactionEffect::AllocateProducerId { reply } => {
                    let fresh = if self.ids_refused {
                        Err(ResponseError::CoordinatorLoadInProgress)
                    } else {
                        self.next_producer_id += 1;
                        Ok(ProducerId(self.next_producer_id))
                    };
                    let mut out = Vec::new();
                    self.coordinator.producer_id_allocated(self.now, reply, fresh, &mut out);
                    self.take(out);
                }
            }
        }
    }

    pub(super) fn send(&mut self, request: TransactionRequest, version: i16) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.open.insert(reply, version);
        let mut out = Vec::new();
        self.coordinator.handle(self.now, request, version, reply, &mut out);
        self.take(out);
        reply
    }

    /// Sends a request, lets its record be committed, and returns its error code.
    pub(super) fn ask(&mut self, request: TransactionRequest, version: i16) -> i16 {
        let reply = self.send(request, version);
        self.settle_all();
        self.error(reply)
    }

    /// The error of a response; 0 is success.
    pub(super) fn error(&self, reply: ReplyId) -> i16 {
        match self.replies.get(&reply).expect("a reply") {
            TransactionResponse::InitProducerId(response) => response.error_code,
            TransactionResponse::AddPartitions(response) => {
                response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            }
            TransactionResponse::AddOffsets(response) => response.error_code,
            TransactionResponse::End(response) => response.error_code,
            TransactionResponse::Join(result) => result.err().map_or(0, |error| error.code()),
        }
    }

    pub(super) fn is_answered(&self, reply: ReplyId) -> bool {
        self.replies.contains_key(&reply)
    }

    /// What an end of the second protocol was answered with: an error code, or what the producer has from now on.
    pub(super) fn bumped(&self, reply: ReplyId) -> Result<Identity, i16> {
        match self.replies.get(&reply).expect("a reply") {
            TransactionResponse::End(response) if response.error_code == 0 => {
                Ok((response.producer_id.0, response.producer_epoch))
            }
            _ => Err(self.error(reply)),
        }
    }

    /// The oldest append is committed, or refused.
    pub(super) fn settle_next(&mut self, result: Result<(), ResponseError>) -> bool {
        let Some((partition, record, token)) = self.appends.pop_front() else { return false };
        if result.is_ok() {
            self.log.entry(partition).or_default().push(record);
        }
        let mut out = Vec::new();
        self.coordinator.appended(self.now, token, result, &mut out);
        self.take(out);
        assert_eq!(self.coordinator.snapshot(), self.reloaded(), "live and replayed");
        true
    }

    pub(super) fn settle_all(&mut self) {
        while self.settle_next(Ok(())) {}
    }

    /// Lets time pass, with all ticks that fall into it. Markers are left alone.
    pub(super) fn advance(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.wall_ms += ms as i64;
        let mut out = Vec::new();
        self.coordinator.tick(self.now, &mut out);
        self.take(out);
    }

    /// The markers that are due: who, which epoch, commit or not, where.
    pub(super) fn due(&mut self) -> Vec<DueMarker> {
        self.coordinator.take_due_markers(self.now)
    }

    pub(super) fn written(&mut self, due: &DueMarker) {
        let mut out = Vec::new();
        self.coordinator.marker_written(self.now, due.order, &due.target, &mut out);
        self.take(out);
    }

    /// Writes all markers that are due, and commits what follows from that; says where they went.
    pub(super) fn write_markers(&mut self) -> Vec<TopicPartition> {
        let due = self.due();
        for marker in &due {
            self.written(marker);
        }
        self.settle_all();
        due.into_iter().map(|marker| marker.target).collect()
    }

    /// Starts a producer and returns its id and epoch, after as many attempts as it takes.
    pub(super) fn start(&mut self, id: &str) -> Identity {
        self.start_with(id, None)
    }

    pub(super) fn start_with(&mut self, id: &str, expected: Option<Identity>) -> Identity {
        for _ in 0..3 {
            let reply = self.send(init(id, expected), 4);
            self.settle_all();
            match self.replies.get(&reply) {
                Some(TransactionResponse::InitProducerId(response)) if response.error_code == 0 => {
                    return (response.producer_id.0, response.producer_epoch);
                }
                Some(TransactionResponse::InitProducerId(response)) => {
                    assert_eq!(response.error_code, ResponseError::ConcurrentTransactions.code());
                }
                other => panic!("not an InitProducerId response: {other:?}"),
            }
            self.write_markers();
        }
        panic!("`{id}` does not start");
    }

    pub(super) fn add(&mut self, producer: Identity, partitions: &[i32]) -> i16 {
        self.ask(add(ID, producer, partitions), 3)
    }

    pub(super) fn end(&mut self, producer: Identity, commit: bool) -> i16 {
        self.ask(end(ID, producer, commit), 3)
    }

    /// The leader of partitions of `orders` has them join the transaction.
    pub(super) fn join(&mut self, producer: Identity, partitions: &[i32]) -> i16 {
        self.ask(join(ID, producer, partitions), 0)
    }

    /// Ends a transaction in the second protocol.
    pub(super) fn end_and_bump(&mut self, producer: Identity, commit: bool) -> Result<Identity, i16> {
        let reply = self.send(end(ID, producer, commit), SECOND);
        self.settle_all();
        self.bumped(reply)
    }

    pub(super) fn state(&self) -> TransactionState {
        self.coordinator.snapshot()[ID].state
    }

    pub(super) fn verify(&mut self, (id, epoch): Identity, partition: i32) -> i16 {
        let target = orders(partition);
        let verified = self.coordinator.verify(ID, (ProducerId(id), ProducerEpoch(epoch)), &target);
        verified.err().map_or(0, |error| error.code())
    }
}

/// A response that the wire cannot carry in its version is a bug.
fn encode(response: &TransactionResponse, version: i16) {
    let buffer = &mut BytesMut::new();
    let result = match response {
        TransactionResponse::InitProducerId(response) => response.encode(buffer, version),
        TransactionResponse::AddPartitions(response) => response.encode(buffer, version),
        TransactionResponse::AddOffsets(response) => response.encode(buffer, version),
        TransactionResponse::End(response) => response.encode(buffer, version),
        // Between rooms of one broker, or as a result of AddPartitionsToTxn.
        TransactionResponse::Join(_) => Ok(()),
    };
    if let Err(error) = result {
        panic!("version {version} cannot carry {response:?}: {error}");
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn orders(partition: i32) -> TopicPartition {
    ("orders".to_owned(), PartitionId(partition))
}

pub(super) fn init(id: &str, expected: Option<Identity>) -> TransactionRequest {
    let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
    TransactionRequest::InitProducerId(
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(TIMEOUT_MS as i32)
            .with_producer_id(producer_id.into())
            .with_producer_epoch(producer_epoch),
    )
}

pub(super) fn add(id: &str, (producer_id, epoch): Identity, partitions: &[i32]) -> TransactionRequest {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(TopicName(text("orders")))
        .with_partitions(partitions.to_vec());
    TransactionRequest::AddPartitions(
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_producer_id(producer_id.into())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]),
    )
}

pub(super) fn join(id: &str, (producer_id, epoch): Identity, partitions: &[i32]) -> TransactionRequest {
    TransactionRequest::Join(Join {
        transactional_id: id.to_owned(),
        producer: (ProducerId(producer_id), ProducerEpoch(epoch)),
        partitions: partitions.iter().copied().map(orders).collect(),
    })
}

pub(super) fn add_offsets(id: &str, (producer_id, epoch): Identity) -> TransactionRequest {
    TransactionRequest::AddOffsets(
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text("readers"))),
        ("__consumer_offsets".to_owned(), PartitionId(2)),
    )
}

pub(super) fn end(id: &str, (producer_id, epoch): Identity, commit: bool) -> TransactionRequest {
    TransactionRequest::End(
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_committed(commit),
    )
}
