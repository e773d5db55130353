//! A message of a queue is handed to its group again (P3, delivery layer), by cause; the first cause that fits wins.
//!
//! Legal: the producer sent it again; whoever had it died, left or lost its session; or a broker was disturbed between the
//! two hand-overs. A violation: it had surely been settled, or nothing happened that would explain it. Works on the few
//! messages that came more than once, so its memory grows with them alone.

use super::chunk_index::ChunkIndex;
use super::conductor::Conductor;
use super::finding::{Finding, Findings, Moment, Place};
use super::group_view::GroupView;
use super::queue_trace::MemberTrace;
use super::sends::Sends;
use super::source::{ShardRole, Source};
use crate::history::{Event, EventKind, MemberChange};
use crate::ids::MessageId;

/// A client may learn so late that its broker had given it up: AMQP's heartbeats are half a minute apart.
const NOTICED_WITHIN_NS: u64 = 30_000_000_000;
/// Leaders move, and links come back, for so long after a fault was undone.
const SETTLES_WITHIN_NS: u64 = 5_000_000_000;

/// So long after its answer a settlement has reached every copy of a queue. The answer itself says only that the node of
/// the connection took it.
const REPLICATED_WITHIN_NS: u64 = 1_000_000_000;

/// What is looked at.
pub(super) struct Evidence<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) indices: &'a [ChunkIndex],
    pub(super) sends: &'a Sends,
    pub(super) conductor: &'a Conductor,
}

/// Finds the cause of every repeat of a group. The number of repeats that a broker owed a mark and gave none.
pub(super) fn judge(evidence: &Evidence<'_>, group: &GroupView, findings: &mut Findings) -> u64 {
    let mut unmarked = 0;
    let mut previous: Option<(Moment, Place)> = None;
    for (moment, place) in deliveries(evidence, group) {
        if let Some((before, was)) = previous.replace((moment, place))
            && before.event.msg == moment.event.msg
        {
            let repeat = Repeat { evidence, group, before, was, again: moment, place };
            let copied = repeat.is_copy();
            repeat.judge(findings);
            let same_session = before.shard == moment.shard;
            let unmarked_here = !copied && was == place && !moment.event.is_flagged_repeat() && !same_session;
            unmarked += u64::from(unmarked_here);
        }
    }
    unmarked
}

/// All hand-overs of the messages that came more than once, by message and time.
fn deliveries(evidence: &Evidence<'_>, group: &GroupView) -> Vec<(Moment, Place)> {
    let repeated = &group.queue.repeated;
    let ranges: Vec<_> = repeated.extents().map(|(session, end)| (session, 0, end)).collect();
    let mut found = Vec::new();
    for (shard, meta) in evidence.source.shards().iter().enumerate() {
        if meta.group == group.group && matches!(meta.role, ShardRole::Consumer(_)) {
            for event in evidence.indices[shard].with_messages(evidence.source, shard, &ranges) {
                if event.kind == EventKind::Deliver && event.is_intact() && repeated.contains(event.message())
                {
                    let place = Place { topic: meta.topic, partition: event.partition() };
                    found.push((Moment { shard, event }, place));
                }
            }
        }
    }
    found.sort_by_key(|(moment, _)| (moment.event.msg, moment.event.t_ns, moment.shard));
    found
}

/// Two hand-overs of one message.
struct Repeat<'a> {
    evidence: &'a Evidence<'a>,
    group: &'a GroupView,
    before: Moment,
    was: Place,
    again: Moment,
    place: Place,
}

impl Repeat<'_> {
    fn message(&self) -> MessageId {
        self.again.event.message()
    }

    fn judge(&self, findings: &mut Findings) {
        if self.is_copy() {
            findings.add_legal("stored twice");
        } else if let Some(settled) = self.settled() {
            self.add(findings, "acked, then redelivered", "it had been settled", Some(settled));
        } else if let Some(cause) = self.cause() {
            findings.add_legal(cause);
        } else {
            self.add(
                findings,
                "unexplained",
                "whoever had it was still there, and no broker was disturbed",
                None,
            );
        }
    }

    /// Broker and client cannot know that a message that was sent again is one.
    fn is_copy(&self) -> bool {
        self.evidence.sends.retried.contains(self.message())
    }

    /// The answered commit that covers the first hand-over, if there is one that no disturbance can have undone.
    fn settled(&self) -> Option<Moment> {
        let handed_ns = self.before.event.handed_over_ns();
        let covers = |&&(began_ns, ended_ns, partition): &&(u64, u64, u16)| {
            let certain_ns = ended_ns.saturating_add(REPLICATED_WITHIN_NS);
            partition == self.was.partition
                && began_ns >= handed_ns
                && ended_ns <= self.again.event.t_ns
                && !self.evidence.conductor.is_disturbed(began_ns, certain_ns)
        };
        let &(began_ns, t_ns, partition) = self.member().settled.iter().find(covers)?;
        let event = Event {
            t_ns,
            msg: began_ns,
            a: Event::NO_OFFSET,
            b: u32::from(partition),
            kind: EventKind::Commit,
            flags: 0,
            c: 0,
        };
        Some(Moment { shard: self.before.shard, event })
    }

    fn cause(&self) -> Option<&'static str> {
        let (from, to) = (self.before.event.t_ns, self.again.event.t_ns);
        let noticed = from..=to.saturating_add(NOTICED_WITHIN_NS);
        let ShardRole::Consumer(number) = self.evidence.source.shards()[self.before.shard].role else {
            return None;
        };
        let conductor = self.evidence.conductor;
        // The conductor may see the end of a process a little after the broker did.
        if self.member().last_ns <= to && conductor.consumer_exited(number, &noticed) {
            return Some("consumer died");
        }
        let of_queue = |partition: Option<u16>| partition.is_none_or(|one| one == self.was.partition);
        let ended = self.member().changes.iter().find(|change| {
            change.kind != MemberChange::Assign
                && noticed.contains(&change.t_ns)
                && of_queue(change.partition)
        });
        if let Some(change) = ended {
            return Some(if change.kind == MemberChange::Lost { "session lost" } else { "rebalance" });
        }
        let anew = |change: &&super::queue_trace::Change| {
            change.kind == MemberChange::Assign && change.t_ns > from && change.t_ns <= to
        };
        if self.member().changes.iter().filter(anew).any(|change| of_queue(change.partition)) {
            return Some("session lost");
        }
        conductor.is_disturbed(from.saturating_sub(SETTLES_WITHIN_NS), to).then_some("broker disturbed")
    }

    fn member(&self) -> &MemberTrace {
        &self.group.queue.members[&self.before.shard]
    }

    fn add(&self, findings: &mut Findings, grade: &'static str, why: &str, settled: Option<Moment>) {
        findings.add(grade, || Finding {
            grade,
            summary: format!("{} was handed over again: {why}", self.message()),
            messages: vec![self.message()],
            place: Some(self.place),
            offset: None,
            group: Some(self.group.group),
            moments: [Some(self.before), settled, Some(self.again)].into_iter().flatten().collect(),
        });
    }
}
