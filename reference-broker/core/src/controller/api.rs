//! What brokers ask of the active controller, and what it answers: Kafka's own schemas.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    ApiKey, BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest,
    BrokerRegistrationResponse, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};

/// A body that is not what its key and version say.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("bad body of api key `{key}`, version `{version}`: {reason}")]
pub struct CodecError {
    /// The API key.
    pub key: i16,
    /// The version.
    pub version: i16,
    /// What the codec said.
    pub reason: String,
}

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
            /// The keys that a controller serves, each with the one version that brokers here speak.
            pub const APIS: &[(ApiKey, i16)] = &[$((ApiKey::$name, $version)),*];

            /// The key of this request.
            pub fn api_key(&self) -> ApiKey {
                match self { $(Self::$name(_) => ApiKey::$name),* }
            }

            /// The version in which brokers here send this request.
            pub fn version(&self) -> i16 {
                match self { $(Self::$name(_) => $version),* }
            }

            /// Writes the body, without a header.
            pub fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), CodecError> {
                let result = match self { $(Self::$name(body) => body.encode(out, version)),* };
                result.map_err(|error| CodecError { key: self.api_key() as i16, version, reason: error.to_string() })
            }

            /// Reads a body, without a header; `None` for a key that controllers do not serve.
            pub fn decode(key: ApiKey, version: i16, body: &mut Bytes) -> Option<Result<Self, CodecError>> {
                let result = match key {
                    $(ApiKey::$name => <$request>::decode(body, version).map(Self::$name),)*
                    _ => return None,
                };
                Some(result.map_err(|error| CodecError { key: key as i16, version, reason: error.to_string() }))
            }
        }

        impl ControllerResponse {
            /// The key of the request that this answers.
            pub fn api_key(&self) -> ApiKey {
                match self { $(Self::$name(_) => ApiKey::$name),* }
            }

            /// Writes the body, without a header.
            pub fn encode(&self, version: i16, out: &mut BytesMut) -> Result<(), CodecError> {
                let result = match self { $(Self::$name(body) => body.encode(out, version)),* };
                result.map_err(|error| CodecError { key: self.api_key() as i16, version, reason: error.to_string() })
            }

            /// Reads a body, without a header; `None` for a key that controllers do not serve.
            pub fn decode(key: ApiKey, version: i16, body: &mut Bytes) -> Option<Result<Self, CodecError>> {
                let result = match key {
                    $(ApiKey::$name => <$response>::decode(body, version).map(Self::$name),)*
                    _ => return None,
                };
                Some(result.map_err(|error| CodecError { key: key as i16, version, reason: error.to_string() }))
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
    /// Takes a block of producer ids (KIP-730).
    AllocateProducerIds(AllocateProducerIdsRequest => AllocateProducerIdsResponse), version 0;
    /// Tails the metadata log (KIP-595).
    Fetch(FetchRequest => FetchResponse), version 16;
}
