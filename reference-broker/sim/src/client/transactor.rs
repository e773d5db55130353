//! What a transactional producer says to the coordinator of its transactional id, in one of two protocols: one question at a
//! time, asked again while the coordinator moves or is busy with the transaction before.

use std::collections::BTreeSet;

use broker_core::{NodeId, ProducerEpoch, ProducerId};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, EndTxnRequest, FindCoordinatorRequest,
    GroupId, InitProducerIdRequest, RequestKind, ResponseKind, TopicName, TransactionalId,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::metadata::any_broker;
use super::session::{Reply, Session};
use super::{ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

const RETRY: u64 = 20 * MS;
/// FindCoordinator's words for a group and a transactional id.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

mod code {
    /// Not available, not the coordinator (any more).
    pub(super) const SEEK: [i16; 2] = [15, 16];
    /// Timed out, loading, busy with the transaction before.
    pub(super) const RETRIABLE: [i16; 3] = [7, 14, 51];
    /// Another partition of the request is why nothing was done.
    pub(super) const NOT_ATTEMPTED: i16 = 55;
}

/// What a transactional producer speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    /// It adds partitions and offsets before it writes them, and keeps its epoch (KIP-98); as librdkafka.
    First,
    /// Who takes a write adds its partition, and each end brings the next epoch (KIP-890); as Java clients of Kafka 4.
    Second,
}

impl Protocol {
    /// The version of Produce, of TxnOffsetCommit and of EndTxn that tells it.
    pub(crate) fn versions(self) -> (i16, i16, i16) {
        match self {
            Self::First => (8, 0, 1),
            Self::Second => (12, 5, 5),
        }
    }
}

/// A producer id and an epoch.
pub(crate) type Identity = (ProducerId, ProducerEpoch);

/// What a transactional producer is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It has a fresh epoch; whatever its id had left open is aborted.
    Started(Identity),
    /// These partitions belong to its transaction.
    Added(BTreeSet<i32>),
    /// The offset is committed with its transaction.
    Offered,
    /// The transaction has ended as it asked. In the second protocol this is what the next one is to be sent under.
    Ended(Option<Identity>),
    /// The coordinator does not do it, and will not.
    Refused(i16),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Question {
    Coordinator,
    Start,
    Add(BTreeSet<i32>),
    /// That offsets belong to the transaction.
    Announce(i64),
    GroupCoordinator,
    /// An offset to the coordinator of the group.
    Offer(i64),
    End {
        commit: bool,
    },
}

/// The conversation with the coordinator.
pub(crate) struct Transactor {
    id: TransactionalId,
    protocol: Protocol,
    topic: TopicName,
    timeout_ms: i32,
    session: Session<Question>,
    dice: Dice,
    coordinator: Option<NodeId>,
    /// Of the group whose offsets it commits.
    group_coordinator: Option<NodeId>,
    identity: Identity,
    /// What is to be done; asked again until it is answered for good.
    wanted: Option<Question>,
    /// A question is under way.
    asking: bool,
    /// An answer was lost on the way since this was last taken, or since the epoch began.
    lost: bool,
    retry_ns: u64,
    last_error: i16,
}

impl Transactor {
    /// Asks for its first epoch at once. `session`: its connections to coordinators.
    pub(crate) fn new(
        (id, protocol): (TransactionalId, Protocol),
        topic: TopicName,
        timeout_ms: u64,
        session: Session<Question>,
        dice: Dice,
    ) -> Self {
        Self {
            id,
            protocol,
            topic,
            timeout_ms: timeout_ms as i32,
            session,
            dice,
            coordinator: None,
            group_coordinator: None,
            identity: (ProducerId::NONE, ProducerEpoch(-1)),
            wanted: Some(Question::Start),
            asking: false,
            lost: false,
            retry_ns: 0,
            last_error: 0,
        }
    }

    /// Asks for a fresh epoch, which fences all that was sent under the one before.
    pub(crate) fn start(&mut self) {
        self.wanted = Some(Question::Start);
    }

    /// Has partitions added to the transaction. False: another question comes first.
    pub(crate) fn add(&mut self, partitions: BTreeSet<i32>) -> bool {
        let free = self.wanted.is_none();
        if free {
            self.wanted = Some(Question::Add(partitions));
        }
        free
    }

    /// Has an offset committed with the transaction. False: another question comes first.
    pub(crate) fn offer(&mut self, offset: i64) -> bool {
        let free = self.wanted.is_none();
        if free {
            self.wanted = Some(match self.protocol {
                Protocol::First => Question::Announce(offset),
                Protocol::Second => Question::Offer(offset),
            });
        }
        free
    }

    /// Has the transaction committed or aborted. False: another question comes first.
    pub(crate) fn end(&mut self, commit: bool) -> bool {
        let free = self.wanted.is_none();
        if free {
            self.wanted = Some(Question::End { commit });
        }
        free
    }

    /// What it speaks.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether an answer was lost in the transaction that has ended: what was asked twice may come once more.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// When to look again.
    pub(crate) fn next_wake_ns(&self) -> u64 {
        let ask = if self.wanted.is_some() && !self.asking { self.retry_ns } else { u64::MAX };
        ask.min(self.session.deadline_ns())
    }

    /// One line on what it waits for.
    pub(crate) fn status(&self) -> String {
        format!("transactions: waits for {:?}, last error {}", self.wanted, self.last_error)
    }

    /// Asks what is to be asked.
    pub(crate) fn act(&mut self, turn: &mut ClientTurn<'_>) {
        let Some(wanted) = self.wanted.clone().filter(|_| !self.asking && turn.now_ns >= self.retry_ns)
        else {
            return;
        };
        self.asking = true;
        let (producer_id, epoch) = (self.identity.0.0, self.identity.1.0);
        let (known, key, key_type, seek) = match wanted {
            Question::Offer(_) => {
                (self.group_coordinator, group_of(&self.id).0, GROUP, Question::GroupCoordinator)
            }
            _ => (self.coordinator, self.id.0.clone(), TRANSACTION, Question::Coordinator),
        };
        let Some(coordinator) = known else {
            let request = FindCoordinatorRequest::default().with_key(key).with_key_type(key_type);
            let node = any_broker(turn, &mut self.dice);
            let request = RequestKind::FindCoordinator(request);
            self.session.request(node, ApiKey::FindCoordinator, 2, &request, seek, turn);
            return;
        };
        let (_, of_offset_commit, of_end) = self.protocol.versions();
        let (api, version, request) = match &wanted {
            Question::Coordinator | Question::GroupCoordinator => {
                unreachable!("they are asked only where none is known")
            }
            Question::Start => {
                let request = InitProducerIdRequest::default()
                    .with_transactional_id(Some(self.id.clone()))
                    .with_transaction_timeout_ms(self.timeout_ms)
                    .with_producer_id((-1).into())
                    .with_producer_epoch(-1);
                (ApiKey::InitProducerId, 4, RequestKind::InitProducerId(request))
            }
            Question::Add(partitions) => {
                let topic = AddPartitionsToTxnTopic::default()
                    .with_name(self.topic.clone())
                    .with_partitions(partitions.iter().copied().collect());
                let request = AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(self.id.clone())
                    .with_v3_and_below_producer_id(producer_id.into())
                    .with_v3_and_below_producer_epoch(epoch)
                    .with_v3_and_below_topics(vec![topic]);
                (ApiKey::AddPartitionsToTxn, 0, RequestKind::AddPartitionsToTxn(request))
            }
            Question::Announce(_) => {
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(self.id.clone())
                    .with_producer_id(producer_id.into())
                    .with_producer_epoch(epoch)
                    .with_group_id(group_of(&self.id));
                (ApiKey::AddOffsetsToTxn, 0, RequestKind::AddOffsetsToTxn(request))
            }
            Question::Offer(offset) => {
                let partition = TxnOffsetCommitRequestPartition::default()
                    .with_partition_index(0)
                    .with_committed_offset(*offset)
                    .with_committed_metadata(Some(StrBytes::from_static_str("")));
                let topic = TxnOffsetCommitRequestTopic::default()
                    .with_name(self.topic.clone())
                    .with_partitions(vec![partition]);
                let request = TxnOffsetCommitRequest::default()
                    .with_transactional_id(self.id.clone())
                    .with_group_id(group_of(&self.id))
                    .with_producer_id(producer_id.into())
                    .with_producer_epoch(epoch)
                    .with_topics(vec![topic]);
                (ApiKey::TxnOffsetCommit, of_offset_commit, RequestKind::TxnOffsetCommit(request))
            }
            Question::End { commit } => {
                let request = EndTxnRequest::default()
                    .with_transactional_id(self.id.clone())
                    .with_producer_id(producer_id.into())
                    .with_producer_epoch(epoch)
                    .with_committed(*commit);
                (ApiKey::EndTxn, of_end, RequestKind::EndTxn(request))
            }
        };
        self.session.request(coordinator, api, version, &request, wanted, turn);
    }

    /// Takes what the network brings.
    pub(crate) fn take(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> Vec<Told> {
        let mut told = Vec::new();
        for reply in self.session.take(event, turn) {
            self.asking = false;
            match reply {
                Reply::Lost(question) => {
                    self.lost = true;
                    self.again(&question, None, turn.now_ns);
                }
                Reply::Answered(question, response) => {
                    told.extend(self.answered(&question, *response, turn.now_ns));
                }
            }
        }
        told
    }

    fn answered(&mut self, question: &Question, response: ResponseKind, now_ns: u64) -> Option<Told> {
        let (code, told) = match response {
            ResponseKind::FindCoordinator(answer) => {
                if answer.error_code != 0 {
                    self.again(question, Some(answer.error_code), now_ns);
                    return None;
                }
                let found = Some(NodeId(answer.node_id.0));
                match question {
                    Question::GroupCoordinator => self.group_coordinator = found,
                    _ => self.coordinator = found,
                }
                return None;
            }
            ResponseKind::InitProducerId(answer) => {
                let identity = (ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch));
                (answer.error_code, Told::Started(identity))
            }
            ResponseKind::AddPartitionsToTxn(answer) => {
                let results = answer.results_by_topic_v3_and_below.iter();
                let codes: Vec<i16> = results
                    .flat_map(|topic| &topic.results_by_partition)
                    .map(|partition| partition.partition_error_code)
                    .filter(|code| *code != 0)
                    .collect();
                let why = codes.iter().find(|code| **code != code::NOT_ATTEMPTED).or(codes.first());
                let Question::Add(partitions) = question else { return None };
                (why.copied().unwrap_or(0), Told::Added(partitions.clone()))
            }
            ResponseKind::AddOffsetsToTxn(answer) => (answer.error_code, Told::Offered),
            ResponseKind::TxnOffsetCommit(answer) => {
                let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                (partitions.next().map_or(-1, |partition| partition.error_code), Told::Offered)
            }
            ResponseKind::EndTxn(answer) => {
                let next = (ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch));
                (answer.error_code, Told::Ended((self.protocol == Protocol::Second).then_some(next)))
            }
            _ => return None,
        };
        // It has been asked for something else since.
        if self.wanted.as_ref() != Some(question) {
            return None;
        }
        match (code, question) {
            (0, Question::Announce(offset)) => {
                self.wanted = Some(Question::Offer(*offset));
                None
            }
            (0, _) => {
                self.wanted = None;
                if let Told::Started(identity) | Told::Ended(Some(identity)) = told {
                    self.identity = identity;
                    self.lost = false;
                }
                Some(told)
            }
            (code, _) if code::SEEK.contains(&code) || code::RETRIABLE.contains(&code) => {
                self.again(question, Some(code), now_ns);
                None
            }
            (code, _) => {
                self.last_error = code;
                self.wanted = None;
                self.retry_ns = now_ns + RETRY;
                Some(Told::Refused(code))
            }
        }
    }

    /// After a pause, perhaps to another broker. `None`: no answer came.
    fn again(&mut self, question: &Question, code: Option<i16>, now_ns: u64) {
        if code.is_none_or(|code| code::SEEK.contains(&code)) {
            match question {
                Question::Offer(_) => self.group_coordinator = None,
                _ => self.coordinator = None,
            }
        }
        self.last_error = code.unwrap_or(self.last_error);
        self.retry_ns = now_ns + self.dice.between(RETRY / 2, RETRY);
    }
}

/// The group whose offsets the producers of a transactional id commit.
pub(crate) fn group_of(id: &TransactionalId) -> GroupId {
    GroupId(StrBytes::from_string(format!("of-{}", id.0)))
}
