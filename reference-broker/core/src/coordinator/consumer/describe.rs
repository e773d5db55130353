//! ConsumerGroupDescribe, and the topics that a group needs.

use std::collections::BTreeSet;

use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};

use super::assignor::Assignor;
use super::member::ConsumerMember;
use super::partitions::{Partitions, by_topic};
use super::state::ConsumerGroup;
use super::subscription::Topics;
use crate::coordinator::message::TopicView;
use crate::coordinator::response::text;

/// "Not asked for", where a set of allowed operations would stand (KIP-430).
const NO_OPERATIONS: i32 = i32::MIN;
/// Of a member that speaks the consumer protocol (KIP-1099).
const CONSUMER: i8 = 1;
/// The first version that tells the type of a member.
const MEMBER_TYPE_SINCE: i16 = 1;

impl ConsumerGroup {
    /// As told to an admin.
    pub(in crate::coordinator) fn describe(&self, view: &dyn TopicView, version: i16) -> DescribedGroup {
        let votes = self.members.values().filter_map(|member| member.subscription.assignor.as_deref());
        let members = self.members.iter().map(|(id, member)| self.describe_member(id, member, view, version));
        DescribedGroup::default()
            .with_group_state(text(self.state_name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.assignment_epoch)
            .with_assignor_name(text(Assignor::preferred(votes).name()))
            .with_members(members.collect())
            .with_authorized_operations(NO_OPERATIONS)
    }

    fn describe_member(
        &self,
        member_id: &str,
        member: &ConsumerMember,
        view: &dyn TopicView,
        version: i16,
    ) -> Member {
        let (subscription, current) = (&member.subscription, &member.current);
        let topics = subscription.topics.iter().map(|topic| TopicName(text(topic)));
        Member::default()
            .with_member_id(text(member_id))
            .with_instance_id(subscription.instance_id.as_deref().map(text))
            .with_rack_id(subscription.rack_id.as_deref().map(text))
            .with_member_epoch(current.epoch)
            .with_client_id(text(&subscription.client_id))
            .with_client_host(text(&subscription.client_host))
            .with_subscribed_topic_names(topics.collect())
            .with_subscribed_topic_regex(subscription.regex.as_deref().map(text))
            .with_assignment(named(&current.assigned, view))
            .with_target_assignment(named(&self.target(member_id), view))
            .with_member_type(if version >= MEMBER_TYPE_SINCE { CONSUMER } else { -1 })
    }

    /// All topics that members subscribe to.
    pub(in crate::coordinator) fn subscribed_topics(&self, view: &dyn TopicView) -> BTreeSet<String> {
        Topics::all_names(self, view)
    }
}

/// Partitions of topics that exist.
fn named(partitions: &Partitions, view: &dyn TopicView) -> Assignment {
    let topics = by_topic(partitions).into_iter().filter_map(|(topic, indexes)| {
        let name = view.name(topic)?;
        let of_topic =
            TopicPartitions::default().with_topic_id(topic.0).with_topic_name(TopicName(text(&name)));
        Some(of_topic.with_partitions(indexes))
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
