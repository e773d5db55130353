//! Runs all checkers over a history.

use std::collections::BTreeMap;

use super::acked_loss::{self, Losses};
use super::certificate::{self, Certificate, Partitions};
use super::chunk_index::ChunkIndex;
use super::conductor::Conductor;
use super::finding::{Findings, Moment, Place};
use super::group_view::GroupView;
use super::latency::Latency;
use super::log_view::LogView;
use super::message_join;
use super::offset_join;
use super::outage::{self, Outages};
use super::sends::{Sends, may_be_sent};
use super::slots::SLOT_NS;
use super::source::{KeyOf, ShardRole, Source};
use super::transactional_reads::{TransactionalReads, VISIBLE};
use super::{corruption, fail_visible, hanging_transaction, phantom, redelivery, torn_transaction};
use crate::contract::{Storage, required_level};
use crate::history::{Delivery, Event};
use crate::ids::MessageId;
use crate::plan::{Pace, Plan, Start};
use crate::property::Property;

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Everything.
    Full,
    /// What the canary needs: no joins by offset and no latencies. The drain readers are taken to agree.
    Sequential,
}

/// All that the checkers found in one history.
#[derive(Debug, Default)]
pub struct Checked {
    /// Whether the product keeps what was read.
    pub storage: Storage,
    /// What the conductor told.
    pub conductor: Conductor,
    /// What became of each send.
    pub sends: Sends,
    /// What the groups were handed; journals of members that are not there leave no view.
    pub groups: Vec<GroupView>,
    /// What may be concluded from absence.
    pub certificate: Certificate,
    /// By property; `acked_loss` and `divergence` stand apart, for parts of them are claimed separately.
    pub findings: BTreeMap<Property, Findings>,
    /// What is missing.
    pub losses: Losses,
    /// Acknowledged offsets against readers and against each other.
    pub ack_divergence: Findings,
    /// Outages of producing.
    pub outages: Outages,
    /// From the intended send to the hand-over.
    pub e2e_latency: Latency,
    /// Records of another run: the topics were not fresh.
    pub foreign: u64,
    /// Of queues: messages that came again to another member, and that the broker did not mark as redelivered.
    pub unmarked_repeats: u64,
    /// Records that the drain reader saw, whose view was used.
    pub log_records: u64,
    /// What readers were handed of transactions.
    pub reads: TransactionalReads,
    /// Why it is not known whether a transaction hangs, if so.
    pub hanging_gap: Option<String>,
}

impl Checked {
    /// Why it is not known which acknowledged messages are gone; None: it is.
    pub fn open_end(&self) -> Option<String> {
        match self.storage {
            Storage::Log => self.certificate.log.clone(),
            Storage::Queue if self.groups.is_empty() => {
                Some("no group was there to be handed anything".into())
            }
            Storage::Queue => self.groups.iter().find_map(|group| {
                let clause = self.certificate.groups.get(&group.group);
                clause.map_or_else(|| Some("a group without members".into()), Clone::clone)
            }),
        }
    }

    /// Acknowledged messages that are lost: to the log, or to a group.
    pub fn lost(&self) -> u64 {
        self.losses.log.count + self.losses.groups.values().map(|findings| findings.count).sum::<u64>()
    }

    /// Acknowledged messages that the broker does not have any more, and comparisons made. Of queues only what groups were
    /// never handed is known.
    pub fn recovery_point(&self) -> (u64, u64) {
        match self.storage {
            Storage::Log => (self.losses.log.count, self.losses.log.exercised),
            Storage::Queue => (
                self.lost(),
                self.losses.groups.values().map(|findings| findings.exercised).max().unwrap_or(0),
            ),
        }
    }
}

/// Checks a history. `storage`: whether the product keeps what was read.
pub fn check(
    plan: &Plan,
    storage: Storage,
    keys: &dyn KeyOf,
    source: &dyn Source,
    epsilon_ns: u64,
    depth: Depth,
) -> Checked {
    let mut indices = vec![ChunkIndex::default(); source.shards().len()];
    let conductor = Conductor::read(source);
    let sends = Sends::read(source, required_level(plan.durability), &conductor.meters(), &mut indices);
    let mut single = SingleRecords {
        reads: TransactionalReads::new(plan, source),
        epsilon_ns,
        ..SingleRecords::default()
    };
    let visible = LogView::read(VISIBLE, source, &sends, &mut indices, &mut |shard, event| {
        single.on_delivery(source, &sends, shard, event);
    });
    let mut views = [1, 2].map(|reader| {
        LogView::read(reader, source, &sends, &mut indices, &mut |shard, event| {
            single.on_delivery(source, &sends, shard, event);
        })
    });
    let mut groups: Vec<GroupView> = (0..source.names().groups.len() as u16)
        .map(|group| {
            GroupView::read(group, storage, source, &sends, keys, &mut indices, &mut |shard, event| {
                single.on_delivery(source, &sends, shard, event);
            })
        })
        .collect();
    single.reads.close(&sends);
    let reads = std::mem::take(&mut single.reads);
    let mut checked = Checked { storage, foreign: single.foreign, ..Checked::default() };
    let mut joined = offset_join::Joined::default();
    if depth == Depth::Full {
        if storage == Storage::Log {
            joined = offset_join::join(source, &indices, &conductor, &groups, &sends, &reads);
        }
        let messages = message_join::join(source, &indices, &sends, &groups, epsilon_ns);
        checked.e2e_latency = messages.latency;
        single.phantom.merge(messages.early);
    }
    let partitions = partitions(plan, source);
    checked.certificate = match storage {
        Storage::Log => certificate::evaluate(&certificate::Evidence {
            source,
            conductor: &conductor,
            partitions: &partitions,
            views: &views,
            visible: &visible,
            joined: &joined,
            reads: &reads,
        }),
        Storage::Queue => certificate::evaluate_queues(source, &conductor, &partitions),
    };
    let evidence = acked_loss::Evidence {
        source,
        indices: &indices,
        sends: &sends,
        conductor: &conductor,
        views: &views,
        groups: &groups,
        certificate: &checked.certificate,
        from_latest: &from_latest(plan, source),
    };
    checked.losses = match storage {
        Storage::Log => acked_loss::find(&evidence),
        Storage::Queue => acked_loss::find_in_queues(&evidence),
    };
    let load_ns =
        conductor.load_ends_ns.or(sends.last_ack_ns).unwrap_or(0).saturating_sub(conductor.load_begins_ns);
    let load_ns = load_ns.min(plan.load_ms * 1_000_000);
    // A closed loop sends nothing while the broker is away: there is no schedule that an outage could miss.
    if plan.producers.iter().all(|producer| matches!(producer.pace, Pace::Open { .. })) {
        checked.outages = outage::find(&sends, (load_ns / SLOT_NS) as usize, plan.rto_window_ms);
    }

    let view = if views[0].records > 0 { &mut views[0] } else { &mut views[1] };
    checked.log_records = view.records;
    let mut rollback = joined.replaced;
    if checked.certificate.covers_log() {
        rollback.merge(joined.vanished);
    }
    let mut order_consumer = joined.skipped;
    let (mut repeats, mut order_per_key) = (Findings::default(), Findings::default());
    for group in &mut groups {
        if storage == Storage::Queue && depth == Depth::Full {
            let evidence =
                redelivery::Evidence { source, indices: &indices, sends: &sends, conductor: &conductor };
            let mut found = std::mem::take(&mut group.repeats);
            checked.unmarked_repeats += redelivery::judge(&evidence, group, &mut found);
            group.repeats = found;
        }
        order_consumer.merge(std::mem::take(&mut group.order));
        repeats.merge(std::mem::take(&mut group.repeats));
        order_per_key.merge(std::mem::take(&mut group.keys));
    }
    let fail_visible = single.fail_visible(&sends);
    let torn = torn_transaction::find(source, &sends, &visible, &checked.certificate);
    let hanging = hanging(plan, source, &conductor, &partitions);
    checked.hanging_gap = hanging.gap;
    checked.findings = BTreeMap::from([
        (Property::DuplicateAppend, std::mem::take(&mut view.duplicates)),
        (Property::OrderLog, std::mem::take(&mut view.order)),
        (Property::DuplicateDelivery, repeats),
        (Property::OrderConsumer, order_consumer),
        (Property::OrderPerKey, order_per_key),
        (Property::Divergence, joined.readers),
        (Property::HighWatermarkRollback, rollback),
        (Property::Phantom, single.phantom),
        (Property::Corruption, single.corruption),
        (Property::FailVisible, fail_visible),
        (Property::TornTransaction, torn),
        (Property::HangingTransaction, hanging.findings),
    ]);
    Checked { conductor, sends, groups, reads, ack_divergence: joined.acks, ..checked }
}

/// The checks that look at one delivery at a time.
#[derive(Default)]
struct SingleRecords {
    phantom: Findings,
    corruption: Findings,
    fail_visible: Findings,
    foreign: u64,
    reads: TransactionalReads,
    epsilon_ns: u64,
}

impl SingleRecords {
    fn on_delivery(&mut self, source: &dyn Source, sends: &Sends, shard: usize, event: &Event) {
        let place = Place { topic: source.shards()[shard].topic, partition: event.partition() };
        let moment = Moment { shard, event: *event };
        self.corruption.exercised += 1;
        self.phantom.exercised += 1;
        if event.delivery() == Some(Delivery::Corrupt) {
            corruption::on_corrupt(&mut self.corruption, place, moment);
        } else if event.message() == MessageId::NONE {
            // No run of ours writes such a record.
            phantom::never_sent(&mut self.phantom, place, moment);
        } else if event.delivery() == Some(Delivery::ForeignRun) {
            self.foreign += 1;
        } else if !may_be_sent(source, sends, event.message()) {
            phantom::never_sent(&mut self.phantom, place, moment);
        } else {
            if sends.failed.contains(event.message()) {
                fail_visible::on_visible(&mut self.fail_visible, place, moment);
            }
            self.reads.on_delivery(sends, place, shard, event, self.epsilon_ns);
        }
    }

    fn fail_visible(&mut self, sends: &Sends) -> Findings {
        let exercised = if self.phantom.exercised > 0 { sends.failed.count() } else { 0 };
        Findings { exercised, ..std::mem::take(&mut self.fail_visible) }
    }
}

/// The logs that transactions are written to.
fn hanging(
    plan: &Plan,
    source: &dyn Source,
    conductor: &Conductor,
    partitions: &Partitions,
) -> hanging_transaction::Hanging {
    let transactional = || plan.producers.iter().filter(|producer| producer.transactions.is_some());
    let timeout_ms = transactional().filter_map(|one| Some(one.transactions?.timeout_ms)).max().unwrap_or(0);
    let topics = source.names().topics.iter().enumerate();
    let written = topics.filter(|(_, name)| transactional().any(|producer| producer.topic == **name));
    let places = written.flat_map(|(index, name)| {
        let topic = index as u16;
        let count = partitions.get(&topic).copied().unwrap_or(0) as u16;
        (0..count).map(move |partition| (Place { topic, partition }, format!("{name}/{partition}")))
    });
    hanging_transaction::find(conductor, places, timeout_ms)
}

/// The partitions of every topic of the plan.
fn partitions(plan: &Plan, source: &dyn Source) -> Partitions {
    let topics = source.names().topics.iter().enumerate();
    topics
        .filter_map(|(index, name)| Some((index as u16, plan.topology.topics.get(name)?.partitions)))
        .collect()
}

/// Groups that start at the newest record.
fn from_latest(plan: &Plan, source: &dyn Source) -> Vec<u16> {
    let shards = source.shards().iter();
    shards
        .filter_map(|meta| match meta.role {
            ShardRole::Consumer(number) => Some((meta.group, plan.consumers.get(usize::from(number))?.start)),
            _ => None,
        })
        .filter(|(_, start)| *start == Start::Latest)
        .map(|(group, _)| group)
        .collect()
}
