//! DescribeConfigs: the settings in force, so that a harness can read back what it asked for.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::TopicImage;
use crate::node::FlushPolicy;

use super::Broker;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from, as Kafka numbers it.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;

/// What Kafka says for "never".
const NEVER: &str = "9223372036854775807";

struct Entry {
    name: &'static str,
    value: String,
    source: i8,
}

impl Broker {
    /// Answers for any topic, and for this broker.
    pub(super) fn describe_configs(
        &self,
        request: &DescribeConfigsRequest,
        version: i16,
    ) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match self.entries(resource) {
                Ok(entries) => result.with_configs(wanted(entries, resource, version)),
                Err(error) => result
                    .with_error_code(error.code())
                    .with_error_message(Some(StrBytes::from_string(error.to_string()))),
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }

    fn entries(&self, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, ResponseError> {
        match resource.resource_type {
            TOPIC => {
                let topic = self.channel.image().topic_named(&resource.resource_name);
                topic.map(|topic| self.topic_entries(topic)).ok_or(ResponseError::UnknownTopicOrPartition)
            }
            BROKER if resource.resource_name.is_empty() => Ok(self.broker_entries()),
            BROKER if resource.resource_name.parse() == Ok(self.config.node_id.0) => {
                Ok(self.broker_entries())
            }
            _ => Err(ResponseError::InvalidRequest),
        }
    }

    fn topic_entries(&self, topic: &TopicImage) -> Vec<Entry> {
        let config = &self.config;
        let (flush_messages, flush_ms) = flush_words(topic.flush_policy(config.flush));
        let entry = |name: &'static str, value: String| {
            let source = if topic.configs.contains_key(name) { SOURCE_TOPIC } else { SOURCE_STATIC_BROKER };
            Entry { name, value, source }
        };
        vec![
            entry("cleanup.policy", "delete".into()),
            entry("compression.type", "producer".into()),
            entry("flush.messages", flush_messages),
            entry("flush.ms", flush_ms),
            entry("max.message.bytes", topic.max_message_bytes(config.message_max_bytes).to_string()),
            entry("message.timestamp.type", "CreateTime".into()),
            entry("min.insync.replicas", topic.min_insync_replicas(config.min_insync_replicas).to_string()),
            entry("retention.bytes", "-1".into()),
            entry("retention.ms", "-1".into()),
            entry("segment.bytes", topic.segment_bytes(config.segment_bytes).to_string()),
            entry(
                "unclean.leader.election.enable",
                topic.unclean_leader_election(config.unclean_leader_election).to_string(),
            ),
        ]
    }

    fn broker_entries(&self) -> Vec<Entry> {
        let config = &self.config;
        let (flush_messages, flush_ms) = flush_words(config.flush);
        let entry = |name: &'static str, value: String| Entry { name, value, source: SOURCE_STATIC_BROKER };
        vec![
            entry("auto.create.topics.enable", config.auto_create_topics.to_string()),
            entry("broker.heartbeat.interval.ms", config.broker_heartbeat_interval_ms.to_string()),
            entry("broker.id", config.node_id.to_string()),
            entry("broker.session.timeout.ms", config.broker_session_timeout_ms.to_string()),
            entry("default.replication.factor", config.default_replication_factor.to_string()),
            entry("log.flush.interval.messages", flush_messages),
            entry("log.flush.interval.ms", flush_ms),
            entry("log.segment.bytes", config.segment_bytes.to_string()),
            entry("message.max.bytes", config.message_max_bytes.to_string()),
            entry("min.insync.replicas", config.min_insync_replicas.to_string()),
            entry("num.partitions", config.num_partitions.to_string()),
            entry("offsets.topic.num.partitions", config.offsets_topic_partitions.to_string()),
            entry("replica.lag.time.max.ms", config.replica_lag_time_max_ms.to_string()),
            entry("unclean.leader.election.enable", config.unclean_leader_election.to_string()),
        ]
    }
}

/// Messages and milliseconds between flushes.
fn flush_words(policy: FlushPolicy) -> (String, String) {
    match policy {
        FlushPolicy::PageCache => (NEVER.into(), NEVER.into()),
        FlushPolicy::IntervalMs(interval) => (NEVER.into(), interval.to_string()),
        FlushPolicy::BeforeAck => ("1".into(), NEVER.into()),
    }
}

fn wanted(
    entries: Vec<Entry>,
    resource: &DescribeConfigsResource,
    version: i16,
) -> Vec<DescribeConfigsResourceResult> {
    let asked = |entry: &Entry| match &resource.configuration_keys {
        Some(keys) => keys.iter().any(|key| key.as_str() == entry.name),
        None => true,
    };
    let results = entries.into_iter().filter(asked).map(|entry| {
        let result = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(entry.name))
            .with_value(Some(StrBytes::from_string(entry.value)))
            .with_read_only(true)
            .with_config_source(entry.source);
        if version >= 3 { result.with_config_type(0) } else { result }
    });
    results.collect()
}
