//! InitProducerId without transactions: producer ids come in blocks from the controller (KIP-730).

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, InitProducerIdRequest, InitProducerIdResponse,
    ResponseKind,
};

use crate::coordinator::ReplyId;
use crate::ids::ProducerId;
use crate::node::connections::ReplyTo;
use crate::transaction::TransactionRequest;

use super::control::Call;
use super::{Broker, Turn};

const BLOCK_TIMEOUT_MS: u64 = 5_000;

/// The rest of the present block, and who waits for the next one.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    next: i64,
    end: i64,
    asked: bool,
    waiting: VecDeque<Asker>,
}

/// Who wants an id.
#[derive(Clone, Copy, Debug)]
enum Asker {
    Client(ReplyTo),
    /// The coordinator, for a transactional producer.
    Transaction(ReplyId),
}

impl Broker {
    /// Gives a fresh id with epoch 0, also to a producer that brings an old one (KIP-360).
    pub(super) fn init_producer_id(
        &mut self,
        request: InitProducerIdRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        if request.transactional_id.is_some() {
            return self.transaction_request(TransactionRequest::InitProducerId(request), reply, turn);
        }
        self.producer_ids.waiting.push_back(Asker::Client(reply));
        self.give_producer_ids(turn);
    }

    /// Gets a fresh id for a transactional producer.
    pub(super) fn allocate_producer_id(&mut self, reply: ReplyId, turn: &mut Turn<'_>) {
        self.producer_ids.waiting.push_back(Asker::Transaction(reply));
        self.give_producer_ids(turn);
    }

    fn give_producer_ids(&mut self, turn: &mut Turn<'_>) {
        while self.producer_ids.next < self.producer_ids.end {
            let Some(asker) = self.producer_ids.waiting.pop_front() else { return };
            let id = ProducerId(self.producer_ids.next);
            self.producer_ids.next += 1;
            self.tell_producer_id(asker, Ok(id), turn);
        }
        if !self.producer_ids.waiting.is_empty() && !self.producer_ids.asked {
            self.producer_ids.asked = true;
            self.call(AllocateProducerIdsRequest::default(), BLOCK_TIMEOUT_MS, Call::ProducerIds, turn);
        }
    }

    /// The controller has answered, or not in time.
    pub(super) fn producer_ids_came(
        &mut self,
        response: Option<AllocateProducerIdsResponse>,
        turn: &mut Turn<'_>,
    ) {
        self.producer_ids.asked = false;
        match response {
            Some(response) if response.error_code == 0 && response.producer_id_len > 0 => {
                self.producer_ids.next = response.producer_id_start.0;
                self.producer_ids.end = response.producer_id_start.0 + i64::from(response.producer_id_len);
                self.give_producer_ids(turn);
            }
            _ => {
                for asker in std::mem::take(&mut self.producer_ids.waiting) {
                    self.tell_producer_id(asker, Err(ResponseError::CoordinatorLoadInProgress), turn);
                }
            }
        }
    }

    fn tell_producer_id(
        &mut self,
        asker: Asker,
        result: Result<ProducerId, ResponseError>,
        turn: &mut Turn<'_>,
    ) {
        match asker {
            Asker::Client(reply) => {
                let response = InitProducerIdResponse::default();
                let response = match result {
                    Ok(id) => response.with_producer_id(id.0.into()).with_producer_epoch(0),
                    Err(error) => response
                        .with_error_code(error.code())
                        .with_producer_id((-1).into())
                        .with_producer_epoch(-1),
                };
                self.respond(reply, &ResponseKind::InitProducerId(response), turn);
            }
            Asker::Transaction(reply) => {
                let mut out = Vec::new();
                self.transactions.producer_id_allocated(turn.now, reply, result, &mut out);
                self.carry_out_transactions(out, turn);
            }
        }
    }
}
