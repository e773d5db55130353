//! The canary: a copy of the real history in which three events are changed. Each check must notice, or the verdict of the
//! cell would rest on a pipeline that cannot fail.
//!
//! Nothing is copied: the changes lie over the journals while they are streamed again.

use crate::checkers::{Checked, Depth, Events, KeyOf, Names, ShardMeta, ShardRole, Source, check};
use crate::history::{Event, EventKind};
use crate::ids::MessageId;
use crate::plan::Plan;
use crate::property::Property;

/// What is changed.
#[derive(Clone, Copy, Debug, Default)]
struct Changes {
    /// A message that was acknowledged and read, and now was never read by anybody.
    hidden: Option<MessageId>,
    /// A read record that now claims an identity that nobody sent: journal, number of the event.
    renamed: Option<(usize, u64)>,
    /// Two read records that now stand in each other's place.
    swapped: Option<[(usize, u64, u64); 2]>,
}

/// The history with the changes.
struct Overlay<'a> {
    inner: &'a dyn Source,
    changes: Changes,
}

/// Stands for a message that nobody sent.
const NEVER_SENT: u32 = u32::MAX - 1;

impl Source for Overlay<'_> {
    fn shards(&self) -> &[ShardMeta] {
        self.inner.shards()
    }

    fn names(&self) -> &Names {
        self.inner.names()
    }

    fn events(&self, shard: usize, from: u64) -> Events<'_> {
        let changes = self.changes;
        let hidden = changes.hidden.map(|message| message.0);
        let change = move |(number, mut event): (u64, Event)| {
            if event.kind != EventKind::Deliver {
                return Some(event);
            }
            if changes.renamed == Some((shard, number)) {
                event.msg = MessageId::new(event.message().session(), NEVER_SENT).0;
            }
            for (at_shard, at, msg) in changes.swapped.into_iter().flatten() {
                if (at_shard, at) == (shard, number) {
                    event.msg = msg;
                }
            }
            (Some(event.msg) != hidden).then_some(event)
        };
        Box::new((from..).zip(self.inner.events(shard, from)).filter_map(change))
    }
}

/// Changes a copy of the history and checks it; the names of the checks that did not notice. `checked`: what was found in
/// the history itself. Nothing is said where the history has nothing to change.
pub(super) fn unnoticed(
    plan: &Plan,
    keys: &dyn KeyOf,
    source: &dyn Source,
    epsilon_ns: u64,
    checked: &Checked,
) -> Vec<&'static str> {
    if source.shards().iter().any(|meta| !meta.is_complete()) {
        return Vec::new();
    }
    let changes = choose(source, checked);
    let overlay = Overlay { inner: source, changes };
    let again = check(plan, keys, &overlay, epsilon_ns, Depth::Sequential);
    let count = |checked: &Checked, property| checked.findings.get(&property).map_or(0, |findings| findings.count);
    let grew = |property| count(&again, property) > count(checked, property);
    let mut silent = Vec::new();
    if changes.hidden.is_some() && again.losses.log.count <= checked.losses.log.count {
        silent.push(Property::AckedLoss.name());
    }
    if changes.renamed.is_some() && !grew(Property::Phantom) {
        silent.push(Property::Phantom.name());
    }
    if changes.swapped.is_some() && !grew(Property::OrderLog) {
        silent.push(Property::OrderLog.name());
    }
    silent
}

/// Chooses events that lie apart from each other, among the first records of the first drain reader.
fn choose(source: &dyn Source, checked: &Checked) -> Changes {
    let mut changes = Changes::default();
    let reader = source.shards().iter().position(|meta| meta.role == ShardRole::DrainReader(1));
    let Some(shard) = reader else { return changes };
    let mut previous: Option<(u64, Event)> = None;
    for (number, event) in (0..).zip(source.events(shard, 0)).take(100_000) {
        if event.kind != EventKind::Deliver || event.flags != 0 || !checked.sends.invoked.contains(event.message()) {
            continue;
        }
        let is_next = |(_, before): &(u64, Event)| {
            before.partition() == event.partition()
                && before.message().session() == event.message().session()
                && before.message().seq() < event.message().seq()
        };
        if changes.renamed.is_none() {
            changes.renamed = Some((shard, number));
        } else if changes.swapped.is_none()
            && let Some((before_number, before)) = previous.filter(is_next)
        {
            changes.swapped = Some([(shard, before_number, event.msg), (shard, number, before.msg)]);
        } else if changes.swapped.is_some()
            && checked.sends.acked.contains(event.message())
            && checked.certificate.covers_log()
        {
            changes.hidden = Some(event.message());
            return changes;
        } else {
            previous = Some((number, event));
        }
    }
    changes
}
