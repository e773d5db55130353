//! A controller on a disk in memory, with a hand on the clock.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_partition_request::{BrokerState as Member, PartitionData, TopicData};
use kafka_protocol::messages::broker_registration_request::Listener;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    AlterPartitionRequest, AlterPartitionResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerId,
    BrokerRegistrationRequest, BrokerRegistrationResponse, CreateTopicsRequest, CreateTopicsResponse,
    FetchRequest, FetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::controller::brokers::{CLIENT_LISTENER, INTERNAL_LISTENER};
use crate::controller::replay::apply_batches;
use crate::controller::{
    Controller, ControllerEffect, ControllerRequest, ControllerResponse, ImageDelta, MetadataAudit,
    MetadataImage, MetadataRecord, PartitionState, ReplyId, TopicId,
};
use crate::disk::MemDisk;
use crate::ids::{NodeId, Offset, PartitionId};
use crate::node::{Endpoint, NodeConfig, Now, Peer, Role};
use crate::record::batches;

pub(super) const CONTROLLER: NodeId = NodeId(100);

pub(super) fn endpoint(port: u16) -> Endpoint {
    Endpoint { host: "localhost".into(), port }
}

pub(super) fn config(node: NodeId, role: Role) -> NodeConfig {
    let mut config = NodeConfig::new(node, role, endpoint(9000), endpoint(9001)).with_quick_failover();
    config.controllers = vec![Peer { node: CONTROLLER, endpoint: endpoint(9100) }];
    config
}

pub(super) fn at(ms: u64) -> Now {
    Now { mono_ns: ms * 1_000_000, wall_ms: 1_700_000_000_000 + ms as i64 }
}

/// A controller, its disk, and the time.
pub(super) struct Fixture {
    pub(super) config: NodeConfig,
    pub(super) controller: Controller,
    pub(super) disk: MemDisk,
    pub(super) ms: u64,
    /// Answers that no helper has taken yet.
    pub(super) replies: BTreeMap<ReplyId, ControllerResponse>,
    pub(super) failed: bool,
    next_reply: u64,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = config(CONTROLLER, Role::Controller);
        change(&mut config);
        let mut disk = MemDisk::new();
        let controller = Controller::boot(&config, at(0), &mut disk).expect("boots");
        let replies = BTreeMap::new();
        Self { config, controller, disk, ms: 0, replies, failed: false, next_reply: 0 }
    }

    /// As after SIGKILL: only the disk is left.
    pub(super) fn restart(&mut self) {
        self.disk.close_all();
        self.controller = Controller::boot(&self.config, at(self.ms), &mut self.disk).expect("boots again");
        self.replies.clear();
    }

    pub(super) fn send(&mut self, request: impl Into<ControllerRequest>) -> ReplyId {
        self.next_reply += 1;
        let reply = ReplyId(self.next_reply);
        let mut out = Vec::new();
        self.controller.handle(at(self.ms), request.into(), reply, &mut self.disk, &mut out);
        self.take(out);
        reply
    }

    pub(super) fn ask(&mut self, request: impl Into<ControllerRequest>) -> ControllerResponse {
        let reply = self.send(request);
        self.replies.remove(&reply).expect("an answer at once")
    }

    fn take(&mut self, effects: Vec<ControllerEffect>) {
        for effect in effects {
            match effect {
                ControllerEffect::Reply { reply, response } => {
                    assert!(self.replies.insert(reply, *response).is_none(), "{reply:?} is answered twice");
                }
                ControllerEffect::Failed { .. } => self.failed = true,
                other => panic!("a lone voter wants {other:?}"),
            }
        }
    }

    /// Lets time pass in steps of 50 ms, in which only the `alive` are heard.
    pub(super) fn pass(&mut self, ms: u64, alive: &[i32]) {
        for _ in 0..ms / 50 {
            self.ms += 50;
            for id in alive {
                self.beat(*id, false);
            }
            let mut out = Vec::new();
            self.controller.tick(at(self.ms), &mut self.disk, &mut out);
            self.take(out);
        }
    }

    /// A process registers whose last one was killed.
    pub(super) fn register(&mut self, id: i32, incarnation: u128) -> BrokerRegistrationResponse {
        self.register_after(id, incarnation, -1)
    }

    /// A process registers that knows the epoch of the last one, which has stopped in an orderly way.
    pub(super) fn register_after(
        &mut self,
        id: i32,
        incarnation: u128,
        previous_epoch: i64,
    ) -> BrokerRegistrationResponse {
        let listener = |name, port| {
            let listener = Listener::default().with_name(StrBytes::from_static_str(name));
            listener.with_host(StrBytes::from_static_str("localhost")).with_port(port)
        };
        let request = BrokerRegistrationRequest::default()
            .with_broker_id(BrokerId(id))
            .with_cluster_id(StrBytes::from_string(self.config.cluster_id.clone()))
            .with_incarnation_id(Uuid::from_u128(incarnation))
            .with_previous_broker_epoch(previous_epoch)
            .with_listeners(vec![listener(CLIENT_LISTENER, 9000), listener(INTERNAL_LISTENER, 9001)]);
        match self.ask(request) {
            ControllerResponse::BrokerRegistration(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// A heartbeat of a broker that has read all of the metadata log.
    pub(super) fn beat(&mut self, id: i32, stop: bool) -> BrokerHeartbeatResponse {
        let offset = self.controller.image().next_offset().0 - 1;
        self.beat_at(id, offset, stop)
    }

    pub(super) fn beat_at(&mut self, id: i32, offset: i64, stop: bool) -> BrokerHeartbeatResponse {
        let request = BrokerHeartbeatRequest::default()
            .with_broker_id(BrokerId(id))
            .with_broker_epoch(self.epoch(id))
            .with_current_metadata_offset(offset)
            .with_want_shut_down(stop);
        match self.ask(request) {
            ControllerResponse::BrokerHeartbeat(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// Registers and unfences.
    pub(super) fn join(&mut self, id: i32, incarnation: u128) {
        assert_eq!(self.register(id, incarnation).error_code, 0);
        assert!(!self.beat(id, false).is_fenced);
    }

    pub(super) fn epoch(&self, id: i32) -> i64 {
        self.controller.image().broker(NodeId(id)).map_or(-1, |broker| broker.epoch.0)
    }

    pub(super) fn create(&mut self, name: &str, partitions: i32, replicas: i16) -> i16 {
        self.create_with(name, partitions, replicas, &[]).topics[0].error_code
    }

    pub(super) fn create_with(
        &mut self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) -> CreateTopicsResponse {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*key).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
            .with_configs(configs.collect());
        match self.ask(CreateTopicsRequest::default().with_topics(vec![topic])) {
            ControllerResponse::CreateTopics(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn topic_id(&self, name: &str) -> TopicId {
        self.controller.image().topic_named(name).expect("the topic exists").id
    }

    pub(super) fn state(&self, name: &str, partition: i32) -> PartitionState {
        let topic = self.controller.image().topic_named(name).expect("the topic exists");
        topic.partitions[&PartitionId(partition)].state.clone()
    }

    /// `leader`, with epochs as given, proposes an in-sync set; members are given with the epochs of their registrations.
    pub(super) fn alter(
        &mut self,
        leader: i32,
        name: &str,
        (leader_epoch, partition_epoch): (i32, i32),
        isr: &[i32],
    ) -> AlterPartitionResponse {
        let members = isr.iter().map(|id| (*id, self.epoch(*id))).collect::<Vec<_>>();
        self.alter_with(leader, name, (leader_epoch, partition_epoch), &members)
    }

    pub(super) fn alter_with(
        &mut self,
        leader: i32,
        name: &str,
        (leader_epoch, partition_epoch): (i32, i32),
        isr: &[(i32, i64)],
    ) -> AlterPartitionResponse {
        let member = |(id, epoch): &(i32, i64)| {
            Member::default().with_broker_id(BrokerId(*id)).with_broker_epoch(*epoch)
        };
        let partition = PartitionData::default()
            .with_leader_epoch(leader_epoch)
            .with_partition_epoch(partition_epoch)
            .with_new_isr_with_epochs(isr.iter().map(member).collect());
        let topic =
            TopicData::default().with_topic_id(self.topic_id(name).0).with_partitions(vec![partition]);
        let request = AlterPartitionRequest::default()
            .with_broker_id(BrokerId(leader))
            .with_broker_epoch(self.epoch(leader))
            .with_topics(vec![topic]);
        match self.ask(request) {
            ControllerResponse::AlterPartition(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn fetch_request(from: i64, last_epoch: i32, wait_ms: i32) -> FetchRequest {
        let partition = FetchPartition::default().with_fetch_offset(from).with_last_fetched_epoch(last_epoch);
        let topic = FetchTopic::default().with_topic_id(TopicId::METADATA.0).with_partitions(vec![partition]);
        FetchRequest::default().with_max_wait_ms(wait_ms).with_max_bytes(1 << 20).with_topics(vec![topic])
    }

    pub(super) fn fetch(&mut self, from: i64, last_epoch: i32) -> FetchResponse {
        match self.ask(Self::fetch_request(from, last_epoch, 0)) {
            ControllerResponse::Fetch(response) => response,
            other => panic!("{other:?}"),
        }
    }

    /// The image of a broker that reads the whole log.
    pub(super) fn replayed(&mut self) -> MetadataImage {
        let mut image = MetadataImage::default();
        while image.next_offset() < self.controller.quorum().high_watermark() {
            let response = self.fetch(image.next_offset().0, image.epoch().0);
            let records = response.responses[0].partitions[0].records.clone().expect("records");
            apply_batches(&mut image, records, &mut ImageDelta::default()).expect("the log replays");
        }
        image
    }

    /// All records of the log.
    pub(super) fn records(&mut self) -> Vec<(Offset, MetadataRecord)> {
        let mut records = Vec::new();
        let end = self.controller.quorum().high_watermark();
        while (records.len() as i64) < end.0 {
            let response = self.fetch(records.len() as i64, -1);
            let bytes = response.responses[0].partitions[0].records.clone().expect("records");
            for record in batches(bytes).flat_map(|batch| batch.unwrap().records().unwrap()) {
                let record = record.unwrap();
                records.push((record.offset, MetadataRecord::decode(&record.value.unwrap()).unwrap()));
            }
        }
        records
    }

    /// All that is wrong with the log.
    pub(super) fn violations(&mut self) -> Vec<String> {
        let mut audit = MetadataAudit::new(self.config.unclean_leader_election);
        let found = self.controller.audit(&mut audit, &mut self.disk).expect("the log is readable");
        assert_eq!(audit.image(), self.controller.image());
        found.iter().map(ToString::to_string).collect()
    }
}

/// A partition's state, to compare with: leader, in-sync set, leader epoch, partition epoch.
pub(super) fn state(leader: i32, isr: &[i32], leader_epoch: i32, partition_epoch: i32) -> PartitionState {
    PartitionState {
        isr: isr.iter().map(|id| NodeId(*id)).collect(),
        elr: Vec::new(),
        leader: NodeId(leader),
        leader_epoch: crate::ids::LeaderEpoch(leader_epoch),
        partition_epoch,
    }
}
