//! A group member: hands messages on, settles and commits. A thread of its own ([`Member`]) keeps it in its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_core::history::{MemberChange, Outcome};
use mqproof_core::plan::ConsumerPlan;

use super::cluster::Cluster;
use super::inbox::{Inbox, Next};
use super::member::{Event, Member};
use super::membership::Membership;
use super::outcome::{NO_ANSWER, class, classify_commit};
use super::settings::ConsumerSettings;
use super::{instance, wait_for_route};
use crate::Connection;
use crate::clock::monotonic_ns;
use crate::library_log::LibraryLog;
use crate::role::{CommitEnd, Consumer, DriverError, GroupObserver, Handled, Received};

/// How long the answer to a commit may take.
const COMMIT_WITHIN: Duration = Duration::from_secs(5);
/// How long asking for the queues of a topic may take.
const QUEUES_WITHIN: Duration = Duration::from_secs(10);
/// How long leaving the group may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// A member of a group on one topic.
pub(super) struct RocketmqConsumer {
    connection: Connection,
    group: String,
    topic: String,
    settings: ConsumerSettings,
    observer: Arc<dyn GroupObserver>,
    log: LibraryLog,
    inbox: Arc<Inbox>,
    /// To the thread; it runs from the subscription on.
    member: Option<Sender<Event>>,
    generation: u64,
    assigned: BTreeSet<u16>,
    /// Settled and not yet committed, as the next offset to read.
    settled: BTreeMap<u16, u64>,
}

impl RocketmqConsumer {
    pub(super) fn new(
        connection: &Connection,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
        log: LibraryLog,
    ) -> Self {
        Self {
            connection: connection.clone(),
            group: plan.group.clone(),
            topic: plan.topic.clone(),
            settings: ConsumerSettings::new(connection, plan),
            observer,
            log,
            inbox: Arc::default(),
            member: None,
            generation: 0,
            assigned: BTreeSet::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Takes note of a new assignment. What was settled of lost partitions is another member's now: a broker takes any
    /// member's word, so a late one would set the new owner back. Where queues are locked, there is no new owner until the
    /// progress is told.
    fn assign(&mut self, generation: u64, assigned: BTreeSet<u16>) {
        let session = generation as u16;
        if self.settings.is_orderly {
            let lost = self.assigned.difference(&assigned).copied().collect::<Vec<_>>();
            if !lost.is_empty() {
                self.commit_and_wait();
            }
            if let Some(member) = &self.member {
                for partition in lost {
                    let _ = member.send(Event::Released(partition));
                }
            }
        }
        for &partition in self.assigned.difference(&assigned) {
            self.observer.member(MemberChange::Revoke, partition, self.generation as u16);
            self.settled.remove(&partition);
        }
        for &partition in assigned.difference(&self.assigned) {
            self.observer.member(MemberChange::Assign, partition, session);
        }
        self.generation = generation;
        self.assigned = assigned;
    }
}

impl Consumer for RocketmqConsumer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        wait_for_route(&Cluster::new(&self.connection), &self.topic, Instant::now() + timeout).map(drop)
    }

    fn subscribe(&mut self) -> Result<(), DriverError> {
        let cluster = Cluster::new(&self.connection);
        let queues = wait_for_route(&cluster, &self.topic, Instant::now() + QUEUES_WITHIN)?;
        let membership = Membership {
            client_id: format!("mqproof@{}#{}", std::process::id(), instance()),
            group: self.group.clone(),
            topic: self.topic.clone(),
            settings: self.settings,
            queues,
        };
        let inbox = Arc::clone(&self.inbox);
        let (member, events) = Member::new(&self.connection, membership, inbox, self.log.clone());
        thread::spawn(move || member.run());
        self.member = Some(events);
        Ok(())
    }

    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>) -> Handled,
    ) -> usize {
        let mut until = Instant::now() + timeout;
        for count in 0..max {
            let (partition, message) = match self.inbox.next(self.generation, until) {
                Next::Message(partition, message) => (partition, message),
                Next::Assigned(generation, assigned) if count == 0 => {
                    self.assign(generation, assigned);
                    return 0;
                }
                Next::Assigned(..) | Next::Nothing => return count,
            };
            let received = Received {
                partition,
                offset: message.queue_offset,
                redelivered: false,
                settlement: message.queue_offset + 1,
                key: message.key.as_deref(),
                payload: &message.body,
            };
            if handle(&received) == Handled::Settled {
                self.settled.insert(partition, received.settlement);
            }
            // What is there already, without waiting.
            until = Instant::now();
        }
        max
    }

    fn rebalances(&self) -> u64 {
        self.generation
    }

    fn settle(&mut self, partition: u16, settlement: u64) {
        self.settled.insert(partition, settlement);
    }

    fn commit_and_wait(&mut self) -> Outcome {
        let deadline = Instant::now() + COMMIT_WITHIN;
        let begun: Vec<_> = std::mem::take(&mut self.settled)
            .into_iter()
            .map(|(partition, next)| {
                let (answer, answered) = channel();
                if let Some(member) = &self.member {
                    let _ = member.send(Event::Commit { partition, next, deadline, answer });
                }
                (partition, next, monotonic_ns(), answered)
            })
            .collect();
        let mut all = Outcome::Ok;
        for (partition, next, began_ns, answered) in begun {
            // The other end is gone when the answer will not come.
            let code = answered.recv().unwrap_or(NO_ANSWER);
            let outcome = classify_commit(code);
            self.observer.committed(&CommitEnd { partition, next, began_ns, outcome, class: class(code) });
            if outcome != Outcome::Ok {
                all = outcome;
            }
            if outcome == Outcome::Info {
                self.settled.insert(partition, next);
            }
        }
        all
    }

    fn close(self: Box<Self>) {
        let (left, has_left) = channel();
        if let Some(member) = &self.member {
            let _ = member.send(Event::Leave(left));
            let _ = has_left.recv_timeout(LEAVE_WITHIN);
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.settings.in_words()
    }
}

impl Drop for RocketmqConsumer {
    fn drop(&mut self) {
        if let Some(member) = &self.member {
            let _ = member.send(Event::End);
        }
    }
}
