//! `NOT_CONTROLLER`, in the shape of each API.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    AllocateProducerIdsResponse, AlterPartitionResponse, BrokerHeartbeatResponse, BrokerRegistrationResponse,
    CreatePartitionsResponse, CreateTopicsResponse, DeleteTopicsResponse,
};

use super::api::{ControllerRequest, ControllerResponse};
use super::metadata_fetch;
use super::topics::asked_to_delete;
use crate::ids::{LeaderEpoch, NodeId};

/// The answer of a voter that is not the active controller. Only Fetch has room to name the one that is.
pub(super) fn not_controller(
    request: &ControllerRequest,
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
) -> ControllerResponse {
    let error = ResponseError::NotController.code();
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
        ControllerRequest::Fetch(_) => metadata_fetch::not_leader(leader, epoch).into(),
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
        ControllerResponse::CreateTopics(response) => response.topics.iter().any(|it| it.error_code == error),
        ControllerResponse::DeleteTopics(response) => {
            response.responses.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::CreatePartitions(response) => {
            response.results.iter().any(|it| it.error_code == error)
        }
        ControllerResponse::Fetch(response) => metadata_fetch::leader_elsewhere(response).is_some(),
    }
}
