//! The controllers' word, carried out: which partitions this broker holds, and in which role.

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_request::{
    AlterPartitionRequest, BrokerState, PartitionData, TopicData,
};
use kafka_protocol::messages::alter_partition_response::AlterPartitionResponse;
use kafka_protocol::messages::{BrokerId, RequestKind, ResponseKind};

use crate::controller::channel::ChannelEffect;
use crate::controller::{
    ControllerResponse, ImageDelta, PartitionImage, PartitionState, TopicId, TopicImage, TopicPartitionId,
};
use crate::defects::{Defect, Defects};
use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionId};
use crate::log::{LogConfig, PartitionLog};
use crate::node::connections::ReplyTo;
use crate::node::dialled::Purpose;
use crate::replication::{Partition, PartitionSettings, Transition};
use crate::wire::Asked;

use super::strays::directory;
use super::{Broker, NS_PER_MS, Turn, is_internal, topics};

/// What an answer of the controller is for.
#[derive(Debug)]
pub(super) enum Call {
    /// A client's request.
    Forwarded { reply: ReplyTo, on_timeout: Box<ResponseKind> },
    /// A topic that a client has named.
    AutoCreate { topic: String },
    /// A block of producer ids.
    ProducerIds,
    /// An in-sync set.
    InSyncSet { id: TopicPartitionId, leader_epoch: LeaderEpoch, partition_epoch: i32 },
}

impl Broker {
    pub(super) fn carry_out(&mut self, effects: Vec<ChannelEffect>, turn: &mut Turn<'_>) {
        for effect in effects {
            match effect {
                ChannelEffect::Dial { kind, node, endpoint } => {
                    self.dialled.dial(Purpose::Controller(kind), node, endpoint, turn.effects);
                }
                ChannelEffect::Close { kind } => self.dialled.close(Purpose::Controller(kind), turn.effects),
                ChannelEffect::Send { kind, request } => {
                    let asked = Asked { api: request.api_key(), version: request.version(), correlation: 0 };
                    let request = RequestKind::from(*request);
                    self.dialled.send(Purpose::Controller(kind), &request, asked, turn.effects);
                }
                ChannelEffect::Answer { call, response } => {
                    if let Some(call) = self.calls.remove(&call) {
                        self.call_ended(call, response.map(|response| *response), turn);
                    }
                }
                ChannelEffect::ImageChanged { delta } => self.image_changed(&delta, turn),
                ChannelEffect::ImageReset => self.image_reset(turn),
                ChannelEffect::Fenced { fenced } => tracing::info!(fenced, "told by the controller"),
                ChannelEffect::MayStop => self.stop("orderly stop", turn),
            }
        }
    }

    fn call_ended(&mut self, call: Call, response: Option<ControllerResponse>, turn: &mut Turn<'_>) {
        match (call, response) {
            (Call::Forwarded { reply, on_timeout }, response) => {
                let response = response.map_or(*on_timeout, ResponseKind::from);
                self.respond(reply, &topics::fit(response, reply.asked.version), turn);
            }
            (Call::AutoCreate { topic }, Some(ControllerResponse::CreateTopics(response))) => {
                for result in response.topics.iter().filter(|result| result.error_code != 0) {
                    tracing::info!(topic, error = result.error_code, "topic not created");
                }
            }
            (Call::AutoCreate { topic }, _) => tracing::info!(topic, "topic not created in time"),
            (Call::ProducerIds, Some(ControllerResponse::AllocateProducerIds(response))) => {
                self.producer_ids_came(Some(response), turn);
            }
            (Call::ProducerIds, _) => self.producer_ids_came(None, turn),
            (Call::InSyncSet { id, leader_epoch, partition_epoch }, response) => {
                let response = match response {
                    Some(ControllerResponse::AlterPartition(response)) => Some(response),
                    _ => None,
                };
                self.in_sync_set_answered(id, (leader_epoch, partition_epoch), response.as_ref(), turn);
            }
        }
    }

    /// The controllers' log is another one: no role that the old one gave holds any more. The logs stay.
    fn image_reset(&mut self, turn: &mut Turn<'_>) {
        tracing::warn!("the controllers' log has been replaced");
        let partitions: Vec<_> = self.partitions.iter().map(|(id, p)| (*id, p.topic().to_owned())).collect();
        for (id, topic) in partitions {
            self.unfollow(id);
            self.partition_lost(id, &topic, turn);
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.forget_role();
            }
            self.touched.insert(id);
        }
    }

    fn image_changed(&mut self, delta: &ImageDelta, turn: &mut Turn<'_>) {
        if !std::mem::replace(&mut self.strays_removed, true) {
            self.remove_strays(turn);
        }
        for topic in &delta.topics_removed {
            for partition in topic.partitions.keys() {
                self.drop_partition(
                    TopicPartitionId { topic: topic.id, partition: *partition },
                    &topic.name,
                    turn,
                );
            }
        }
        for node in &delta.brokers {
            self.broker_changed(*node, turn);
        }
        for id in &delta.partitions {
            self.partition_changed(*id, turn);
        }
        for topic in &delta.topics_changed {
            self.settings_changed(*topic);
        }
    }

    /// Another broker has registered, perhaps with another process: what its last one had is forgotten.
    fn broker_changed(&mut self, node: NodeId, turn: &mut Turn<'_>) {
        if let Some(broker) = self.channel.image().broker(node) {
            for partition in self.partitions.values_mut() {
                partition.follower_restarted(node, broker.epoch);
            }
        }
        // A deletion of records does not wait for a broker that is gone.
        self.touched.extend(self.partitions.keys().filter(|id| self.deletes.is_watched(**id)));
        self.leader_moved(node, turn);
    }

    fn partition_changed(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        let image = self.channel.image();
        let (Some(topic), Some(partition)) = (image.topic(id.topic), image.partition(id)) else { return };
        if !partition.replicas.contains(&self.config.node_id) {
            if self.partitions.contains_key(&id) {
                // It has moved to other brokers (KIP-455).
                let name = topic.name.clone();
                self.drop_partition(id, &name, turn);
            }
            return;
        }
        let (settings, name, partition_image) = (self.settings(topic), topic.name.clone(), partition.clone());
        if !self.partitions.contains_key(&id) {
            match self.open(id, &name, settings, turn) {
                Ok(partition) => self.partitions.insert(id, partition),
                Err(error) => {
                    let is_only_replica = partition_image.replicas.len() == 1;
                    return self.open_failed(id, &name, is_only_replica, &error, turn);
                }
            };
        }
        self.apply(id, &name, &partition_image, settings, turn);
    }

    fn apply(
        &mut self,
        id: TopicPartitionId,
        topic: &str,
        image: &PartitionImage,
        settings: PartitionSettings,
        turn: &mut Turn<'_>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        partition.set_settings(settings);
        let transition = partition.apply(image, turn.now.mono_ns);
        if transition == Transition::None {
            return;
        }
        // What is not flushed yet may not count as stored, and nothing but an append starts a flush.
        self.appended(id, turn);
        let PartitionState { leader, leader_epoch, .. } = image.state;
        match transition {
            Transition::Leader => {
                tracing::info!(topic, partition = id.partition.0, epoch = leader_epoch.0, "leads");
                self.unfollow(id);
                self.partition_won(id, topic, leader_epoch, turn);
            }
            Transition::Follower => {
                tracing::info!(
                    topic,
                    partition = id.partition.0,
                    epoch = leader_epoch.0,
                    leader = leader.0,
                    "follows"
                );
                self.follow(id, leader);
                self.partition_lost(id, topic, turn);
            }
            Transition::InSyncSet | Transition::None => {}
        }
    }

    /// The settings of a topic hold from now on.
    fn settings_changed(&mut self, topic: TopicId) {
        let Some(image) = self.channel.image().topic(topic) else { return };
        let (settings, config) = (self.settings(image), self.log_config(image));
        for (id, partition) in self.partitions.iter_mut().filter(|(id, _)| id.topic == topic) {
            partition.set_settings(settings);
            partition.log.configure(config);
            partition.advance_high_watermark();
            self.touched.insert(*id);
        }
    }

    fn log_config(&self, topic: &TopicImage) -> LogConfig {
        LogConfig { defects: self.settings(topic).defects, ..topic.log_config(&self.config) }
    }

    fn settings(&self, topic: &TopicImage) -> PartitionSettings {
        PartitionSettings {
            min_insync_replicas: topic.min_insync_replicas(self.config.min_insync_replicas).max(1) as usize,
            flush: topic.flush_policy(self.config.flush),
            defects: if is_internal(&topic.name) { Defects::NONE } else { self.config.defects },
        }
    }

    fn open(
        &mut self,
        id: TopicPartitionId,
        name: &str,
        settings: PartitionSettings,
        turn: &mut Turn<'_>,
    ) -> Result<Partition, crate::log::LogError> {
        let topic = self.channel.image().topic(id.topic);
        let config = topic.map(|topic| self.log_config(topic)).unwrap_or_default();
        let log = PartitionLog::open(&directory(name, id), config, turn.disk)?;
        let checkpoint = self.checkpoint.remove(&id).unwrap_or(Offset(0));
        Ok(Partition::new(id, name.to_owned(), self.config.node_id, log, settings, checkpoint))
    }

    fn drop_partition(&mut self, id: TopicPartitionId, topic: &str, turn: &mut Turn<'_>) {
        self.unfollow(id);
        self.flushes.forget(id);
        self.partition_lost(id, topic, turn);
        self.touched.insert(id);
        if let Some(partition) = self.partitions.remove(&id)
            && let Err(error) = partition.log.delete(turn.disk)
        {
            super::fail(&error, turn);
        }
    }

    /// Asks for smaller in-sync sets where followers have fallen behind, and again for what was not settled.
    pub(super) fn check_in_sync_sets(&mut self, turn: &mut Turn<'_>) {
        let lag_max_ns = self.config.replica_lag_time_max_ms * NS_PER_MS;
        if turn.now.mono_ns < self.next_isr_check_ns {
            return;
        }
        self.next_isr_check_ns = turn.now.mono_ns + lag_max_ns / 4;
        let Some(my_epoch) = self.channel.broker_epoch() else { return };
        let asked = |call: &Call| match call {
            Call::InSyncSet { id, .. } => Some(*id),
            _ => None,
        };
        let asked: BTreeSet<_> = self.calls.values().filter_map(asked).collect();
        let due = self.partitions.iter_mut().filter_map(|(id, partition)| {
            partition.propose_shrink(turn.now.mono_ns, lag_max_ns, my_epoch);
            (partition.proposal().is_some() && !asked.contains(id)).then_some(*id)
        });
        for id in due.collect::<Vec<_>>() {
            self.ask_for_in_sync_set(id, turn);
        }
    }

    /// Asks for larger in-sync sets where this follower has caught up. A fenced broker may not join (KIP-841).
    pub(super) fn expand_in_sync_sets(
        &mut self,
        ids: &[TopicPartitionId],
        follower: NodeId,
        turn: &mut Turn<'_>,
    ) {
        let Some(my_epoch) = self.channel.broker_epoch() else { return };
        if !self.channel.image().is_active(follower) && !self.config.defects.has(Defect::FencedJoinsIsr) {
            return;
        }
        for id in ids {
            if self
                .partitions
                .get_mut(id)
                .is_some_and(|partition| partition.propose_expand(follower, my_epoch))
            {
                self.ask_for_in_sync_set(*id, turn);
            }
        }
    }

    fn ask_for_in_sync_set(&mut self, id: TopicPartitionId, turn: &mut Turn<'_>) {
        let Some(partition) = self.partitions.get(&id) else { return };
        let Some(proposal) = partition.proposal() else { return };
        let state = partition.state();
        let isr = proposal.iter().map(|(node, epoch)| {
            BrokerState::default().with_broker_id(BrokerId(node.0)).with_broker_epoch(epoch.0)
        });
        let data = PartitionData::default()
            .with_partition_index(id.partition.0)
            .with_leader_epoch(state.leader_epoch.0)
            .with_new_isr_with_epochs(isr.collect())
            .with_partition_epoch(state.partition_epoch);
        let topic = TopicData::default().with_topic_id(id.topic.0).with_partitions(vec![data]);
        let call =
            Call::InSyncSet { id, leader_epoch: state.leader_epoch, partition_epoch: state.partition_epoch };
        tracing::info!(
            topic = partition.topic(),
            partition = id.partition.0,
            ?proposal,
            "asks for another in-sync set"
        );
        self.call(
            AlterPartitionRequest::default().with_topics(vec![topic]),
            self.config.replica_lag_time_max_ms,
            call,
            turn,
        );
    }

    /// Until it is known that a proposal was not carried out, it counts (KIP-497).
    fn in_sync_set_answered(
        &mut self,
        id: TopicPartitionId,
        asked_in: (LeaderEpoch, i32),
        response: Option<&AlterPartitionResponse>,
        turn: &mut Turn<'_>,
    ) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let state = partition.state();
        if (state.leader_epoch, state.partition_epoch) != asked_in || partition.proposal().is_none() {
            return;
        }
        let answer = response.and_then(|response| {
            let topics = response.topics.iter().filter(|topic| TopicId(topic.topic_id) == id.topic);
            topics
                .flat_map(|topic| &topic.partitions)
                .find(|answer| PartitionId(answer.partition_index) == id.partition)
        });
        let error = match (response, answer) {
            (None, _) => None,
            (Some(response), _) if response.error_code != 0 => Some(response.error_code),
            (Some(_), Some(answer)) => Some(answer.error_code),
            (Some(_), None) => None,
        };
        match (error.map(ResponseError::try_from_code), answer) {
            (Some(None), Some(answer)) => {
                let state = PartitionState {
                    isr: answer.isr.iter().map(|node| NodeId(node.0)).collect(),
                    leader: NodeId(answer.leader_id.0),
                    leader_epoch: LeaderEpoch(answer.leader_epoch),
                    partition_epoch: answer.partition_epoch,
                    ..partition.state().clone()
                };
                let new = PartitionImage::new(partition.replicas().to_vec(), state);
                let (topic, settings) = (partition.topic().to_owned(), partition.settings());
                self.apply(id, &topic, &new, settings, turn);
            }
            (Some(Some(ResponseError::IneligibleReplica | ResponseError::OperationNotAttempted)), _) => {
                partition.withdraw_proposal();
                self.touched.insert(id);
            }
            // It may or may not have been carried out: the proposal stays until the metadata log tells, or until the
            // next check of the in-sync sets asks again.
            _ => {}
        }
    }
}
