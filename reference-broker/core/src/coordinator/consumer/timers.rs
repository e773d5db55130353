//! What a group waits for that is not stored: its members' lives, and the step under way.

use std::collections::BTreeMap;

use super::member::MemberState;
use super::partitions::Partitions;
use super::state::ConsumerGroup;
use crate::coordinator::config::CoordinatorConfig;
use crate::coordinator::journal::Turn;

/// How long to wait until late members are removed again after that could not be stored.
const RETRY_NS: u64 = 500_000_000;

/// Until when a member is given to let go of partitions.
#[derive(Clone, Debug)]
struct Revocation {
    epoch: i32,
    revoking: Partitions,
    deadline_ns: u64,
}

/// The timers of one group.
#[derive(Debug, Default)]
pub(in crate::coordinator) struct Timers {
    /// Whether a step is being stored.
    pub(in crate::coordinator) stepping: bool,
    /// When members count as gone unless they are heard.
    sessions: BTreeMap<String, u64>,
    revocations: BTreeMap<String, Revocation>,
    not_before_ns: u64,
}

impl Timers {
    /// A member was heard.
    pub(super) fn touch(&mut self, member_id: &str, turn: &Turn<'_>) {
        let deadline_ns = turn.now_ns() + turn.config.consumer_session_timeout_ms * 1_000_000;
        self.sessions.insert(member_id.to_owned(), deadline_ns);
    }

    /// Begins and ends what the state asks for.
    pub(in crate::coordinator) fn follow(
        &mut self,
        group: Option<&ConsumerGroup>,
        config: &CoordinatorConfig,
        now_ns: u64,
    ) {
        let Some(group) = group else {
            self.sessions.clear();
            self.revocations.clear();
            return;
        };
        self.sessions.retain(|id, _| group.members.contains_key(id));
        let unrevoked = |id: &String| {
            group.members.get(id).filter(|member| member.current.state == MemberState::UnrevokedPartitions)
        };
        self.revocations.retain(|id, _| unrevoked(id).is_some());
        for (id, member) in &group.members {
            let session_ns = now_ns + config.consumer_session_timeout_ms * 1_000_000;
            self.sessions.entry(id.clone()).or_insert(session_ns);
            if unrevoked(id).is_none() {
                continue;
            }
            let current = &member.current;
            let known = self.revocations.get(id);
            if known.is_none_or(|one| one.epoch != current.epoch || one.revoking != current.revoking) {
                let timeout_ms = u64::try_from(member.subscription.rebalance_timeout_ms).unwrap_or(0);
                let deadline_ns = now_ns + timeout_ms * 1_000_000;
                let revocation =
                    Revocation { epoch: current.epoch, revoking: current.revoking.clone(), deadline_ns };
                self.revocations.insert(id.clone(), revocation);
            }
        }
    }

    /// A step could not be stored: nothing is tried for a while.
    pub(super) fn pause(&mut self, now_ns: u64) {
        self.not_before_ns = now_ns + RETRY_NS;
    }

    /// Members whose time is over.
    pub(super) fn late(&self, now_ns: u64) -> Vec<String> {
        let sessions = self.sessions.iter().filter(|(_, due_ns)| **due_ns <= now_ns).map(|(id, _)| id);
        let revocations =
            self.revocations.iter().filter(|(_, one)| one.deadline_ns <= now_ns).map(|(id, _)| id);
        let late: std::collections::BTreeSet<&String> = sessions.chain(revocations).collect();
        late.into_iter().cloned().collect()
    }

    /// When somebody's time is over next; never while a step is under way.
    pub(in crate::coordinator) fn next_ns(&self) -> u64 {
        if self.stepping {
            return u64::MAX;
        }
        let revocations = self.revocations.values().map(|one| one.deadline_ns);
        let next_ns = self.sessions.values().copied().chain(revocations).min();
        next_ns.map_or(u64::MAX, |next_ns| next_ns.max(self.not_before_ns))
    }
}
