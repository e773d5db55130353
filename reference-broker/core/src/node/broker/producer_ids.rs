//! InitProducerId: producer ids come in blocks from the controller (KIP-730).

use std::collections::VecDeque;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, InitProducerIdRequest, InitProducerIdResponse,
    ProducerId, ResponseKind,
};

use crate::node::connections::ReplyTo;

use super::control::Call;
use super::{Broker, Turn};

const BLOCK_TIMEOUT_MS: u64 = 5_000;

/// The rest of the present block, and who waits for the next one.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    next: i64,
    end: i64,
    asked: bool,
    waiting: VecDeque<ReplyTo>,
}

impl Broker {
    /// Gives a fresh id with epoch 0, also to a producer that brings an old one (KIP-360).
    pub(super) fn init_producer_id(
        &mut self,
        request: &InitProducerIdRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        if request.transactional_id.is_some() {
            // There is no transaction coordinator.
            return self.refuse_producer_id(reply, ResponseError::CoordinatorNotAvailable, turn);
        }
        self.producer_ids.waiting.push_back(reply);
        self.give_producer_ids(turn);
    }

    fn give_producer_ids(&mut self, turn: &mut Turn<'_>) {
        while self.producer_ids.next < self.producer_ids.end {
            let Some(reply) = self.producer_ids.waiting.pop_front() else { return };
            let id = ProducerId(self.producer_ids.next);
            self.producer_ids.next += 1;
            let response = InitProducerIdResponse::default().with_producer_id(id).with_producer_epoch(0);
            self.respond(reply, &ResponseKind::InitProducerId(response), turn);
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
                for reply in std::mem::take(&mut self.producer_ids.waiting) {
                    self.refuse_producer_id(reply, ResponseError::CoordinatorLoadInProgress, turn);
                }
            }
        }
    }

    fn refuse_producer_id(&mut self, reply: ReplyTo, error: ResponseError, turn: &mut Turn<'_>) {
        let response = InitProducerIdResponse::default().with_error_code(error.code());
        let response = response.with_producer_id(ProducerId(-1)).with_producer_epoch(-1);
        self.respond(reply, &ResponseKind::InitProducerId(response), turn);
    }
}
