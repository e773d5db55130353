//! DescribeConfigs: the settings in force, so that a harness can read back what it asked for.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::protocol::StrBytes;

use crate::controller::TopicImage;
use crate::controller::topic_config::{Kind, SETTINGS, TopicSetting, flush_words};
use crate::node::NodeConfig;

use super::Broker;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from, as Kafka numbers it.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_STATIC_BROKER: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// What kind of value it is, as Kafka numbers it; 0 is unknown.
fn type_of(kind: Kind) -> i8 {
    match kind {
        Kind::Switch => 1,
        Kind::Word(_) => 2,
        Kind::Int(_) => 3,
        Kind::Long(_) => 5,
        Kind::Ratio => 6,
        Kind::List(_) => 7,
    }
}

struct Entry {
    name: &'static str,
    value: String,
    source: i8,
    read_only: bool,
    kind: i8,
    /// Where the value could come from, the first one first: name, value, source.
    synonyms: Vec<(&'static str, String, i8)>,
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
                Ok(entries) => {
                    result.with_configs(wanted(entries, resource, request.include_synonyms, version))
                }
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
        let untouched = self.untouched();
        SETTINGS.iter().map(|setting| topic_entry(setting, topic, &self.config, &untouched)).collect()
    }

    /// This broker as it would be without settings.
    fn untouched(&self) -> NodeConfig {
        let NodeConfig { node_id, role, advertised_client, advertised_internal, .. } = self.config.clone();
        NodeConfig::new(node_id, role, advertised_client, advertised_internal)
    }

    fn broker_entries(&self) -> Vec<Entry> {
        let config = &self.config;
        let (flush_messages, flush_ms) = flush_words(config.flush);
        let entry = |name: &'static str, value: String| Entry {
            name,
            source: SOURCE_STATIC_BROKER,
            read_only: true,
            kind: 0,
            synonyms: vec![(name, value.clone(), SOURCE_STATIC_BROKER)],
            value,
        };
        vec![
            entry("auto.create.topics.enable", config.auto_create_topics.to_string()),
            entry("broker.heartbeat.interval.ms", config.broker_heartbeat_interval_ms.to_string()),
            entry("broker.id", config.node_id.to_string()),
            entry("broker.rack", config.rack.clone().unwrap_or_default()),
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

fn topic_entry(
    setting: &TopicSetting,
    topic: &TopicImage,
    config: &NodeConfig,
    untouched: &NodeConfig,
) -> Entry {
    let (of_broker, default) = ((setting.default)(config), (setting.default)(untouched));
    let mut synonyms = Vec::new();
    if let Some(value) = topic.configs.get(setting.name) {
        synonyms.push((setting.name, value.clone(), SOURCE_TOPIC));
    }
    if of_broker != default {
        synonyms.push((setting.of_broker, of_broker, SOURCE_STATIC_BROKER));
    }
    synonyms.push((setting.of_broker, default, SOURCE_DEFAULT));
    let (_, value, source) = synonyms[0].clone();
    let kind = type_of(setting.kind);
    Entry { name: setting.name, value, source, read_only: false, kind, synonyms }
}

fn wanted(
    entries: Vec<Entry>,
    resource: &DescribeConfigsResource,
    synonyms: bool,
    version: i16,
) -> Vec<DescribeConfigsResourceResult> {
    let asked = |entry: &Entry| match &resource.configuration_keys {
        Some(keys) => keys.iter().any(|key| key.as_str() == entry.name),
        None => true,
    };
    let synonym = |(name, value, source): (&'static str, String, i8)| {
        DescribeConfigsSynonym::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_string(value)))
            .with_source(source)
    };
    let results = entries.into_iter().filter(asked).map(|entry| {
        let others = if synonyms { entry.synonyms } else { Vec::new() };
        let result = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_static_str(entry.name))
            .with_value(Some(StrBytes::from_string(entry.value)))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source)
            .with_synonyms(others.into_iter().map(synonym).collect());
        if version >= 3 { result.with_config_type(entry.kind) } else { result }
    });
    results.collect()
}
