//! How a request is answered, whatever became of it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnResponse, EndTxnResponse, InitProducerIdResponse,
};

use super::message::{TransactionEffect, TransactionResponse};
use super::metadata::Identity;
use crate::coordinator::ReplyId;
use crate::ids::{ProducerEpoch, ProducerId};

/// The first version of InitProducerId that knows PRODUCER_FENCED (KIP-588), and that of the other requests.
const INIT_FENCED_SINCE: i16 = 4;
const FENCED_SINCE: i16 = 2;
/// The first version of EndTxn that says what the producer has from now on (KIP-890, part 2).
const IDENTITY_SINCE: i16 = 5;

/// A request that waits for its answer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Asker {
    pub(super) reply: ReplyId,
    pub(super) version: i16,
    pub(super) question: Question,
}

/// What was asked, as far as the answer needs it.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Question {
    InitProducerId,
    AddPartitions(Vec<AddPartitionsToTxnTopic>),
    AddOffsets,
    End,
    Join,
}

impl Asker {
    /// The answer: the producer's identity if all is well.
    pub(super) fn answer(self, result: Result<Identity, ResponseError>) -> TransactionEffect {
        let fenced_since = match self.question {
            Question::InitProducerId => INIT_FENCED_SINCE,
            Question::Join => 0,
            _ => FENCED_SINCE,
        };
        let result = result.map_err(|error| match error {
            ResponseError::ProducerFenced if self.version < fenced_since => {
                ResponseError::InvalidProducerEpoch
            }
            error => error,
        });
        let code = result.err().map_or(0, |error| error.code());
        let response = match self.question {
            Question::InitProducerId => {
                let (id, epoch) = result.unwrap_or((ProducerId::NONE, ProducerEpoch(-1)));
                TransactionResponse::InitProducerId(
                    InitProducerIdResponse::default()
                        .with_error_code(code)
                        .with_producer_id(id.0.into())
                        .with_producer_epoch(epoch.0),
                )
            }
            Question::AddPartitions(topics) => {
                TransactionResponse::AddPartitions(added(&topics, |_, _| code))
            }
            Question::AddOffsets => {
                TransactionResponse::AddOffsets(AddOffsetsToTxnResponse::default().with_error_code(code))
            }
            Question::End => {
                let response = EndTxnResponse::default().with_error_code(code);
                TransactionResponse::End(match result {
                    Ok((id, epoch)) if self.version >= IDENTITY_SINCE => {
                        response.with_producer_id(id.0.into()).with_producer_epoch(epoch.0)
                    }
                    _ => response,
                })
            }
            Question::Join => TransactionResponse::Join(result.map(|_| ())),
        };
        TransactionEffect::Reply { reply: self.reply, response }
    }
}

/// An answer to AddPartitionsToTxn below version 4, with an error code per partition.
pub(crate) fn added(
    topics: &[AddPartitionsToTxnTopic],
    code: impl Fn(&str, i32) -> i16,
) -> AddPartitionsToTxnResponse {
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code(&topic.name, *partition))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}
