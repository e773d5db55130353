//! What must hold on a broker at any time. The simulator asks after each step.

use crate::controller::TopicPartitionId;
use crate::ids::Offset;
use crate::node::FlushPolicy;
use crate::replication::Partition;

use super::Broker;

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Where.
    pub partition: TopicPartitionId,
    /// Which rule, in a word or two.
    pub rule: &'static str,
    /// The values that show it.
    pub detail: String,
}

impl Violation {
    /// No `acks=all` beyond what is committed, nor with too small an in-sync set.
    pub(super) fn of_ack(partition: &Partition, end: Offset) -> Option<Self> {
        let high_watermark = partition.high_watermark();
        (end > high_watermark || partition.is_under_min_isr()).then(|| Self {
            partition: partition.id(),
            rule: "ack within committed",
            detail: format!(
                "acknowledged up to {end}, high watermark {high_watermark}, isr {:?}",
                partition.state().isr
            ),
        })
    }
}

impl Broker {
    /// The rules that are broken now, and those that were broken since the last call.
    pub(crate) fn invariants(&mut self) -> Vec<Violation> {
        let mut violations = std::mem::take(&mut self.violations);
        violations.extend(self.partitions.values_mut().flat_map(check));
        violations.extend(self.coordinator.shared_partitions().map(|(topic, partition, detail)| Violation {
            partition: TopicPartitionId { topic, partition },
            rule: "one owner of a partition in a group",
            detail,
        }));
        violations
    }
}

fn check(partition: &mut Partition) -> Vec<Violation> {
    let overtaken = partition.take_overtaken();
    let log = &partition.log;
    let (start, end, flushed) = (log.log_start_offset(), log.log_end_offset(), log.flushed_end_offset());
    let high_watermark = partition.high_watermark();
    let mut broken = Vec::new();
    let mut rule = |rule: &'static str, holds: bool, detail: String| {
        if !holds {
            broken.push(Violation { partition: partition.id(), rule, detail });
        }
    };
    rule(
        "start <= high watermark <= end",
        start <= high_watermark && high_watermark <= end,
        format!("{start} {high_watermark} {end}"),
    );
    let last_stable = partition.last_stable_offset();
    rule(
        "start <= last stable <= high watermark",
        start <= last_stable && last_stable <= high_watermark,
        format!("{start} {last_stable} {high_watermark}"),
    );
    rule("high watermark <= end of every in-sync replica", overtaken.is_none(), format!("{overtaken:?}"));
    rule("flushed <= end", flushed <= end, format!("{flushed} {end}"));
    rule(
        "epoch of the log <= leader epoch",
        log.latest_epoch() <= partition.state().leader_epoch,
        format!("{} {}", log.latest_epoch(), partition.state().leader_epoch),
    );
    if partition.settings().flush == FlushPolicy::BeforeAck {
        rule("high watermark <= flushed", high_watermark <= flushed, format!("{high_watermark} {flushed}"));
    }
    if partition.is_leader() {
        rule(
            "isr within replicas",
            partition.state().isr.iter().all(|node| partition.replicas().contains(node)),
            format!("{:?} {:?}", partition.state().isr, partition.replicas()),
        );
    }
    broken
}
