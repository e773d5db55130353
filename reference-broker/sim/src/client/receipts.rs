//! At the end: which offsets the transactions have left committed, group by group.

use std::collections::VecDeque;

use broker_core::NodeId;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, OffsetFetchRequest, RequestKind, ResponseKind,
};

use super::metadata::{any_broker, topic_name};
use super::payer::transactional_id;
use super::session::{Reply, Session};
use super::transactor::group_of;
use super::{Client, ClientEvent, ClientTurn, PAYMENTS};
use crate::dice::Dice;
use crate::plan::MS;

const TIMEOUT: u64 = 600 * MS;
const PAUSE: u64 = 20 * MS;

#[derive(Debug)]
enum Tag {
    Coordinator,
    Fetch,
}

pub(crate) struct Receipts {
    session: Session<Tag>,
    dice: Dice,
    /// Transactional ids that are still to be looked up; the first is under way.
    left: VecDeque<u16>,
    coordinator: Option<NodeId>,
    asking: bool,
    next_ns: u64,
    last_error: i16,
}

impl Receipts {
    pub(crate) fn new(ids: impl Iterator<Item = u16>, dice: Dice) -> Self {
        Self {
            session: Session::new(TIMEOUT),
            dice,
            left: ids.collect(),
            coordinator: None,
            asking: false,
            next_ns: 0,
            last_error: 0,
        }
    }

    fn ask(&mut self, id: u16, turn: &mut ClientTurn<'_>) {
        self.asking = true;
        let group = group_of(&transactional_id(id));
        let Some(coordinator) = self.coordinator else {
            let request = RequestKind::FindCoordinator(FindCoordinatorRequest::default().with_key(group.0));
            let node = any_broker(turn, &mut self.dice);
            self.session.request(node, ApiKey::FindCoordinator, 2, &request, Tag::Coordinator, turn);
            return;
        };
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(PAYMENTS))
            .with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let request = RequestKind::OffsetFetch(request);
        self.session.request(coordinator, ApiKey::OffsetFetch, 9, &request, Tag::Fetch, turn);
    }

    fn take(&mut self, reply: Reply<Tag>, turn: &mut ClientTurn<'_>) {
        self.asking = false;
        let code = match reply {
            Reply::Lost(_) => -1,
            Reply::Answered(_, response) => match *response {
                ResponseKind::FindCoordinator(answer) => {
                    let found = answer.error_code == 0;
                    self.coordinator = found.then_some(NodeId(answer.node_id.0));
                    answer.error_code
                }
                ResponseKind::OffsetFetch(answer) => {
                    let group = &answer.groups[0];
                    let mut partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
                    let (offset, code) = match (group.error_code, partitions.next()) {
                        (0, Some(partition)) => (partition.committed_offset, partition.error_code),
                        (0, None) => (-1, 0),
                        (code, _) => (-1, code),
                    };
                    if let (0, Some(id)) = (code, self.left.front().copied()) {
                        turn.ledger.payments.offset_found(id, Some(offset).filter(|offset| *offset >= 0));
                        self.left.pop_front();
                        self.coordinator = None;
                    }
                    code
                }
                response => {
                    turn.ledger.violation("protocol", format!("a group's offsets: {response:?}"));
                    0
                }
            },
        };
        if code != 0 {
            self.coordinator = None;
            self.last_error = code;
            self.next_ns = turn.now_ns + PAUSE;
        }
    }
}

impl Client for Receipts {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.take(reply, turn);
        }
        let Some(id) = self.left.front().copied() else { return u64::MAX };
        if !self.asking && turn.now_ns >= self.next_ns {
            self.ask(id, turn);
        }
        let next = if self.asking { u64::MAX } else { self.next_ns };
        next.min(self.session.deadline_ns())
    }

    fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    fn finish(&mut self) {}

    fn status(&self) -> String {
        format!("offsets of transactions: {:?} are not told, last error {}", self.left, self.last_error)
    }
}
