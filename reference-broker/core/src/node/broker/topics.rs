//! Topics are made and unmade by the controller; a broker passes such requests on.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    IncrementalAlterConfigsRequest, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::{ControllerRequest, refused, topic_config};
use crate::node::connections::ReplyTo;

use super::control::Call;
use super::{Broker, OFFSETS_TOPIC, TRANSACTION_TOPIC, Turn, is_internal};

/// How long the creation of a topic that a client has merely named may take.
const AUTO_CREATE_TIMEOUT_MS: i32 = 5_000;
/// How long a change of settings may take; its request does not say.
const ALTER_TIMEOUT_MS: i32 = 30_000;

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

    pub(super) fn alter_configs(
        &mut self,
        request: AlterConfigsRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        self.forward(ALTER_TIMEOUT_MS, request.into(), reply, turn);
    }

    pub(super) fn incremental_alter_configs(
        &mut self,
        request: IncrementalAlterConfigsRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        self.forward(ALTER_TIMEOUT_MS, request.into(), reply, turn);
    }

    pub(super) fn forward(
        &mut self,
        timeout_ms: i32,
        request: ControllerRequest,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        // If no controller answers in time.
        let on_timeout = Box::new(refused(&request, ResponseError::RequestTimedOut).into());
        self.call(request, timeout_ms.max(0) as u64, Call::Forwarded { reply, on_timeout }, turn);
    }

    /// Asks for a topic that a client has named, unless that is already being done.
    pub(super) fn create_automatically(&mut self, name: &str, turn: &mut Turn<'_>) {
        let pending =
            self.calls.values().any(|call| matches!(call, Call::AutoCreate { topic } if topic == name));
        if pending || self.channel.image().active_brokers().next().is_none() {
            return;
        }
        let config = &self.config;
        let (partitions, replicas) = match name {
            OFFSETS_TOPIC => (config.offsets_topic_partitions, config.offsets_topic_replication_factor),
            TRANSACTION_TOPIC => {
                (config.transaction_topic_partitions, config.transaction_topic_replication_factor)
            }
            _ => (config.num_partitions, config.default_replication_factor),
        };
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
            .with_configs(if is_internal(name) { vec![compacted()] } else { Vec::new() });
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

/// The brokers' own topics need only the newest record of each key.
fn compacted() -> CreatableTopicConfig {
    CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str(topic_config::CLEANUP_POLICY))
        .with_value(Some(StrBytes::from_static_str("compact")))
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
        ResponseKind::DescribeQuorum(mut response) if version < 2 => {
            response.nodes.clear();
            response.error_message = None;
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| partition.error_message = None);
            ResponseKind::DescribeQuorum(response)
        }
        // Before version 1 each partition says what is wrong.
        ResponseKind::ElectLeaders(mut response) if version < 1 => {
            let error = std::mem::take(&mut response.error_code);
            let results =
                response.replica_election_results.iter_mut().flat_map(|it| &mut it.partition_result);
            results.filter(|it| it.error_code == 0).for_each(|it| it.error_code = error);
            ResponseKind::ElectLeaders(response)
        }
        other => other,
    }
}
