//! Topics as exchanges and queues.
//!
//! Partition N of a topic is the fan-out exchange `TOPIC.N`, which a producer publishes to; each group has its queue
//! `TOPIC.GROUP.N` bound to it. Without groups the one queue has the exchange's name. Clients count the exchanges to learn
//! how many partitions there are.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ErrorKind, ExchangeKind};

use super::amqp::within;
use super::names::queue;
use super::settings::QueueType;
use crate::admin::NewTopic;

/// Longer than the first election of a quorum queue takes when it must be repeated: five seconds and more.
const ANSWER: Duration = Duration::from_secs(20);
/// More partitions than anybody asks for.
const MOST_PARTITIONS: u32 = 4_096;
const NOT_FOUND: u16 = 404;

/// The number of partitions; an unknown topic is an error.
pub(super) async fn partitions(connection: &Connection, topic: &str) -> Result<u32, String> {
    let channel = within(ANSWER, connection.create_channel()).await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    for partition in 0..MOST_PARTITIONS {
        let name = queue(topic, None, partition).into();
        let declare = channel.exchange_declare(name, ExchangeKind::Fanout, options, FieldTable::default());
        match tokio::time::timeout(ANSWER, declare).await {
            Ok(Ok(())) => {}
            // Which ends the channel.
            Ok(Err(why)) if is_not_found(&why) && partition > 0 => return Ok(partition),
            Ok(Err(why)) => return Err(why.to_string()),
            Err(_) => return Err("no answer to exchange.declare".to_owned()),
        }
    }
    Err(format!("topic `{topic}` has too many partitions"))
}

fn is_not_found(why: &lapin::Error) -> bool {
    matches!(why.kind(), ErrorKind::ProtocolError(why) if why.get_id() == NOT_FOUND)
}

/// Declares one partition and its queues. A queue's first leader is on the node that this connection is to.
pub(super) async fn declare_partition(
    connection: &Connection,
    topic: &NewTopic,
    kind: QueueType,
    partition: u32,
) -> Result<(), String> {
    let channel = within(ANSWER, connection.create_channel()).await?;
    let exchange = queue(&topic.name, None, partition);
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(
        exchange.as_str().into(),
        ExchangeKind::Fanout,
        options,
        FieldTable::default(),
    );
    within(ANSWER, declared).await?;
    for name in queues(topic, partition) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let arguments = arguments(topic, kind);
        within(ANSWER, channel.queue_declare(name.as_str().into(), options, arguments)).await?;
        let bound = channel.queue_bind(
            name.into(),
            exchange.as_str().into(),
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        within(ANSWER, bound).await?;
    }
    within(ANSWER, channel.close(200, "done".into())).await
}

/// Deletes partitions' exchanges and these queues.
pub(super) async fn delete(
    connection: &Connection,
    topic: &str,
    partitions: u32,
    queues: &[String],
) -> Result<(), String> {
    let channel = within(ANSWER, connection.create_channel()).await?;
    for name in queues {
        let deleted = channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default());
        within(ANSWER, deleted).await?;
    }
    for partition in 0..partitions {
        let name = queue(topic, None, partition).into();
        within(ANSWER, channel.exchange_delete(name, ExchangeDeleteOptions::default())).await?;
    }
    Ok(())
}

/// The queues of a partition: one per group, or the only one.
pub(super) fn queues(topic: &NewTopic, partition: u32) -> Vec<String> {
    if topic.groups.is_empty() {
        return vec![queue(&topic.name, None, partition)];
    }
    topic.groups.iter().map(|group| queue(&topic.name, Some(group), partition)).collect()
}

/// Whether a version takes a delivery limit of -1 for none. Before 4.0 there is none by default, and with -1 a message is
/// dropped when it comes again.
pub(super) fn knows_unlimited(version: &str) -> bool {
    version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 4)
}

/// The arguments of a queue. The topic's own settings go over them, and must be whole numbers, booleans or text.
fn arguments(topic: &NewTopic, kind: QueueType) -> FieldTable {
    let mut arguments: BTreeMap<&str, AMQPValue> = BTreeMap::new();
    let text = |value: &str| AMQPValue::LongString(value.into());
    let copies = AMQPValue::LongInt(topic.replicas as i32);
    arguments.insert("x-queue-type", text(kind.name()));
    match kind {
        // It is born where it is declared.
        QueueType::Classic => {}
        QueueType::Quorum => {
            arguments.insert("x-queue-leader-locator", text("client-local"));
            arguments.insert("x-quorum-initial-group-size", copies);
        }
        QueueType::Stream => {
            arguments.insert("x-queue-leader-locator", text("client-local"));
            arguments.insert("x-initial-cluster-size", copies);
        }
    }
    for (name, value) in topic.settings.iter().filter(|(name, _)| name.starts_with("x-")) {
        let value = match (value.parse::<i32>(), value.parse::<bool>()) {
            (Ok(number), _) => AMQPValue::LongInt(number),
            (_, Ok(flag)) => AMQPValue::Boolean(flag),
            _ => text(value),
        };
        arguments.insert(name, value);
    }
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(groups: &[&str], settings: &[(&str, &str)]) -> NewTopic {
        NewTopic {
            name: "orders".to_owned(),
            partitions: 3,
            replicas: 3,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn each_group_has_a_queue_of_its_own() {
        assert_eq!(queues(&topic(&[], &[]), 1), ["orders.1"]);
        assert_eq!(queues(&topic(&["a", "b"], &[]), 2), ["orders.a.2", "orders.b.2"]);
    }

    #[test]
    fn a_type_gets_the_arguments_it_knows_and_the_topic_has_the_last_word() {
        let of = |kind, topic: &NewTopic| arguments(topic, kind).inner().clone();
        let names = |table: &BTreeMap<lapin::types::ShortString, AMQPValue>| {
            table.keys().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let classic = of(QueueType::Classic, &topic(&["g"], &[]));
        assert_eq!(names(&classic), ["x-queue-type"]);
        let stream = of(QueueType::Stream, &topic(&[], &[]));
        assert_eq!(names(&stream), ["x-initial-cluster-size", "x-queue-leader-locator", "x-queue-type"]);
        let quorum = of(QueueType::Quorum, &topic(&["g"], &[("x-delivery-limit", "7"), ("note", "no")]));
        assert_eq!(quorum.get("x-delivery-limit"), Some(&AMQPValue::LongInt(7)));
        assert_eq!(quorum.get("x-quorum-initial-group-size"), Some(&AMQPValue::LongInt(3)));
        assert_eq!(quorum.get("note"), None);
    }

    #[test]
    fn a_limit_of_minus_one_is_known_since_4_0() {
        assert!(knows_unlimited("4.0.5") && knows_unlimited("4.3.6"));
        assert!(!knows_unlimited("3.10.8") && !knows_unlimited(""));
    }
}
