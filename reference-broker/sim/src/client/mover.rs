//! An operator who moves partitions between brokers, changes his mind, and asks for preferred leaders (KIP-455, KIP-460).
//!
//! In the end all partitions are to have as many replicas again as at the beginning.

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, ApiKey, BrokerId, ElectLeadersRequest,
    ListPartitionReassignmentsRequest, RequestKind, ResponseKind,
};

use super::metadata::{any_broker, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn, TOPIC};
use crate::dice::Dice;
use crate::plan::{MS, REPLICAS};

const RETRY: u64 = 50 * MS;
const TIMEOUT_MS: u64 = 500;

/// What a request was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// Whatever comes of it.
    Something,
    /// As many replicas of all partitions as at the beginning.
    Whole,
    /// Whether anything still moves.
    List,
}

pub(crate) struct Mover {
    session: Session<Asked>,
    dice: Dice,
    partitions: i32,
    /// Fewer replicas than this are never asked for.
    replicas_min: usize,
    /// Between two requests, about.
    pause: u64,
    waiting: bool,
    next_ns: u64,
    finishing: bool,
    whole: bool,
    done: bool,
    last_error: i16,
}

impl Mover {
    pub(crate) fn new(dice: Dice, partitions: i32, replicas_min: usize, pause: u64) -> Self {
        Self {
            session: Session::new(TIMEOUT_MS * MS),
            dice,
            partitions,
            replicas_min,
            pause,
            waiting: false,
            next_ns: pause,
            finishing: false,
            whole: false,
            done: false,
            last_error: 0,
        }
    }

    /// So many of the brokers, in some order.
    fn some_brokers(&mut self, count: u64, brokers: u64) -> Vec<BrokerId> {
        let mut left: Vec<i32> = (1..=brokers as i32).collect();
        let mut draw = || left.remove(self.dice.between(0, left.len() as u64 - 1) as usize);
        (0..count).map(|_| BrokerId(draw())).collect()
    }

    fn alter(targets: Vec<(i32, Option<Vec<BrokerId>>)>) -> RequestKind {
        let partitions = targets.into_iter().map(|(index, replicas)| {
            ReassignablePartition::default().with_partition_index(index).with_replicas(replicas)
        });
        let topic =
            ReassignableTopic::default().with_name(topic_name(TOPIC)).with_partitions(partitions.collect());
        let request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(TIMEOUT_MS as i32);
        RequestKind::AlterPartitionReassignments(request.with_topics(vec![topic]))
    }

    fn something(&mut self, brokers: u64) -> (ApiKey, i16, RequestKind) {
        let partition = self.dice.between(0, self.partitions as u64 - 1) as i32;
        match self.dice.between(0, 9) {
            0..=5 => {
                let count = self.dice.between(self.replicas_min as u64, brokers);
                let target = self.some_brokers(count, brokers);
                (ApiKey::AlterPartitionReassignments, 1, Self::alter(vec![(partition, Some(target))]))
            }
            6..=7 => (ApiKey::AlterPartitionReassignments, 1, Self::alter(vec![(partition, None)])),
            _ => {
                let named = TopicPartitions::default().with_topic(topic_name(TOPIC));
                let request = ElectLeadersRequest::default()
                    .with_topic_partitions(Some(vec![named.with_partitions(vec![partition])]))
                    .with_timeout_ms(TIMEOUT_MS as i32);
                (ApiKey::ElectLeaders, 2, RequestKind::ElectLeaders(request))
            }
        }
    }

    fn ask(&mut self, turn: &mut ClientTurn<'_>) {
        let (what, (api, version, request)) = if !self.finishing {
            (Asked::Something, self.something(turn.brokers))
        } else if self.whole {
            let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(TIMEOUT_MS as i32);
            let request = RequestKind::ListPartitionReassignments(request.with_topics(None));
            (Asked::List, (ApiKey::ListPartitionReassignments, 0, request))
        } else {
            let partitions = 0..self.partitions;
            let mut last = |partition| (partition, Some(self.some_brokers(REPLICAS as u64, turn.brokers)));
            let targets = partitions.map(&mut last).collect();
            (Asked::Whole, (ApiKey::AlterPartitionReassignments, 1, Self::alter(targets)))
        };
        let node = any_broker(turn, &mut self.dice);
        self.session.request(node, api, version, &request, what, turn);
        self.waiting = true;
    }

    fn answered(&mut self, asked: Asked, response: ResponseKind) {
        match (asked, response) {
            (Asked::Whole, ResponseKind::AlterPartitionReassignments(response)) => {
                let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
                let errors = partitions.map(|partition| partition.error_code).chain([response.error_code]);
                self.last_error = errors.into_iter().find(|error| *error != 0).unwrap_or(0);
                self.whole = self.last_error == 0 && !response.responses.is_empty();
            }
            (Asked::List, ResponseKind::ListPartitionReassignments(response)) => {
                self.last_error = response.error_code;
                self.done = response.error_code == 0 && response.topics.is_empty();
            }
            _ => {}
        }
    }
}

impl Client for Mover {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.waiting = false;
            let pause = if self.finishing { RETRY } else { self.dice.between(1, 2 * self.pause) };
            self.next_ns = turn.now_ns + pause;
            if let Reply::Answered(asked, response) = reply {
                self.answered(asked, *response);
            }
        }
        if self.done {
            return u64::MAX;
        }
        if !self.waiting && turn.now_ns >= self.next_ns {
            self.ask(turn);
        }
        let next = if self.waiting { u64::MAX } else { self.next_ns };
        next.min(self.session.deadline_ns())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn finish(&mut self) {
        self.finishing = true;
    }

    fn status(&self) -> String {
        let at = if self.whole { "partitions still move" } else { "partitions are not told to move back" };
        format!("{at}: last error {}", self.last_error)
    }
}
