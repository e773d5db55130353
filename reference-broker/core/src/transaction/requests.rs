//! Takes the requests of transactional producers.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{EndTxnRequest, InitProducerIdRequest};

use super::coordinator::TransactionCoordinator;
use super::message::{TopicPartition, TransactionEffect, TransactionRequest};
use super::metadata::{End, Identity, Start, TransactionMetadata};
use super::response::{Asker, Question};
use super::version::TransactionVersion;
use crate::coordinator::ReplyId;
use crate::defects::Defect;
use crate::ids::{PartitionId, ProducerEpoch, ProducerId};
use crate::node::Now;

/// The longest string that fits into a record.
const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// A request that waits for a fresh producer id.
#[derive(Debug)]
pub(super) enum Allocating {
    Init(InitProducerIdRequest),
    End(EndTxnRequest),
}

/// Where a transaction goes: its next state if there is another, what its producer had before its epoch, and what it has.
pub(super) type Step = (Option<TransactionMetadata>, Option<Identity>, Identity);

impl TransactionCoordinator {
    /// Takes a request. The reply may come at once or with any later call.
    pub fn handle(
        &mut self,
        now: Now,
        request: TransactionRequest,
        version: i16,
        reply: ReplyId,
        out: &mut Vec<TransactionEffect>,
    ) {
        let asker = |question| Asker { reply, version, question };
        match request {
            TransactionRequest::InitProducerId(request) => self.init(now, request, version, reply, None, out),
            TransactionRequest::AddPartitions(request) => {
                let id = request.v3_and_below_transactional_id.to_string();
                let producer =
                    identity(request.v3_and_below_producer_id.0, request.v3_and_below_producer_epoch);
                let topics = request.v3_and_below_topics;
                let partitions = partitions(&topics);
                let asker = asker(Question::AddPartitions(topics));
                self.change(&id, asker, out, |stored| {
                    stored.check_producer(producer)?;
                    stored.with_partitions(&partitions, TransactionVersion::First, now.wall_ms)
                });
            }
            TransactionRequest::AddOffsets(request, partition) => {
                let producer = identity(request.producer_id.0, request.producer_epoch);
                let partitions = BTreeSet::from([partition]);
                let id = request.transactional_id.to_string();
                self.change(&id, asker(Question::AddOffsets), out, |stored| {
                    stored.check_producer(producer)?;
                    stored.with_partitions(&partitions, TransactionVersion::First, now.wall_ms)
                });
            }
            TransactionRequest::End(request) => self.end(now, request, version, reply, None, out),
            TransactionRequest::Join(join) => self.join(now, join, reply, out),
        }
    }

    /// A fresh producer id for a request that asked for one, or none could be had.
    pub fn producer_id_allocated(
        &mut self,
        now: Now,
        reply: ReplyId,
        fresh: Result<ProducerId, ResponseError>,
        out: &mut Vec<TransactionEffect>,
    ) {
        let Some((request, version)) = self.allocating.remove(&reply) else { return };
        let refuse = |question, error| Asker { reply, version, question }.answer(Err(error));
        match (request, fresh) {
            (Allocating::Init(request), Ok(fresh)) => {
                self.init(now, request, version, reply, Some(fresh), out);
            }
            (Allocating::End(request), Ok(fresh)) => {
                self.end(now, request, version, reply, Some(fresh), out);
            }
            (Allocating::Init(_), Err(error)) => out.push(refuse(Question::InitProducerId, error)),
            (Allocating::End(_), Err(error)) => out.push(refuse(Question::End, error)),
        }
    }

    fn init(
        &mut self,
        now: Now,
        request: InitProducerIdRequest,
        version: i16,
        reply: ReplyId,
        fresh: Option<ProducerId>,
        out: &mut Vec<TransactionEffect>,
    ) {
        let asker = Asker { reply, version, question: Question::InitProducerId };
        let id = request.transactional_id.clone().unwrap_or_default().to_string();
        let partition = self.partition_for(&id);
        match self.start(now, &id, &request, fresh) {
            Ok(Start::NeedsProducerId) => {
                self.allocating.insert(reply, (Allocating::Init(request), version));
                out.push(TransactionEffect::AllocateProducerId { reply });
            }
            Ok(Start::With(next, last)) => {
                self.store(partition, &id, next, last, Some((asker, Ok(()))), out);
            }
            Ok(Start::After(next)) => {
                let outcome = Err(ResponseError::ConcurrentTransactions);
                self.store(partition, &id, next, None, Some((asker, outcome)), out);
            }
            Err(error) => out.push(asker.answer(Err(error))),
        }
    }

    fn start(
        &mut self,
        now: Now,
        id: &str,
        request: &InitProducerIdRequest,
        fresh: Option<ProducerId>,
    ) -> Result<Start, ResponseError> {
        if id.is_empty() || id.len() > STRING_BYTES_MAX {
            return Err(ResponseError::InvalidRequest);
        }
        let timeout_ms = request.transaction_timeout_ms;
        if !(1..=self.config.max_timeout_ms).contains(&timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let reuses = self.config.defects.has(Defect::ReuseProducerEpoch);
        let partition = self.partition_for(id);
        self.enter(partition, id)?;
        let (known, transaction) = self.find(partition, id)?;
        if transaction.pending {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let expected = identity(request.producer_id.0, request.producer_epoch);
        let expected = Some(expected).filter(|(id, _)| *id != ProducerId::NONE);
        let stored = &transaction.stored;
        let start = stored.start(expected, transaction.last, timeout_ms, fresh, now.wall_ms)?;
        let epoch = stored.producer_epoch;
        Ok(match start {
            Start::With(next, last) if reuses && known => Start::With(next.with_epoch(epoch), last),
            Start::After(next) if reuses && known => Start::After(next.with_epoch(epoch)),
            start => start,
        })
    }

    fn end(
        &mut self,
        now: Now,
        request: EndTxnRequest,
        version: i16,
        reply: ReplyId,
        fresh: Option<ProducerId>,
        out: &mut Vec<TransactionEffect>,
    ) {
        let asker = Asker { reply, version, question: Question::End };
        let producer = identity(request.producer_id.0, request.producer_epoch);
        let commit = request.committed;
        if TransactionVersion::of_end(version) == TransactionVersion::First {
            return self.change(&request.transactional_id, asker, out, |stored| {
                stored.check_producer(producer)?;
                stored.ended(commit, now.wall_ms)
            });
        }
        let id = request.transactional_id.to_string();
        let partition = self.partition_for(&id);
        let found = self.find(partition, &id).and_then(|(_, transaction)| {
            let stored = &transaction.stored;
            let end = stored.ended_with_bump(producer, commit, fresh, now.wall_ms);
            if transaction.pending && !is_fenced(&end) {
                return Err(ResponseError::ConcurrentTransactions);
            }
            Ok((end?, stored.identity()))
        });
        match found {
            Ok((End::With(next), before)) => {
                self.store(partition, &id, next, Some(before), Some((asker, Ok(()))), out);
            }
            Ok((End::Ended, present)) => out.push(asker.answer(Ok(present))),
            Ok((End::NeedsProducerId, _)) => {
                self.allocating.insert(reply, (Allocating::End(request), version));
                out.push(TransactionEffect::AllocateProducerId { reply });
            }
            Err(error) => out.push(asker.answer(Err(error))),
        }
    }

    /// Has the state that `step` leads to stored, or answers at once if it leads nowhere.
    fn change(
        &mut self,
        id: &str,
        asker: Asker,
        out: &mut Vec<TransactionEffect>,
        step: impl FnOnce(&TransactionMetadata) -> Result<Option<TransactionMetadata>, ResponseError>,
    ) {
        let partition = self.partition_for(id);
        let found = self.look_ahead(id, step);
        match found {
            Ok((Some(next), last, _)) => self.store(partition, id, next, last, Some((asker, Ok(()))), out),
            Ok((None, _, identity)) => out.push(asker.answer(Ok(identity))),
            Err(error) => out.push(asker.answer(Err(error))),
        }
    }

    /// The state that `step` leads to, unless something is under way.
    pub(super) fn look_ahead(
        &mut self,
        id: &str,
        step: impl FnOnce(&TransactionMetadata) -> Result<Option<TransactionMetadata>, ResponseError>,
    ) -> Result<Step, ResponseError> {
        let (_, transaction) = self.find(self.partition_for(id), id)?;
        let stored = &transaction.stored;
        let next = step(stored);
        if transaction.pending && !is_fenced(&next) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        Ok((next?, transaction.last, stored.identity()))
    }
}

/// Who a request comes from is told first; then that something is under way.
fn is_fenced<T>(result: &Result<T, ResponseError>) -> bool {
    matches!(result, Err(ResponseError::ProducerFenced | ResponseError::InvalidProducerIdMapping))
}

fn identity(id: i64, epoch: i16) -> Identity {
    (ProducerId(id), ProducerEpoch(epoch))
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> BTreeSet<TopicPartition> {
    let partitions = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| (topic.name.to_string(), PartitionId(*partition)))
    });
    partitions.collect()
}
