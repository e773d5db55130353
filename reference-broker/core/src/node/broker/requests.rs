//! Requests of clients and other brokers: who answers which.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::{RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use crate::coordinator::GroupRequest;
use crate::ids::ConnId;
use crate::node::Role;
use crate::node::connections::ReplyTo;
use crate::transaction::{TRANSACTION_FEATURE, TransactionRequest};
use crate::wire::{self, Body, Door};

use super::{Broker, Turn};

/// How long the controllers may take for a request that does not say it itself.
const ADMIN_TIMEOUT_MS: i32 = 5_000;

impl Broker {
    /// Decodes a request and has it answered. What cannot be understood closes the connection.
    pub(super) fn request(&mut self, conn: ConnId, frame: Bytes, turn: &mut Turn<'_>) {
        let Some(listener) = self.connections.listener(conn) else { return };
        if frame.len() > self.config.request_max_bytes {
            tracing::warn!(
                ?conn,
                size = frame.len(),
                max = self.config.request_max_bytes,
                "closing: request too large"
            );
            return self.connections.close(conn, turn.effects);
        }
        let door = Door { role: Role::Broker, listener };
        let Some(frame) = self.connections.admit(conn, door, frame, turn.effects) else { return };
        let request = match wire::decode_request(door, frame) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(?conn, %error, "closing: bad request");
                return self.connections.close(conn, turn.effects);
            }
        };
        let asked = request.asked;
        let body = match request.body {
            Body::Known(body) => *body,
            Body::UnknownApiVersions => {
                let reply = self.connections.expect(conn, asked);
                return self.respond(
                    reply,
                    &api_versions(door, ResponseError::UnsupportedVersion.code()),
                    turn,
                );
            }
            Body::AncientProduce(produce) if produce.acks == 0 => {
                return self.connections.close(conn, turn.effects);
            }
            Body::AncientProduce(produce) => {
                let reply = self.connections.expect(conn, asked);
                let mut response = wire::response_header(asked, 64);
                produce.refusal(asked.version, &mut response);
                return self.connections.reply(reply, vec![response.freeze()], turn.effects);
            }
        };
        match body {
            // There is no response to wait for, nor a place for one in the order of the connection.
            RequestKind::Produce(body) if body.acks == 0 => {
                self.produce((body, asked.version), conn, None, turn);
            }
            body => {
                let reply = self.connections.expect(conn, asked);
                self.dispatch(body, door, conn, &request.client_id, reply, turn);
            }
        }
    }

    fn dispatch(
        &mut self,
        body: RequestKind,
        door: Door,
        conn: ConnId,
        client_id: &str,
        reply: ReplyTo,
        turn: &mut Turn<'_>,
    ) {
        let version = reply.asked.version;
        let response = match body {
            RequestKind::Produce(body) => return self.produce((body, version), conn, Some(reply), turn),
            RequestKind::Fetch(body) => return self.fetch(body, reply, turn),
            RequestKind::ListOffsets(body) => {
                ResponseKind::ListOffsets(self.list_offsets(&body, version, turn))
            }
            RequestKind::Metadata(body) => ResponseKind::Metadata(self.metadata(&body, version, turn)),
            RequestKind::ApiVersions(_) => with_features(api_versions(door, 0), version),
            RequestKind::CreateTopics(body) => return self.create_topics(body, reply, turn),
            RequestKind::DeleteRecords(body) => return self.delete_records(body, reply, turn),
            RequestKind::AlterConfigs(body) => return self.alter_configs(body, reply, turn),
            RequestKind::IncrementalAlterConfigs(body) => {
                return self.incremental_alter_configs(body, reply, turn);
            }
            RequestKind::DeleteTopics(body) => return self.delete_topics(body, version, reply, turn),
            RequestKind::CreatePartitions(body) => return self.create_partitions(body, reply, turn),
            RequestKind::InitProducerId(body) => return self.init_producer_id(body, reply, turn),
            RequestKind::AddPartitionsToTxn(body) => return self.add_partitions_to_txn(body, reply, turn),
            RequestKind::AddOffsetsToTxn(body) => return self.add_offsets_to_txn(body, reply, turn),
            RequestKind::EndTxn(body) => {
                return self.transaction_request(TransactionRequest::End(body), reply, turn);
            }
            RequestKind::TxnOffsetCommit(body) => {
                return self.txn_offset_commit(body, client_id, reply, turn);
            }
            RequestKind::WriteTxnMarkers(body) => return self.write_txn_markers(&body, reply, turn),
            RequestKind::OffsetForLeaderEpoch(body) => {
                ResponseKind::OffsetForLeaderEpoch(self.offset_for_leader_epoch(&body))
            }
            RequestKind::DescribeConfigs(body) => {
                ResponseKind::DescribeConfigs(self.describe_configs(&body, version))
            }
            RequestKind::DescribeCluster(body) => {
                ResponseKind::DescribeCluster(self.describe_cluster(&body, version))
            }
            RequestKind::DescribeTopicPartitions(body) => {
                ResponseKind::DescribeTopicPartitions(self.describe_topic_partitions(&body))
            }
            RequestKind::DescribeQuorum(body) => {
                return self.forward(ADMIN_TIMEOUT_MS, body.into(), reply, turn);
            }
            RequestKind::UnregisterBroker(body) => {
                return self.forward(ADMIN_TIMEOUT_MS, body.into(), reply, turn);
            }
            RequestKind::AlterPartitionReassignments(body) => {
                return self.forward(body.timeout_ms, body.into(), reply, turn);
            }
            RequestKind::ListPartitionReassignments(body) => {
                return self.forward(body.timeout_ms, body.into(), reply, turn);
            }
            RequestKind::ElectLeaders(body) => {
                return self.forward(body.timeout_ms, body.into(), reply, turn);
            }
            RequestKind::FindCoordinator(body) => {
                ResponseKind::FindCoordinator(self.find_coordinator(&body, version, turn))
            }
            RequestKind::JoinGroup(body) => {
                return self.group_request(GroupRequest::Join(body), client_id, reply, turn);
            }
            RequestKind::SyncGroup(body) => {
                return self.group_request(GroupRequest::Sync(body), client_id, reply, turn);
            }
            RequestKind::Heartbeat(body) => {
                return self.group_request(GroupRequest::Heartbeat(body), client_id, reply, turn);
            }
            RequestKind::LeaveGroup(body) => {
                return self.group_request(GroupRequest::Leave(body), client_id, reply, turn);
            }
            RequestKind::OffsetCommit(body) => {
                return self.group_request(GroupRequest::OffsetCommit(body), client_id, reply, turn);
            }
            RequestKind::OffsetFetch(body) => {
                return self.group_request(GroupRequest::OffsetFetch(body), client_id, reply, turn);
            }
            RequestKind::DescribeGroups(body) => {
                return self.group_request(GroupRequest::Describe(body), client_id, reply, turn);
            }
            RequestKind::ListGroups(body) => {
                return self.group_request(GroupRequest::List(body), client_id, reply, turn);
            }
            RequestKind::DeleteGroups(body) => {
                return self.group_request(GroupRequest::Delete(body), client_id, reply, turn);
            }
            RequestKind::OffsetDelete(body) => {
                return self.group_request(GroupRequest::OffsetDelete(body), client_id, reply, turn);
            }
            RequestKind::ConsumerGroupHeartbeat(body) => {
                return self.group_request(GroupRequest::ConsumerHeartbeat(body), client_id, reply, turn);
            }
            RequestKind::ConsumerGroupDescribe(body) => {
                return self.group_request(GroupRequest::ConsumerDescribe(body), client_id, reply, turn);
            }
            other => unreachable!("{other:?} is offered but not answered"),
        };
        self.respond(reply, &response, turn);
    }
}

/// What the whole cluster speaks, by name and level: clients look here for what is more than an API (KIP-584).
const FEATURES: &[(&str, i16)] = &[("group.version", 1), TRANSACTION_FEATURE];

/// Adds the features, which old versions have no place for.
fn with_features(response: ResponseKind, version: i16) -> ResponseKind {
    let ResponseKind::ApiVersions(response) = response else { return response };
    if version < 3 {
        return response.into();
    }
    let supported = FEATURES.iter().map(|(name, level)| {
        let name = StrBytes::from_static_str(name);
        // A minimum of 0 would be an error to clients before version 4 (KAFKA-17011).
        SupportedFeatureKey::default().with_name(name).with_min_version(1).with_max_version(*level)
    });
    let finalized = FEATURES.iter().map(|(name, level)| {
        let name = StrBytes::from_static_str(name);
        FinalizedFeatureKey::default()
            .with_name(name)
            .with_min_version_level(1)
            .with_max_version_level(*level)
    });
    response
        .with_supported_features(supported.collect())
        .with_finalized_features(finalized.collect())
        .with_finalized_features_epoch(0)
        .into()
}

/// The list of what this door offers.
pub(in crate::node) fn api_versions(door: Door, error: i16) -> ResponseKind {
    let keys = wire::advertised(door).iter().map(|offer| {
        ApiVersion::default()
            .with_api_key(offer.api as i16)
            .with_min_version(offer.min)
            .with_max_version(offer.max)
    });
    ResponseKind::ApiVersions(
        ApiVersionsResponse::default().with_error_code(error).with_api_keys(keys.collect()),
    )
}
