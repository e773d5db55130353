//! The conductor's own client: creates topics, and asks where groups left off.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use broker_core::NodeId;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, FindCoordinatorRequest, RequestKind, ResponseKind,
};
use kafka_protocol::protocol::StrBytes;

use crate::client::group_talk::{OFFSET_FETCH_VERSION, committed_offsets, committed_request, group_id};
use crate::client::metadata::{any_broker, topic_name};
use crate::client::session::{Reply, Session};
use crate::client::{Client, ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

const TOPIC_ALREADY_EXISTS: i16 = 36;
const RETRY: u64 = 50 * MS;
const TIMEOUT: Duration = Duration::from_secs(1);

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// How many copies of each.
    pub replicas: u32,
    /// Its settings, in Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// What the conductor wants to know or have done.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Create(Vec<NewTopic>),
    Committed { group: String, topic: String, partitions: u32 },
}

/// The answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Created,
    /// By partition.
    Committed(BTreeMap<i32, Option<u64>>),
}

/// Where the question lies, and later the answer.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) question: Option<Question>,
    pub(crate) answer: Option<Answer>,
    /// Of the last try that failed.
    pub(crate) last_error: i16,
}

#[derive(Debug)]
enum Tag {
    Create,
    Coordinator,
    Committed,
}

pub(crate) struct Prober {
    desk: Rc<RefCell<Desk>>,
    session: Session<Tag>,
    dice: Dice,
    waiting: bool,
    next_try_ns: u64,
    /// Of the group that is asked about.
    coordinator: Option<NodeId>,
}

impl Prober {
    pub(crate) fn new(dice: Dice, desk: Rc<RefCell<Desk>>) -> Self {
        let session = Session::new(TIMEOUT.as_nanos() as u64);
        Self { desk, session, dice, waiting: false, next_try_ns: 0, coordinator: None }
    }

    fn reply(&mut self, response: ResponseKind) {
        let mut desk = self.desk.borrow_mut();
        match response {
            ResponseKind::CreateTopics(response) => {
                let codes = response.topics.iter().map(|topic| topic.error_code);
                match codes.filter(|code| ![0, TOPIC_ALREADY_EXISTS].contains(code)).max() {
                    None => desk.answer = Some(Answer::Created),
                    Some(code) => desk.last_error = code,
                }
            }
            ResponseKind::FindCoordinator(response) if response.error_code == 0 => {
                self.coordinator = Some(NodeId(response.node_id.0));
                self.next_try_ns = 0;
            }
            ResponseKind::OffsetFetch(response) => match committed_offsets(&response) {
                Ok(offsets) => desk.answer = Some(Answer::Committed(offsets)),
                Err(code) => desk.last_error = code,
            },
            _ => {}
        }
        if desk.answer.is_some() {
            desk.question = None;
        }
    }

    fn ask(&mut self, question: &Question, turn: &mut ClientTurn<'_>) {
        self.waiting = true;
        let any = any_broker(turn, &mut self.dice);
        match (question, self.coordinator) {
            (Question::Create(topics), _) => {
                let request = CreateTopicsRequest::default()
                    .with_topics(topics.iter().map(creatable).collect())
                    .with_timeout_ms(TIMEOUT.as_millis() as i32);
                let request = RequestKind::CreateTopics(request);
                self.session.request(any, ApiKey::CreateTopics, 5, &request, Tag::Create, turn);
            }
            (Question::Committed { group, .. }, None) => {
                let request =
                    FindCoordinatorRequest::default().with_key(StrBytes::from_string(group.clone()));
                let request = RequestKind::FindCoordinator(request);
                self.session.request(any, ApiKey::FindCoordinator, 2, &request, Tag::Coordinator, turn);
            }
            (Question::Committed { group, topic, partitions }, Some(coordinator)) => {
                let partitions = (0..*partitions as i32).collect();
                let request = committed_request(&group_id(group), topic, partitions);
                let (request, version) = (RequestKind::OffsetFetch(request), OFFSET_FETCH_VERSION);
                self.session.request(
                    coordinator,
                    ApiKey::OffsetFetch,
                    version,
                    &request,
                    Tag::Committed,
                    turn,
                );
            }
        }
    }
}

impl Client for Prober {
    fn step(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> u64 {
        for reply in self.session.take(event, turn) {
            self.waiting = false;
            self.next_try_ns = turn.now_ns + RETRY;
            match reply {
                Reply::Answered(_, response) => self.reply(*response),
                Reply::Lost(_) => self.coordinator = None,
            }
        }
        let question = self.desk.borrow().question.clone();
        let Some(question) = question else {
            self.coordinator = None;
            return self.session.deadline_ns();
        };
        if !self.waiting && turn.now_ns >= self.next_try_ns {
            self.ask(&question, turn);
        }
        let retry = if self.waiting { u64::MAX } else { self.next_try_ns };
        retry.min(self.session.deadline_ns()).max(turn.now_ns + MS)
    }

    fn is_done(&self) -> bool {
        self.desk.borrow().question.is_none()
    }

    fn finish(&mut self) {}

    fn status(&self) -> String {
        format!("the conductor's question: last error {}", self.desk.borrow().last_error)
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): (&String, &String)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions as i32)
        .with_replication_factor(topic.replicas as i16)
        .with_configs(topic.settings.iter().map(config).collect())
}
