//! An acknowledged message is gone (P1).
//!
//! Of the log, with a certificate: L3, a certified full read shows something else, or nothing, at the offset of its
//! acknowledgement, and the message nowhere; L2, its offset is not known and it is nowhere. Of a group: L1, the message
//! stands in the log, and the group went past it (a session read past it, or more was committed) without being handed it.
//! A message counts once, at the log before the groups.
//!
//! Of a group that reads queues, with a certificate: L2, nothing waits for the group any more, and it was never handed the
//! message. What a queue holds cannot be read otherwise, so there is no loss of a log.

use std::collections::{BTreeMap, BTreeSet};

use super::certificate::Certificate;
use super::chunk_index::ChunkIndex;
use super::conductor::Conductor;
use super::finding::{Finding, Findings, Moment, Place};
use super::group_view::GroupView;
use super::log_view::LogView;
use super::message_set::MessageSet;
use super::sends::Sends;
use super::source::{ShardRole, Source};
use crate::history::{Event, EventKind, Outcome};
use crate::ids::MessageId;

/// What is missing.
#[derive(Debug, Default)]
pub struct Losses {
    /// Of the log.
    pub log: Findings,
    /// Of each group.
    pub groups: BTreeMap<u16, Findings>,
    /// Messages that were handed to the network and are not in the log, where nothing is acknowledged; needs a certificate.
    pub sent_but_missing: Option<u64>,
    /// How long before the next fault a lost record had been acknowledged at most, ns.
    pub longest_before_fault_ns: Option<u64>,
}

/// All that the checker looks at.
pub(super) struct Evidence<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) indices: &'a [ChunkIndex],
    pub(super) sends: &'a Sends,
    pub(super) conductor: &'a Conductor,
    pub(super) views: &'a [LogView; 2],
    pub(super) groups: &'a [GroupView],
    pub(super) certificate: &'a Certificate,
    /// Groups that start at the newest record are owed only what their sessions went past.
    pub(super) from_latest: &'a [u16],
}

/// Finds what is missing.
pub(super) fn find(evidence: &Evidence<'_>) -> Losses {
    let mut losses = Losses::default();
    let Evidence { sends, views, certificate, .. } = evidence;
    let in_log = |set: &MessageSet| set.minus(&views[0].messages).minus(&views[1].messages);
    let mut lost = MessageSet::default();
    if certificate.covers_log() {
        losses.log.exercised = sends.acked.count();
        losses.sent_but_missing = Some(in_log(&sends.invoked).count());
        lost = in_log(&sends.acked);
        if !lost.is_empty() {
            scan_log_losses(evidence, &mut lost, &mut losses);
        }
    }
    for group in evidence.groups {
        let mut findings = Findings { exercised: sends.acked.count(), ..Findings::default() };
        let missing = sends.acked.minus(&group.messages).minus(&lost);
        if !missing.is_empty() {
            scan_group_losses(evidence, group, &missing, &mut findings);
        }
        losses.groups.insert(group.group, findings);
    }
    losses
}

/// Finds what groups that read queues were never handed.
pub(super) fn find_in_queues(evidence: &Evidence<'_>) -> Losses {
    let mut losses = Losses::default();
    let (mut missing_sends, mut certified) = (MessageSet::default(), !evidence.groups.is_empty());
    for group in evidence.groups {
        let mut findings = Findings::default();
        let is_owed = !evidence.from_latest.contains(&group.group);
        if evidence.certificate.covers_group(group.group) && is_owed {
            let of_topics = sessions_for(evidence.source, group.group);
            let acked = evidence.sends.acked.of_sessions(|session| of_topics.contains(&session));
            findings.exercised = acked.count();
            scan_queue_losses(evidence, group, acked.minus(&group.messages), &mut findings, &mut losses);
            let sent = evidence.sends.invoked.of_sessions(|session| of_topics.contains(&session));
            missing_sends.extend(&sent.minus(&group.messages));
        } else {
            certified &= !is_owed;
        }
        losses.groups.insert(group.group, findings);
    }
    losses.sent_but_missing = certified.then(|| missing_sends.count());
    losses
}

/// The producers' sessions that write to what a group reads, as the high 32 bits of their messages' ids.
fn sessions_for(source: &dyn Source, group: u16) -> BTreeSet<u32> {
    let members = source.shards().iter().filter(|meta| meta.group == group);
    let members = members.filter(|meta| matches!(meta.role, ShardRole::Consumer(_)));
    let topics: BTreeSet<u16> = members.map(|meta| meta.topic).collect();
    let metas = source.shards().iter().filter(|meta| topics.contains(&meta.topic));
    metas.filter_map(|meta| Some((MessageId::new(meta.session()?, 0).0 >> 32) as u32)).collect()
}

fn scan_queue_losses(
    evidence: &Evidence<'_>,
    group: &GroupView,
    mut missing: MessageSet,
    findings: &mut Findings,
    losses: &mut Losses,
) {
    for message in &group.queue.unreadable {
        missing.remove(*message);
    }
    let mut nameless = group.queue.nameless.clone();
    let wanted = missing.clone();
    for_each_ack(evidence, &wanted, |place, ack| {
        let message = ack.event.message();
        if !missing.contains(message) {
            return;
        }
        missing.remove(message);
        // A message came that nobody can name any more: `corruption` tells that.
        if let Some(left) = nameless.get_mut(&place).filter(|left| **left > 0) {
            *left -= 1;
            return;
        }
        let fault = evidence.conductor.next_fault_ns(ack.event.t_ns);
        let before = fault.map(|fault| fault - ack.event.t_ns);
        losses.longest_before_fault_ns = losses.longest_before_fault_ns.max(before);
        findings.add("L2", || Finding {
            grade: "L2",
            summary: format!(
                "{message} was acknowledged at {:.0} ms, nothing waits for group `{}` any more, and it was never \
                 handed it{}",
                evidence.conductor.at_ms(ack.event.t_ns),
                group_name(evidence.source, group.group),
                what_came_next(evidence, place, ack)
            ),
            messages: vec![message],
            place: Some(place),
            offset: None,
            group: Some(group.group),
            moments: vec![ack],
        });
    });
}

fn group_name(source: &dyn Source, group: u16) -> &str {
    source.names().groups.get(usize::from(group)).map_or("?", String::as_str)
}

/// Every acknowledgement that counts of a message in a set.
fn for_each_ack(evidence: &Evidence<'_>, wanted: &MessageSet, mut act: impl FnMut(Place, Moment)) {
    let ranges: Vec<_> = wanted.extents().map(|(session, end)| (session, 0, end)).collect();
    for (shard, meta) in evidence.source.shards().iter().enumerate() {
        if matches!(meta.role, ShardRole::Producer(_)) {
            for event in evidence.indices[shard].with_messages(evidence.source, shard, &ranges) {
                if event.kind == EventKind::SendEnd
                    && event.outcome() == Outcome::Ok
                    && wanted.contains(event.message())
                {
                    act(Place { topic: meta.topic, partition: event.partition() }, Moment { shard, event });
                }
            }
        }
    }
}

fn scan_log_losses(evidence: &Evidence<'_>, lost: &mut MessageSet, losses: &mut Losses) {
    let mut corrupt = Vec::new();
    let mut left = lost.clone();
    for_each_ack(evidence, lost, |place, ack| {
        let message = ack.event.message();
        if !left.contains(message) {
            return;
        }
        left.remove(message);
        let unreadable = |view: &LogView| {
            view.unreadable.contains(&(place, ack.event.a)) || view.unreadable_ids.contains(&message)
        };
        if evidence.views.iter().any(unreadable) {
            // It is there, with other bytes: `corruption` tells that.
            corrupt.push(message);
            return;
        }
        let fault = evidence.conductor.next_fault_ns(ack.event.t_ns);
        let before = fault.map(|fault| fault - ack.event.t_ns);
        losses.longest_before_fault_ns = losses.longest_before_fault_ns.max(before);
        let (grade, offset) = match ack.event.a {
            Event::NO_OFFSET => ("L2", None),
            offset => ("L3", Some(offset)),
        };
        losses.log.add(grade, || log_loss(evidence, place, ack, offset, grade));
    });
    for message in corrupt {
        lost.remove(message);
    }
}

fn log_loss(
    evidence: &Evidence<'_>,
    place: Place,
    ack: Moment,
    offset: Option<u64>,
    grade: &'static str,
) -> Finding {
    let at_ms = evidence.conductor.at_ms(ack.event.t_ns);
    let at = offset.map_or_else(String::new, |offset| format!(" at offset {offset}"));
    Finding {
        grade,
        summary: format!(
            "{} was acknowledged{at} at {at_ms:.0} ms and is nowhere in the log{}",
            ack.event.message(),
            what_came_next(evidence, place, ack)
        ),
        messages: vec![ack.event.message()],
        place: Some(place),
        offset,
        group: None,
        moments: vec![ack],
    }
}

/// The kill of the leader that acknowledged, else the next fault.
fn what_came_next(evidence: &Evidence<'_>, place: Place, ack: Moment) -> String {
    let conductor = evidence.conductor;
    let leader = conductor.leader_at(place, ack.event.t_ns).map(|seen| seen.node);
    let death = leader.and_then(|node| Some((node, conductor.next_death_ns(node, ack.event.t_ns)?)));
    if let Some((node, death)) = death {
        return format!("; node {node}, then its leader, was killed at {:.0} ms", conductor.at_ms(death));
    }
    conductor.next_fault_ns(ack.event.t_ns).map_or_else(String::new, |fault| {
        format!("; the next fault took effect at {:.0} ms", conductor.at_ms(fault))
    })
}

fn scan_group_losses(
    evidence: &Evidence<'_>,
    group: &GroupView,
    missing: &MessageSet,
    findings: &mut Findings,
) {
    let mut left = missing.clone();
    for_each_ack(evidence, missing, |place, ack| {
        let (message, offset) = (ack.event.message(), ack.event.a);
        if offset == Event::NO_OFFSET || !left.contains(message) {
            return;
        }
        left.remove(message);
        if group.unreadable.contains(&(place, offset)) {
            return;
        }
        let passed = group.passed.get(&place).is_some_and(|passed| passed.contains(offset));
        let settled = [
            group.committed.get(&place).copied(),
            evidence
                .conductor
                .committed
                .get(&(group.group, place))
                .copied()
                .filter(|&offset| offset != Event::NO_OFFSET),
        ];
        let committed = settled.into_iter().flatten().max().is_some_and(|committed| committed > offset);
        let owed = passed || committed && !evidence.from_latest.contains(&group.group);
        if owed {
            let how = if passed { "a session read past it" } else { "more than it was committed" };
            findings.add("L1", || Finding {
                grade: "L1",
                summary: format!(
                    "{message} stands at offset {offset}, {how}, and the group was never handed it"
                ),
                messages: vec![message],
                place: Some(place),
                offset: Some(offset),
                group: Some(group.group),
                moments: vec![ack],
            });
        }
    });
}
