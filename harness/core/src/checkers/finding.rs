//! What a checker found: exact counts, and the best examples.

use std::collections::BTreeMap;

use crate::history::Event;
use crate::ids::MessageId;

/// Examples that are kept per grade.
pub const EXAMPLES_MAX: usize = 20;

/// A partition of a topic, by the index of the topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Index into [`Names::topics`](super::Names::topics).
    pub topic: u16,
    /// The partition.
    pub partition: u16,
}

/// An event, and who recorded it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The journal.
    pub shard: usize,
    /// The event.
    pub event: Event,
}

impl Moment {
    /// The offset that a delivery or the end of a send tells, if it has one.
    pub fn offset(&self) -> Option<u64> {
        (self.event.a != Event::NO_OFFSET).then_some(self.event.a)
    }

    /// ` at offset 5`, or nothing.
    pub(super) fn at_offset(&self) -> String {
        self.offset().map_or_else(String::new, |offset| format!(" at offset {offset}"))
    }
}

/// One thing that was seen, with the events that show it.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// The strength of the evidence, the kind or the cause.
    pub grade: &'static str,
    /// One line that says what happened.
    pub summary: String,
    /// The messages concerned.
    pub messages: Vec<MessageId>,
    /// Where it is in the log, if it is about one place.
    pub place: Option<Place>,
    /// The offset, if it is about one.
    pub offset: Option<u64>,
    /// The group that saw it, as index into [`Names::groups`](super::Names::groups).
    pub group: Option<u16>,
    /// The events that show it.
    pub moments: Vec<Moment>,
}

/// All that one checker found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Findings {
    /// How often it was seen, exactly.
    pub count: u64,
    /// Comparisons that could have shown it.
    pub exercised: u64,
    /// How often, by grade.
    pub by_grade: BTreeMap<&'static str, u64>,
    /// What was seen and is legal, by cause: no violation, but worth a number.
    pub legal: BTreeMap<&'static str, u64>,
    /// At most [`EXAMPLES_MAX`] per grade, in the order in which they were seen.
    pub examples: Vec<Finding>,
}

impl Findings {
    /// Counts one, and keeps it as an example while there is room.
    pub fn add(&mut self, grade: &'static str, example: impl FnOnce() -> Finding) {
        self.count += 1;
        let seen = self.by_grade.entry(grade).or_default();
        *seen += 1;
        if *seen as usize <= EXAMPLES_MAX {
            self.examples.push(example());
        }
    }

    /// Counts one that is legal.
    pub fn add_legal(&mut self, cause: &'static str) {
        *self.legal.entry(cause).or_default() += 1;
    }

    /// Takes over what another part of the same checker found.
    pub fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.exercised += other.exercised;
        for (grade, count) in other.by_grade {
            *self.by_grade.entry(grade).or_default() += count;
        }
        for (cause, count) in other.legal {
            *self.legal.entry(cause).or_default() += count;
        }
        self.examples.extend(other.examples);
    }
}
