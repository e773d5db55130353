//! Settings of topics change.
//!
//! In:  the image and a request. Out: one record for each topic, with all its overrides from then on, and an answer per topic.
//! The settings of brokers are in their files and do not change while they run.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::controller::Decision;
use super::image::{MetadataImage, TopicImage};
use super::record::MetadataRecord;
use super::topic_config::{self, Kind};
use super::topics::Refusal;

/// The number of topics among the kinds of resources.
pub(crate) const TOPIC: i8 = 2;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Overrides = BTreeMap<String, String>;

/// `AlterConfigs`: what is not named loses its override.
pub(super) fn alter(image: &MetadataImage, request: &AlterConfigsRequest) -> Decision {
    let mut records = Vec::new();
    let mut named = BTreeSet::new();
    let mut responses = Vec::new();
    for resource in &request.resources {
        let given = resource.configs.iter().map(|it| (it.name.as_str(), it.value.as_deref()));
        let altered = topic(image, &mut named, resource.resource_type, &resource.resource_name)
            .and_then(|topic| Ok((topic, topic_config::validate(given).map_err(invalid)?)));
        let (error, message) = note(altered, request.validate_only, &mut records);
        responses.push(
            AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(error)
                .with_error_message(message),
        );
    }
    (records, AlterConfigsResponse::default().with_responses(responses).into())
}

/// `IncrementalAlterConfigs` (KIP-339): what is not named stays as it is.
pub(super) fn alter_incrementally(
    image: &MetadataImage,
    request: &IncrementalAlterConfigsRequest,
) -> Decision {
    let mut records = Vec::new();
    let mut named = BTreeSet::new();
    let mut responses = Vec::new();
    for resource in &request.resources {
        let altered = topic(image, &mut named, resource.resource_type, &resource.resource_name)
            .and_then(|topic| Ok((topic, changed(&topic.configs, &resource.configs).map_err(invalid)?)));
        let (error, message) = note(altered, request.validate_only, &mut records);
        responses.push(
            IncrementalResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone())
                .with_error_code(error)
                .with_error_message(message),
        );
    }
    (records, IncrementalAlterConfigsResponse::default().with_responses(responses).into())
}

fn topic<'a>(
    image: &'a MetadataImage,
    named: &mut BTreeSet<String>,
    kind: i8,
    name: &str,
) -> Result<&'a TopicImage, Refusal> {
    if kind != TOPIC {
        let message = "only settings of topics can be changed while the cluster runs";
        return Err((ResponseError::InvalidRequest, message.into()));
    }
    if !named.insert(name.to_owned()) {
        return Err((ResponseError::InvalidRequest, format!("topic `{name}` is in the request twice")));
    }
    let unknown = || (ResponseError::UnknownTopicOrPartition, format!("there is no topic `{name}`"));
    image.topic_named(name).ok_or_else(unknown)
}

fn invalid(message: String) -> Refusal {
    (ResponseError::InvalidConfig, message)
}

/// Error code and message of the answer; the record, unless nothing is to be done.
fn note(
    altered: Result<(&TopicImage, Overrides), Refusal>,
    validate_only: bool,
    records: &mut Vec<MetadataRecord>,
) -> (i16, Option<StrBytes>) {
    match altered {
        Ok((topic, configs)) => {
            if !validate_only && configs != topic.configs {
                records.push(MetadataRecord::Config { topic: topic.id, configs });
            }
            (0, None)
        }
        Err((error, message)) => (error.code(), Some(StrBytes::from_string(message))),
    }
}

fn changed(old: &Overrides, changes: &[AlterableConfig]) -> Result<Overrides, String> {
    let mut configs = old.clone();
    let mut named = BTreeSet::new();
    for change in changes {
        let name = change.name.as_str();
        let setting = topic_config::setting(name).ok_or_else(|| format!("unknown topic config `{name}`"))?;
        if !named.insert(name) {
            return Err(format!("topic config `{name}` is in the request twice"));
        }
        let missing = || format!("topic config `{name}` is given no value");
        let value = match change.config_operation {
            SET => change.value.as_deref().ok_or_else(missing)?.to_owned(),
            DELETE => {
                configs.remove(name);
                continue;
            }
            operation @ (APPEND | SUBTRACT) if matches!(setting.kind, Kind::List(_)) => {
                let value = change.value.as_deref().ok_or_else(missing)?;
                topic_config::check(name, value)?;
                // All lists there are have the same default everywhere.
                let old = configs.get(name).map_or("delete", String::as_str);
                joined(old, value, operation)
            }
            APPEND | SUBTRACT => return Err(format!("topic config `{name}` is no list")),
            other => return Err(format!("`{other}` is no operation on a topic config")),
        };
        topic_config::check(name, &value)?;
        configs.insert(name.to_owned(), value);
    }
    Ok(configs)
}

fn joined(old: &str, value: &str, operation: i8) -> String {
    let given: Vec<&str> = topic_config::parts(value).collect();
    let kept = topic_config::parts(old).filter(|part| !given.contains(part));
    let added = given.iter().copied().filter(|_| operation == APPEND);
    kept.chain(added).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &'static str, operation: i8, value: Option<&'static str>) -> AlterableConfig {
        AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_config_operation(operation)
            .with_value(value.map(StrBytes::from_static_str))
    }

    fn overrides(of: &[(&str, &str)]) -> Overrides {
        of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_operation_changes_one_setting() {
        let old = overrides(&[("retention.ms", "1"), ("segment.bytes", "2048")]);
        let changes = [
            change("retention.ms", DELETE, None),
            change("segment.bytes", SET, Some("4096")),
            change("cleanup.policy", APPEND, Some("compact")),
        ];
        let new = changed(&old, &changes);
        assert_eq!(new, Ok(overrides(&[("segment.bytes", "4096"), ("cleanup.policy", "delete,compact")])));
        let back = changed(&new.unwrap(), &[change("cleanup.policy", SUBTRACT, Some("delete"))]);
        assert_eq!(back.unwrap()["cleanup.policy"], "compact");
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let bad = [
            vec![change("retention.ms", SET, Some("soon"))],
            vec![change("retention.ms", SET, None)],
            vec![change("retention.ms", APPEND, Some("1"))],
            vec![change("retention.ms", 9, Some("1"))],
            vec![change("no.such.config", SET, Some("1"))],
            vec![change("cleanup.policy", SUBTRACT, Some("delete"))],
            vec![change("retention.ms", SET, Some("1")), change("retention.ms", DELETE, None)],
        ];
        for changes in bad {
            assert!(changed(&Overrides::new(), &changes).is_err(), "{changes:?}");
        }
    }
}
