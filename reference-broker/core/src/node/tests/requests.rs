//! What the tests send, and what they read out of the answers.

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, FetchRequest, ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::ids::NodeId;
use crate::record::{BatchBuilder, batches};

use super::cluster::{Client, Cluster};

pub(super) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

pub(super) fn batch(values: &[&str]) -> Bytes {
    let batch = BatchBuilder::new(1_700_000_000_000);
    values.iter().fold(batch, |batch, value| batch.record(None, Some(value.as_bytes()))).build()
}

/// Error code and base offset of the one partition.
pub(super) type Produced = (i16, i64);

impl Cluster {
    /// Creates a topic over broker `node`, and waits until every replica knows its role.
    pub(super) fn create(&mut self, topic: &str, replicas: i16, configs: &[(&str, &str)]) {
        let client = self.connect(NodeId(1));
        self.create_by(client, topic, replicas, configs);
    }

    /// The same, by somebody who is connected.
    pub(super) fn create_by(&mut self, client: Client, topic: &str, replicas: i16, configs: &[(&str, &str)]) {
        let configs = configs.iter().map(|(name, value)| {
            let value = Some(StrBytes::from_string((*value).to_owned()));
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(value)
        });
        let topic = CreatableTopic::default()
            .with_name(topic_name(topic))
            .with_num_partitions(1)
            .with_replication_factor(replicas)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic.clone()]).with_timeout_ms(5_000);
        let answer = self.ask(client, ApiKey::CreateTopics, 5, RequestKind::CreateTopics(request));
        let ResponseKind::CreateTopics(answer) = answer else { panic!("{answer:?}") };
        assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
        let name = topic.name.as_str().to_owned();
        self.until("the topic is known to its leader", |cluster| {
            let leader = cluster.leader(&name, 0);
            cluster
                .view(leader, &name, 0)
                .is_some_and(|view| view.is_leader && view.isr.len() == replicas as usize)
        });
    }

    pub(super) fn send_produce(&mut self, client: Client, topic: &str, acks: i16, records: Bytes) {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(acks).with_timeout_ms(1_500).with_topic_data(vec![topic]);
        self.send(client, ApiKey::Produce, 9, RequestKind::Produce(request));
    }

    pub(super) fn await_produced(&mut self, client: Client) -> Produced {
        let answer = self.await_answer(client, ApiKey::Produce, 9);
        produced(&answer)
    }

    pub(super) fn try_produced(&mut self, client: Client) -> Option<Produced> {
        self.answer(client, ApiKey::Produce, 9).as_ref().map(produced)
    }

    pub(super) fn produce(&mut self, client: Client, topic: &str, acks: i16, values: &[&str]) -> Produced {
        self.send_produce(client, topic, acks, batch(values));
        self.await_produced(client)
    }

    pub(super) fn send_fetch(
        &mut self,
        client: Client,
        topic: &str,
        offset: i64,
        max_wait_ms: i32,
        leader_epoch: i32,
    ) {
        let partition = FetchPartition::default()
            .with_partition(0)
            .with_fetch_offset(offset)
            .with_current_leader_epoch(leader_epoch)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(max_wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        self.send(client, ApiKey::Fetch, 11, RequestKind::Fetch(request));
    }

    /// Error code, high watermark and values.
    pub(super) fn await_fetched(&mut self, client: Client) -> (i16, i64, Vec<String>) {
        let answer = self.await_answer(client, ApiKey::Fetch, 11);
        let ResponseKind::Fetch(answer) = answer else { panic!("{answer:?}") };
        let partition = &answer.responses[0].partitions[0];
        let records = partition.records.clone().unwrap_or_default();
        (partition.error_code, partition.high_watermark, values(records))
    }

    pub(super) fn fetch(&mut self, client: Client, topic: &str, offset: i64) -> (i16, i64, Vec<String>) {
        self.send_fetch(client, topic, offset, 0, -1);
        self.await_fetched(client)
    }
}

pub(super) fn values(records: Bytes) -> Vec<String> {
    let batches = batches(records).map(|batch| batch.expect("a batch"));
    let records = batches.flat_map(|batch| batch.records().expect("uncompressed"));
    records
        .map(|record| record.expect("a record").value.expect("a value"))
        .map(|value| String::from_utf8_lossy(&value).into_owned())
        .collect()
}

fn produced(answer: &ResponseKind) -> Produced {
    let ResponseKind::Produce(answer) = answer else { panic!("{answer:?}") };
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}
