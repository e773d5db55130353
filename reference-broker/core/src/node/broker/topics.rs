//! Topics are made and unmade by the controller; a broker passes such requests on.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicResult, CreateTopicsResponse};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::ControllerRequest;
use crate::node::connections::ReplyTo;

use super::control::Call;
use super::{Broker, OFFSETS_TOPIC, Turn};

/// How long the creation of a topic that a client has merely named may take.
const AUTO_CREATE_TIMEOUT_MS: i32 = 5_000;

impl Broker {
    pub(super) fn create_topics(
        &mut self,
        mut request: CreateTopicsRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        for topic in &mut request.topics {
            self.fill_in_defaults(topic);
        }
        self.forward(request.timeout_ms, request.into(), reply, turn);
    }

    pub(super) fn delete_topics(
        &mut self,
        mut request: DeleteTopicsRequest,
        version: i16,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        // The controller is spoken to in version 6, which names topics in another field.
        if version < 6 {
            let names = std::mem::take(&mut request.topic_names);
            request.topics =
                names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name))).collect();
        }
        self.forward(request.timeout_ms, request.into(), reply, turn);
    }

    pub(super) fn create_partitions(
        &mut self,
        request: CreatePartitionsRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        self.forward(request.timeout_ms, request.into(), reply, turn);
    }

    fn forward(&mut self, timeout_ms: i32, request: ControllerRequest, reply: ReplyTo, turn: &mut Turn<'_>) {
        let on_timeout = Box::new(timed_out(&request));
        self.call(request, timeout_ms.max(0) as u64, Call::Forwarded { reply, on_timeout }, turn);
    }

    /// Asks for a topic that a client has named, unless that is already being done.
    pub(super) fn create_automatically(&mut self, name: &str, turn: &mut Turn<'_>) {
        let pending =
            self.calls.values().any(|call| matches!(call, Call::AutoCreate { topic } if topic == name));
        if pending || self.channel.image().active_brokers().next().is_none() {
            return;
        }
        let alive = self.channel.image().active_brokers().count() as i16;
        let (partitions, replicas) = if name == OFFSETS_TOPIC {
            (self.config.offsets_topic_partitions, self.config.offsets_topic_replication_factor.min(alive))
        } else {
            (self.config.num_partitions, self.config.default_replication_factor.min(alive))
        };
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas);
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(AUTO_CREATE_TIMEOUT_MS);
        self.call(request, AUTO_CREATE_TIMEOUT_MS as u64, Call::AutoCreate { topic: name.to_owned() }, turn);
    }

    fn fill_in_defaults(&self, topic: &mut CreatableTopic) {
        if !topic.assignments.is_empty() {
            return;
        }
        if topic.num_partitions == -1 {
            topic.num_partitions = self.config.num_partitions;
        }
        if topic.replication_factor == -1 {
            topic.replication_factor = self.config.default_replication_factor;
        }
    }
}

/// Fits a controller's answer to the version of the client's request: older ones lack fields.
pub(super) fn fit(response: ResponseKind, version: i16) -> ResponseKind {
    match response {
        ResponseKind::CreateTopics(mut response) => {
            for topic in &mut response.topics {
                if version < 7 {
                    topic.topic_id = uuid::Uuid::nil();
                }
                if version < 5 {
                    topic.num_partitions = -1;
                    topic.replication_factor = -1;
                    topic.configs = Some(Vec::new());
                    topic.topic_config_error_code = 0;
                }
            }
            ResponseKind::CreateTopics(response)
        }
        ResponseKind::DeleteTopics(mut response) => {
            for topic in &mut response.responses {
                if version < 6 {
                    topic.topic_id = uuid::Uuid::nil();
                    topic.name.get_or_insert_default();
                }
                if version < 5 {
                    topic.error_message = None;
                }
            }
            ResponseKind::DeleteTopics(response)
        }
        other => other,
    }
}

/// What to answer if no controller does in time: every topic of the request timed out.
fn timed_out(request: &ControllerRequest) -> ResponseKind {
    let error = ResponseError::RequestTimedOut.code();
    match request {
        ControllerRequest::DeleteTopics(request) => {
            let result = |topic: &DeleteTopicState| {
                DeletableTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_topic_id(topic.topic_id)
                    .with_error_code(error)
            };
            ResponseKind::DeleteTopics(
                DeleteTopicsResponse::default().with_responses(request.topics.iter().map(result).collect()),
            )
        }
        ControllerRequest::CreatePartitions(request) => {
            let results = request.topics.iter().map(|topic| {
                CreatePartitionsTopicResult::default().with_name(topic.name.clone()).with_error_code(error)
            });
            ResponseKind::CreatePartitions(
                CreatePartitionsResponse::default().with_results(results.collect()),
            )
        }
        ControllerRequest::CreateTopics(request) => {
            let results = request.topics.iter().map(|topic| {
                CreatableTopicResult::default().with_name(topic.name.clone()).with_error_code(error)
            });
            ResponseKind::CreateTopics(CreateTopicsResponse::default().with_topics(results.collect()))
        }
        other => unreachable!("{:?} is not forwarded for clients", other.api_key()),
    }
}
