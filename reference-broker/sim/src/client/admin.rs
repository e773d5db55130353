//! Creates a topic, and tries until it is there.

use std::time::Duration;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{ApiKey, CreateTopicsRequest, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::metadata::{any_broker, topic_name};
use super::session::{Reply, Session};
use super::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::{MS, REPLICAS};

const TOPIC_ALREADY_EXISTS: i16 = 36;
const RETRY: u64 = 50 * MS;
const TIMEOUT: Duration = Duration::from_millis(500);

pub(crate) struct Admin {
    session: Session<()>,
    dice: Dice,
    topic: &'static str,
    partitions: i32,
    configs: Vec<(&'static str, String)>,
    created: bool,
    waiting: bool,
    next_try_ns: u64,
    last_error: i16,
}

impl Admin {
    pub(crate) fn new(
        dice: Dice,
        topic: &'static str,
        partitions: i32,
        configs: Vec<(&'static str, String)>,
    ) -> Self {
        let session = Session::new(TIMEOUT.as_nanos() as u64);
        Self {
            session,
            dice,
            topic,
            partitions,
            configs,
            created: false,
            waiting: false,
            next_try_ns: 0,
            last_error: 0,
        }
    }

    fn create(&mut self, turn: &mut ClientTurn<'_>) {
        let config = |(name, value): &(&'static str, String)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let topic = CreatableTopic::default()
            .with_configs(self.configs.iter().map(config).collect())
            .with_name(topic_name(self.topic))
            .with_num_partitions(self.partitions)
            .with_replication_factor(REPLICAS as i16);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(TIMEOUT.as_millis() as i32);
        let node = any_broker(turn, &mut self.dice);
        self.session.request(node, ApiKey::CreateTopics, 5, &RequestKind::CreateTopics(request), (), turn);
        self.waiting = true;
    }
}

impl Client for Admin {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.waiting = false;
            self.next_try_ns = turn.now_ns + RETRY;
            let Reply::Answered((), response) = reply else { continue };
            let ResponseKind::CreateTopics(response) = *response else { continue };
            self.last_error = response.topics.first().map_or(-1, |topic| topic.error_code);
            self.created |= self.last_error == 0 || self.last_error == TOPIC_ALREADY_EXISTS;
        }
        if self.created {
            return u64::MAX;
        }
        if !self.waiting && turn.now_ns >= self.next_try_ns {
            self.create(turn);
        }
        let retry = if self.waiting { u64::MAX } else { self.next_try_ns };
        retry.min(self.session.deadline_ns())
    }

    fn is_done(&self) -> bool {
        self.created
    }

    fn finish(&mut self) {}

    fn status(&self) -> String {
        format!("creation of {}: last error {}", self.topic, self.last_error)
    }
}
