//! What a member says to the coordinator of its group, and what it is told (the classic protocol).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broker_core::NodeId;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiKey, ConsumerProtocolAssignment, ConsumerProtocolSubscription, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    RequestKind, ResponseKind, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::metadata::{any_broker, topic_name};
use super::range::range;
use super::session::{Reply, Session};
use super::{ClientEvent, ClientTurn};
use crate::dice::Dice;
use crate::plan::MS;

const RETRY: u64 = 50 * MS;
/// The assignor that librdkafka and the Java client ask for first.
const ASSIGNOR: &str = "range";
/// Of the subscription and of the assignment.
const PROTOCOL_VERSION: i16 = 0;
/// No answer: the connection broke.
const TRANSPORT: i16 = -195;

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Coordinator,
    Join,
    Sync,
    Locate,
    Heartbeat,
    Commit,
    Leave,
}

/// What a member is told.
pub(crate) enum Heard {
    Joined(Generation),
    /// It is to join again with this id (KIP-394).
    NeedsId(StrBytes),
    Assigned(BTreeSet<i32>),
    /// Where the group left off, by partition.
    Located(BTreeMap<i32, Option<u64>>),
    Alive,
    /// The others join anew.
    Rebalance,
    /// An error code for each partition.
    Committed(BTreeMap<i32, i16>),
    Parted,
    Refused {
        asked: Asked,
        code: i16,
    },
}

/// One generation of a group, as a member knows it.
#[derive(Clone, Default)]
pub(crate) struct Generation {
    pub(crate) member_id: StrBytes,
    id: i32,
    /// Who subscribed to what; only the leader of the group is told.
    members: Vec<JoinGroupResponseMember>,
}

/// How long the coordinator waits for a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between two heartbeats.
    pub(crate) session: u64,
    /// To join again.
    pub(crate) rebalance: u64,
}

/// The conversation of one member with its coordinator.
pub(crate) struct GroupTalk {
    group: GroupId,
    topic: String,
    /// Partitions of each topic that members may read.
    partitions: BTreeMap<String, u32>,
    patience: Patience,
    session: Session<Asked>,
    dice: Dice,
    coordinator: Option<NodeId>,
    seeking: bool,
    seek_ns: u64,
}

impl GroupTalk {
    /// Of a member that reads `topic`. `session`: its connections to coordinators.
    pub(crate) fn new(
        group: &str,
        topic: &str,
        partitions: BTreeMap<String, u32>,
        patience: Patience,
        session: Session<Asked>,
        dice: Dice,
    ) -> Self {
        Self {
            group: group_id(group),
            topic: topic.to_owned(),
            partitions,
            patience,
            session,
            dice,
            coordinator: None,
            seeking: false,
            seek_ns: 0,
        }
    }

    /// Who coordinates the group; asks where that is not known.
    pub(crate) fn coordinator(&mut self, turn: &mut ClientTurn<'_>) -> Option<NodeId> {
        if self.coordinator.is_none() && !self.seeking && turn.now_ns >= self.seek_ns {
            self.seeking = true;
            let request = FindCoordinatorRequest::default().with_key(self.group.0.clone());
            let request = RequestKind::FindCoordinator(request);
            let node = any_broker(turn, &mut self.dice);
            self.session.request(node, ApiKey::FindCoordinator, 2, &request, Asked::Coordinator, turn);
        }
        self.coordinator
    }

    /// When to look again.
    pub(crate) fn next_wake_ns(&self) -> u64 {
        let seek = if self.coordinator.is_none() && !self.seeking { self.seek_ns } else { u64::MAX };
        seek.min(self.session.deadline_ns())
    }

    pub(crate) fn join(&mut self, to: NodeId, generation: &Generation, turn: &mut ClientTurn<'_>) {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_string(self.topic.clone())]);
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(StrBytes::from_static_str(ASSIGNOR))
            .with_metadata(versioned(&subscription));
        let request = JoinGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_session_timeout_ms((self.patience.session / MS) as i32)
            .with_rebalance_timeout_ms((self.patience.rebalance / MS) as i32)
            .with_member_id(generation.member_id.clone())
            .with_protocol_type(StrBytes::from_static_str("consumer"))
            .with_protocols(vec![protocol]);
        let request = RequestKind::JoinGroup(request);
        let timeout = self.patience.rebalance + self.patience.session;
        self.session.request_within(timeout, to, ApiKey::JoinGroup, 5, &request, Asked::Join, turn);
    }

    pub(crate) fn sync(&mut self, to: NodeId, generation: &Generation, turn: &mut ClientTurn<'_>) {
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(generation.id)
            .with_member_id(generation.member_id.clone())
            .with_assignments(self.assignments(&generation.members));
        let request = RequestKind::SyncGroup(request);
        self.session.request(to, ApiKey::SyncGroup, 3, &request, Asked::Sync, turn);
    }

    /// Shares the partitions out, topic by topic.
    fn assignments(&self, members: &[JoinGroupResponseMember]) -> Vec<SyncGroupRequestAssignment> {
        let subscribed: Vec<(&StrBytes, Vec<String>)> =
            members.iter().map(|member| (&member.member_id, topics_of(&member.metadata))).collect();
        let mut shares: BTreeMap<&StrBytes, Vec<TopicPartition>> = BTreeMap::new();
        for (topic, count) in &self.partitions {
            let readers: BTreeSet<&StrBytes> =
                subscribed.iter().filter(|(_, topics)| topics.contains(topic)).map(|(id, _)| *id).collect();
            for (reader, partitions) in readers.iter().zip(range(*count, readers.len())) {
                let share =
                    TopicPartition::default().with_topic(topic_name(topic)).with_partitions(partitions);
                shares.entry(*reader).or_default().push(share);
            }
        }
        let one = |member: &JoinGroupResponseMember| {
            let share = shares.get(&member.member_id).cloned().unwrap_or_default();
            SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone()).with_assignment(
                versioned(&ConsumerProtocolAssignment::default().with_assigned_partitions(share)),
            )
        };
        members.iter().map(one).collect()
    }

    pub(crate) fn locate(&mut self, to: NodeId, partitions: &BTreeSet<i32>, turn: &mut ClientTurn<'_>) {
        let request = RequestKind::OffsetFetch(committed_request(
            &self.group,
            &self.topic,
            partitions.iter().copied().collect(),
        ));
        self.session.request(to, ApiKey::OffsetFetch, OFFSET_FETCH_VERSION, &request, Asked::Locate, turn);
    }

    pub(crate) fn heartbeat(&mut self, to: NodeId, generation: &Generation, turn: &mut ClientTurn<'_>) {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id(generation.id)
            .with_member_id(generation.member_id.clone());
        let request = RequestKind::Heartbeat(request);
        self.session.request(to, ApiKey::Heartbeat, 3, &request, Asked::Heartbeat, turn);
    }

    pub(crate) fn commit(
        &mut self,
        to: NodeId,
        generation: &Generation,
        offsets: &BTreeMap<i32, u64>,
        turn: &mut ClientTurn<'_>,
    ) {
        let partition = |(partition, next): (&i32, &u64)| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*next as i64)
                .with_committed_metadata(Some(StrBytes::from_static_str("")))
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(topic_name(&self.topic))
            .with_partitions(offsets.iter().map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group.clone())
            .with_generation_id_or_member_epoch(generation.id)
            .with_member_id(generation.member_id.clone())
            .with_topics(vec![topic]);
        let request = RequestKind::OffsetCommit(request);
        self.session.request(to, ApiKey::OffsetCommit, 7, &request, Asked::Commit, turn);
    }

    pub(crate) fn leave(&mut self, to: NodeId, generation: &Generation, turn: &mut ClientTurn<'_>) {
        let member = MemberIdentity::default().with_member_id(generation.member_id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(self.group.clone()).with_members(vec![member]);
        let request = RequestKind::LeaveGroup(request);
        self.session.request(to, ApiKey::LeaveGroup, 3, &request, Asked::Leave, turn);
    }

    /// Takes what the network brings.
    pub(crate) fn take(&mut self, event: ClientEvent, turn: &mut ClientTurn<'_>) -> VecDeque<Heard> {
        let mut heard = VecDeque::new();
        for reply in self.session.take(event, turn) {
            match reply {
                Reply::Lost(asked) => heard.extend(self.failed(asked, TRANSPORT, turn.now_ns)),
                Reply::Answered(asked, response) => {
                    let answer = self.answered(*response);
                    heard.extend(match answer {
                        Ok(heard) => heard,
                        Err(code) => self.failed(asked, code, turn.now_ns),
                    });
                }
            }
        }
        heard
    }

    /// An error, or no answer at all.
    fn failed(&mut self, asked: Asked, code: i16, now_ns: u64) -> Option<Heard> {
        /// No answer; not available, not the coordinator.
        const SEEK: [i16; 3] = [TRANSPORT, 15, 16];
        const REBALANCE: i16 = 27;
        if asked == Asked::Coordinator {
            self.seeking = false;
            self.seek_ns = now_ns + RETRY;
            return None;
        }
        if SEEK.contains(&code) {
            self.coordinator = None;
        }
        match (asked, code) {
            (Asked::Heartbeat, REBALANCE) => Some(Heard::Rebalance),
            (asked, code) => Some(Heard::Refused { asked, code }),
        }
    }

    fn answered(&mut self, response: ResponseKind) -> Result<Option<Heard>, i16> {
        const MEMBER_ID_REQUIRED: i16 = 79;
        let ok = |code: i16| if code == 0 { Ok(()) } else { Err(code) };
        Ok(Some(match response {
            ResponseKind::FindCoordinator(response) => {
                ok(response.error_code)?;
                self.seeking = false;
                self.coordinator = Some(NodeId(response.node_id.0));
                return Ok(None);
            }
            ResponseKind::JoinGroup(response) => match response.error_code {
                MEMBER_ID_REQUIRED => Heard::NeedsId(response.member_id),
                code => {
                    ok(code)?;
                    let (member_id, members) = (response.member_id, response.members);
                    Heard::Joined(Generation { member_id, id: response.generation_id, members })
                }
            },
            ResponseKind::SyncGroup(response) => {
                ok(response.error_code)?;
                Heard::Assigned(self.share(response.assignment))
            }
            ResponseKind::OffsetFetch(response) => Heard::Located(committed_offsets(&response)?),
            ResponseKind::Heartbeat(response) => {
                ok(response.error_code)?;
                Heard::Alive
            }
            ResponseKind::OffsetCommit(response) => {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                let codes: BTreeMap<i32, i16> =
                    partitions.map(|one| (one.partition_index, one.error_code)).collect();
                // An error of the coordinator as a whole stands at each partition.
                match codes.values().find(|code| [15, 16, 22, 25].contains(*code)) {
                    Some(code) => return Err(*code),
                    None => Heard::Committed(codes),
                }
            }
            ResponseKind::LeaveGroup(_) => Heard::Parted,
            _ => return Ok(None),
        }))
    }

    /// The partitions of this member's topic that it was given.
    fn share(&self, mut assignment: Bytes) -> BTreeSet<i32> {
        if assignment.len() < 2 {
            return BTreeSet::new();
        }
        let version = assignment.get_i16();
        let decoded = ConsumerProtocolAssignment::decode(&mut assignment, version).unwrap_or_default();
        let mine = decoded.assigned_partitions.iter().filter(|share| *share.topic.0 == self.topic);
        mine.flat_map(|share| share.partitions.iter().copied()).collect()
    }
}

pub(crate) fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

/// The version of [`committed_request`] and its answer.
pub(crate) const OFFSET_FETCH_VERSION: i16 = 5;

/// Asks where a group left off.
pub(crate) fn committed_request(group: &GroupId, topic: &str, partitions: Vec<i32>) -> OffsetFetchRequest {
    let topic =
        OffsetFetchRequestTopic::default().with_name(topic_name(topic)).with_partition_indexes(partitions);
    OffsetFetchRequest::default().with_group_id(group.clone()).with_topics(Some(vec![topic]))
}

/// Where a group left off, by partition; or the error.
pub(crate) fn committed_offsets(
    response: &kafka_protocol::messages::OffsetFetchResponse,
) -> Result<BTreeMap<i32, Option<u64>>, i16> {
    if response.error_code != 0 {
        return Err(response.error_code);
    }
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|one| match one.error_code {
            0 => Ok((one.partition_index, u64::try_from(one.committed_offset).ok())),
            code => Err(code),
        })
        .collect()
}

/// A message of the consumers' own protocol, with its version before it.
fn versioned(message: &impl Encodable) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(PROTOCOL_VERSION);
    message.encode(&mut bytes, PROTOCOL_VERSION).unwrap_or_else(|error| panic!("consumer protocol: {error}"));
    bytes.freeze()
}

fn topics_of(metadata: &Bytes) -> Vec<String> {
    let mut metadata = metadata.clone();
    if metadata.len() < 2 {
        return Vec::new();
    }
    let version = metadata.get_i16();
    let decoded = ConsumerProtocolSubscription::decode(&mut metadata, version).unwrap_or_default();
    decoded.topics.iter().map(ToString::to_string).collect()
}
