//! Errors, `NOT_CONTROLLER` above all, in the shape of each API.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AllocateProducerIdsResponse, AlterConfigsResponse, AlterPartitionReassignmentsResponse,
    AlterPartitionResponse, BrokerHeartbeatResponse, BrokerRegistrationResponse, CreatePartitionsResponse,
    CreateTopicsResponse, DeleteTopicsResponse, DescribeQuorumResponse, ElectLeadersResponse, FetchResponse,
    FetchSnapshotResponse, IncrementalAlterConfigsResponse, ListPartitionReassignmentsResponse,
    UnregisterBrokerResponse,
};

use super::api::{ControllerRequest, ControllerResponse};
use super::metadata_fetch;
use super::topics::asked_to_delete;
use crate::ids::{LeaderEpoch, NodeId};
use crate::quorum::chunk_response;

/// The answer of a voter that is not the active controller. Only what readers of the metadata log are answered has room to name
/// the one that is.
pub(super) fn not_controller(
    request: &ControllerRequest,
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
) -> ControllerResponse {
    match request {
        ControllerRequest::Fetch(_) => metadata_fetch::not_leader(leader, epoch).into(),
        ControllerRequest::FetchSnapshot(_) => {
            let error = ResponseError::NotLeaderOrFollower.code();
            chunk_response(leader, epoch, |partition| partition.with_error_code(error)).into()
        }
        other => refused(other, ResponseError::NotController),
    }
}

/// The answer that gives this error for all that was asked.
pub fn refused(request: &ControllerRequest, error: ResponseError) -> ControllerResponse {
    let error = error.code();
    match request {
        ControllerRequest::BrokerRegistration(_) => {
            BrokerRegistrationResponse::default().with_broker_epoch(-1).with_error_code(error).into()
        }
        ControllerRequest::BrokerHeartbeat(_) => {
            BrokerHeartbeatResponse::default().with_error_code(error).into()
        }
        ControllerRequest::AlterPartition(_) => {
            AlterPartitionResponse::default().with_error_code(error).into()
        }
        ControllerRequest::AllocateProducerIds(_) => {
            AllocateProducerIdsResponse::default().with_error_code(error).into()
        }
        ControllerRequest::DescribeQuorum(_) => {
            DescribeQuorumResponse::default().with_error_code(error).into()
        }
        ControllerRequest::UnregisterBroker(_) => {
            UnregisterBrokerResponse::default().with_error_code(error).into()
        }
        ControllerRequest::AlterPartitionReassignments(_) => {
            AlterPartitionReassignmentsResponse::default().with_error_code(error).into()
        }
        ControllerRequest::ListPartitionReassignments(_) => {
            ListPartitionReassignmentsResponse::default().with_error_code(error).into()
        }
        ControllerRequest::ElectLeaders(_) => ElectLeadersResponse::default().with_error_code(error).into(),
        ControllerRequest::CreateTopics(request) => {
            let refuse = |name| CreatableTopicResult::default().with_name(name).with_error_code(error);
            let topics = request.topics.iter().map(|topic| refuse(topic.name.clone())).collect();
            CreateTopicsResponse::default().with_topics(topics).into()
        }
        ControllerRequest::DeleteTopics(request) => {
            let refuse = |(name, id)| {
                DeletableTopicResult::default().with_name(name).with_topic_id(id).with_error_code(error)
            };
            let responses = asked_to_delete(request).map(refuse).collect();
            DeleteTopicsResponse::default().with_responses(responses).into()
        }
        ControllerRequest::CreatePartitions(request) => {
            let refuse = |name| CreatePartitionsTopicResult::default().with_name(name).with_error_code(error);
            let results = request.topics.iter().map(|topic| refuse(topic.name.clone())).collect();
            CreatePartitionsResponse::default().with_results(results).into()
        }
        ControllerRequest::AlterConfigs(request) => {
            let responses = request.resources.iter().map(|resource| {
                AlterConfigsResourceResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(error)
            });
            AlterConfigsResponse::default().with_responses(responses.collect()).into()
        }
        ControllerRequest::IncrementalAlterConfigs(request) => {
            let responses = request.resources.iter().map(|resource| {
                IncrementalResponse::default()
                    .with_resource_type(resource.resource_type)
                    .with_resource_name(resource.resource_name.clone())
                    .with_error_code(error)
            });
            IncrementalAlterConfigsResponse::default().with_responses(responses.collect()).into()
        }
        ControllerRequest::Fetch(_) => FetchResponse::default().with_error_code(error).into(),
        ControllerRequest::FetchSnapshot(_) => FetchSnapshotResponse::default().with_error_code(error).into(),
    }
}

/// Whether an answer says that another voter is the active controller.
pub(super) fn is_not_controller(response: &ControllerResponse) -> bool {
    let error = ResponseError::NotController.code();
    match response {
        ControllerResponse::BrokerRegistration(response) => response.error_code == error,
        ControllerResponse::BrokerHeartbeat(response) => response.error_code == error,
        ControllerResponse::AlterPartition(response) => response.error_code == error,
        ControllerResponse::AllocateProducerIds(response) => response.error_code == error,
        ControllerResponse::DescribeQuorum(response) => response.error_code == error,
        ControllerResponse::UnregisterBroker(response) => response.error_code == error,
        ControllerResponse::ElectLeaders(response) => response.error_code == error,
        ControllerResponse::AlterPartitionReassignments(response) => response.error_code == error,
        ControllerResponse::ListPartitionReassignments(response) => response.error_code == error,
        ControllerResponse::CreateTopics(response) => response.topics.iter().any(|it| it.error_code == error),
        ControllerResponse::DeleteTopics(response) => {
            response.responses.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::CreatePartitions(response) => {
            response.results.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::AlterConfigs(response) => {
            response.responses.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::IncrementalAlterConfigs(response) => {
            response.responses.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::Fetch(_) | ControllerResponse::FetchSnapshot(_) => {
            leader_elsewhere(response).is_some()
        }
    }
}

/// If the answer says that another voter leads the metadata log: which one, or [`NodeId::NONE`] if it does not know.
pub(super) fn leader_elsewhere(response: &ControllerResponse) -> Option<NodeId> {
    let (error, leader) = match response {
        ControllerResponse::Fetch(response) => {
            let partition = response.responses.first()?.partitions.first()?;
            (partition.error_code, partition.current_leader.leader_id)
        }
        ControllerResponse::FetchSnapshot(response) => {
            let chunk = response.topics.first()?.partitions.first()?;
            (chunk.error_code, chunk.current_leader.leader_id)
        }
        _ => return None,
    };
    (error == ResponseError::NotLeaderOrFollower.code()).then_some(NodeId(leader.0))
}
