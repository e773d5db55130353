//! What brokers ask of the active controller, and what it answers: Kafka's own schemas.

use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterConfigsRequest, AlterConfigsResponse,
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, AlterPartitionRequest,
    AlterPartitionResponse, ApiKey, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, ElectLeadersRequest, ElectLeadersResponse, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    RequestKind, ResponseKind, UnregisterBrokerRequest, UnregisterBrokerResponse,
};

macro_rules! apis {
    ($($(#[$doc:meta])* $name:ident($request:ty => $response:ty), version $version:literal;)*) => {
        /// A request of a broker to the active controller.
        #[derive(Clone, PartialEq, Debug)]
        pub enum ControllerRequest {
            $($(#[$doc])* $name($request),)*
        }

        /// The answer of a controller.
        #[derive(Clone, PartialEq, Debug)]
        pub enum ControllerResponse {
            $($(#[$doc])* $name($response),)*
        }

        impl ControllerRequest {
            /// The key of this request.
            pub fn api_key(&self) -> ApiKey {
                match self { $(Self::$name(_) => ApiKey::$name),* }
            }

            /// The version in which brokers here send this request.
            pub fn version(&self) -> i16 {
                match self { $(Self::$name(_) => $version),* }
            }
        }

        impl From<ControllerRequest> for RequestKind {
            fn from(request: ControllerRequest) -> Self {
                match request { $(ControllerRequest::$name(body) => Self::$name(body)),* }
            }
        }

        impl From<ControllerResponse> for ResponseKind {
            fn from(response: ControllerResponse) -> Self {
                match response { $(ControllerResponse::$name(body) => Self::$name(body)),* }
            }
        }

        impl TryFrom<RequestKind> for ControllerRequest {
            /// What is no business of a controller.
            type Error = Box<RequestKind>;

            fn try_from(request: RequestKind) -> Result<Self, Self::Error> {
                match request {
                    $(RequestKind::$name(body) => Ok(Self::$name(body)),)*
                    other => Err(Box::new(other)),
                }
            }
        }

        impl TryFrom<ResponseKind> for ControllerResponse {
            /// What no controller answers.
            type Error = Box<ResponseKind>;

            fn try_from(response: ResponseKind) -> Result<Self, Self::Error> {
                match response {
                    $(ResponseKind::$name(body) => Ok(Self::$name(body)),)*
                    other => Err(Box::new(other)),
                }
            }
        }

        $(impl From<$request> for ControllerRequest {
            fn from(body: $request) -> Self {
                Self::$name(body)
            }
        })*

        $(impl From<$response> for ControllerResponse {
            fn from(body: $response) -> Self {
                Self::$name(body)
            }
        })*
    };
}

apis! {
    /// Takes part in the cluster.
    BrokerRegistration(BrokerRegistrationRequest => BrokerRegistrationResponse), version 4;
    /// Is still alive.
    BrokerHeartbeat(BrokerHeartbeatRequest => BrokerHeartbeatResponse), version 1;
    /// Changes in-sync sets (KIP-497, KIP-903).
    AlterPartition(AlterPartitionRequest => AlterPartitionResponse), version 3;
    /// Creates topics.
    CreateTopics(CreateTopicsRequest => CreateTopicsResponse), version 7;
    /// Deletes topics.
    DeleteTopics(DeleteTopicsRequest => DeleteTopicsResponse), version 6;
    /// Adds partitions to topics.
    CreatePartitions(CreatePartitionsRequest => CreatePartitionsResponse), version 3;
    /// Says who votes on the metadata, and how far everybody is (KIP-595).
    DescribeQuorum(DescribeQuorumRequest => DescribeQuorumResponse), version 2;
    /// Forgets a broker that does not come back.
    UnregisterBroker(UnregisterBrokerRequest => UnregisterBrokerResponse), version 0;
    /// Elects preferred leaders, or unclean ones where nobody leads (KIP-460).
    ElectLeaders(ElectLeadersRequest => ElectLeadersResponse), version 2;
    /// Moves partitions to other brokers, or back (KIP-455).
    AlterPartitionReassignments(
        AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse
    ), version 1;
    /// Says which partitions move.
    ListPartitionReassignments(ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse), version 0;
    /// Replaces the settings of topics.
    AlterConfigs(AlterConfigsRequest => AlterConfigsResponse), version 2;
    /// Changes settings of topics (KIP-339).
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse), version 1;
    /// Takes a block of producer ids (KIP-730).
    AllocateProducerIds(AllocateProducerIdsRequest => AllocateProducerIdsResponse), version 0;
    /// Tails the metadata log (KIP-595).
    Fetch(FetchRequest => FetchResponse), version 15;
    /// Takes over a snapshot of the metadata (KIP-630).
    FetchSnapshot(FetchSnapshotRequest => FetchSnapshotResponse), version 0;
}
