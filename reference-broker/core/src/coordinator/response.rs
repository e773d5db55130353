//! Small parts of responses.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    HeartbeatResponse, JoinGroupResponse, LeaveGroupResponse, OffsetCommitResponse, SyncGroupResponse,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::message::GroupResponse;

/// A string of the wire.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The error code of the wire; 0 is success.
pub(super) fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}

/// The protocol name of a JoinGroup response: null only since version 7.
pub(super) fn protocol_name(name: Option<&str>, version: i16) -> Option<StrBytes> {
    match name {
        None if version < 7 => Some(StrBytes::new()),
        name => name.map(text),
    }
}

pub(super) fn join_refused(error: ResponseError, member_id: &str, version: i16) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_protocol_name(protocol_name(None, version))
        .with_member_id(text(member_id))
}

pub(super) fn sync_refused(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}

pub(super) fn heartbeat(result: Result<(), ResponseError>) -> HeartbeatResponse {
    HeartbeatResponse::default().with_error_code(code(result))
}

pub(super) fn leave_refused(error: ResponseError) -> LeaveGroupResponse {
    LeaveGroupResponse::default().with_error_code(error.code())
}

/// The answer to a commit of offsets, inside a transaction or not.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum CommitResponse {
    Plain(OffsetCommitResponse),
    Transactional(TxnOffsetCommitResponse),
}

impl CommitResponse {
    /// Marks all offsets that were about to be accepted.
    pub(super) fn fail(&mut self, error: ResponseError) {
        let mark = |code: &mut i16| {
            if *code == 0 {
                *code = error.code();
            }
        };
        match self {
            Self::Plain(response) => {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| mark(&mut partition.error_code));
            }
            Self::Transactional(response) => {
                let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| mark(&mut partition.error_code));
            }
        }
    }
}

impl From<CommitResponse> for GroupResponse {
    fn from(response: CommitResponse) -> Self {
        match response {
            CommitResponse::Plain(response) => Self::OffsetCommit(response),
            CommitResponse::Transactional(response) => Self::TxnOffsetCommit(response),
        }
    }
}
