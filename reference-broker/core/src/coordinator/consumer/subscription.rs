//! What members subscribe to, as topics that exist.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use regex::Regex;

use super::member::Subscription;
use super::state::ConsumerGroup;
use crate::controller::TopicId;
use crate::coordinator::message::TopicView;

/// The topics of a group, resolved at one moment.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// Id and partitions of all topics that somebody subscribes to, by name.
    found: BTreeMap<String, (TopicId, i32)>,
    /// The names that each expression stands for.
    matched: BTreeMap<String, BTreeSet<String>>,
}

impl Topics {
    /// Looks all subscriptions of a group up.
    pub(super) fn of(group: &ConsumerGroup, view: &dyn TopicView) -> Self {
        let mut topics = Self::default();
        for member in group.members.values() {
            let subscription = &member.subscription;
            if let Some(regex) =
                subscription.regex.as_ref().filter(|regex| !topics.matched.contains_key(*regex))
            {
                topics.matched.insert(regex.clone(), matching(regex, view));
            }
            for name in topics.names(subscription) {
                if let Some(topic) = view.topic(&name) {
                    topics.found.insert(name, topic);
                }
            }
        }
        topics
    }

    fn names(&self, subscription: &Subscription) -> BTreeSet<String> {
        let matched = subscription.regex.as_ref().and_then(|regex| self.matched.get(regex));
        subscription.topics.iter().chain(matched.into_iter().flatten()).cloned().collect()
    }

    /// The topics of one member that exist.
    pub(super) fn ids(&self, subscription: &Subscription) -> BTreeSet<TopicId> {
        let names = self.names(subscription);
        names.iter().filter_map(|name| self.found.get(name)).map(|(id, _)| *id).collect()
    }

    /// The partitions of each topic.
    pub(super) fn counts(&self) -> BTreeMap<TopicId, i32> {
        self.found.values().copied().collect()
    }

    /// All names that are subscribed to.
    pub(super) fn all_names(group: &ConsumerGroup, view: &dyn TopicView) -> BTreeSet<String> {
        let topics = Self::of(group, view);
        group.members.values().flat_map(|member| topics.names(&member.subscription)).collect()
    }

    /// A number that is another one when a topic comes, goes, or grows (KIP-1101); FNV-1a, 0 for no topics.
    pub(super) fn hash(&self) -> i64 {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for (name, (id, count)) in &self.found {
            let name = name.bytes().chain([0]);
            for byte in name.chain(*id.0.as_bytes()).chain(count.to_be_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        if self.found.is_empty() { 0 } else { hash as i64 }
    }
}

/// Compiles an expression, which has to match whole names.
fn compile(expression: &str) -> Result<Regex, ResponseError> {
    Regex::new(&format!("^(?:{expression})$")).map_err(|_| ResponseError::InvalidRegularExpression)
}

/// Whether an expression can be understood.
pub(super) fn check_regex(expression: &str) -> Result<(), ResponseError> {
    compile(expression).map(|_| ())
}

fn matching(expression: &str, view: &dyn TopicView) -> BTreeSet<String> {
    let Ok(regex) = compile(expression) else { return BTreeSet::new() };
    view.names().into_iter().filter(|name| regex.is_match(name)).collect()
}
