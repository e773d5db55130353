//! The batches of one partition on their way, in the order in which they are to be stored.

use std::collections::{BTreeMap, VecDeque};

use broker_core::{Offset, Sequence};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Waiting {
        until_ns: u64,
    },
    /// `alone`: nothing before it was unacknowledged when it was sent.
    InFlight {
        alone: bool,
    },
}

#[derive(Debug)]
pub(super) struct Batch<R> {
    /// Counts the batches of its producer.
    pub(super) number: u64,
    /// Counts the batches of its partition.
    place: u64,
    pub(super) records: Vec<R>,
    pub(super) sequence: i32,
    pub(super) state: State,
    pub(super) timestamp: i64,
    pub(super) born_ns: u64,
    /// An earlier try may have been stored.
    pub(super) in_doubt: bool,
    pub(super) tries: u64,
    /// Since when it is refused for its sequence although all before it is acknowledged.
    pub(super) refused_ns: Option<u64>,
}

impl<R> Batch<R> {
    /// Whether nothing before it was unacknowledged when it was sent.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self.state, State::InFlight { alone: true })
    }

    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self.state, State::InFlight { .. })
    }
}

/// The way to one partition.
#[derive(Debug)]
pub(super) struct Lane<R> {
    /// Oldest first.
    pub(super) queue: VecDeque<Batch<R>>,
    next_sequence: Sequence,
    next_place: u64,
    /// The places of batches that were acknowledged with an offset, and their ends.
    acknowledged: BTreeMap<u64, Offset>,
}

impl<R> Lane<R> {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            next_sequence: Sequence(0),
            next_place: 0,
            acknowledged: BTreeMap::new(),
        }
    }

    /// A batch behind the others.
    pub(super) fn push(&mut self, number: u64, records: Vec<R>, timestamp: i64, born_ns: u64) {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.plus(records.len() as i32);
        self.queue.push_back(Batch {
            number,
            place: self.next_place,
            records,
            sequence: sequence.0,
            state: State::Waiting { until_ns: 0 },
            timestamp,
            born_ns,
            in_doubt: false,
            tries: 0,
            refused_ns: None,
        });
        self.next_place += 1;
    }

    pub(super) fn find(&mut self, number: u64) -> Option<&mut Batch<R>> {
        self.queue.iter_mut().find(|batch| batch.number == number)
    }

    pub(super) fn take(&mut self, number: u64) -> Option<Batch<R>> {
        let position = self.queue.iter().position(|batch| batch.number == number)?;
        self.queue.remove(position)
    }

    /// A batch that was taken is stored at `base`.
    pub(super) fn stored(&mut self, batch: &Batch<R>, base: Offset) {
        self.acknowledged.insert(batch.place, Offset(base.0 + batch.records.len() as i64));
    }

    /// The end of what was acknowledged of all before a batch.
    pub(super) fn acknowledged_before(&self, number: u64) -> Offset {
        let place = self.queue.iter().find(|batch| batch.number == number).map_or(0, |batch| batch.place);
        self.acknowledged.range(..place).map(|(_, end)| *end).max().unwrap_or(Offset(0))
    }

    /// Sequences begin anew, with what is queued.
    pub(super) fn renumber(&mut self) {
        self.next_sequence = Sequence(0);
        for batch in &mut self.queue {
            batch.sequence = self.next_sequence.0;
            self.next_sequence = self.next_sequence.plus(batch.records.len() as i32);
        }
    }

    /// Sequences begin anew with what comes.
    pub(super) fn restart_sequence(&mut self) {
        self.next_sequence = Sequence(0);
    }

    /// The number of the oldest batch that waits, if it is too old.
    pub(super) fn too_old(&self, now_ns: u64, lasts: u64) -> Option<u64> {
        let batch = self.queue.iter().find(|batch| !batch.is_in_flight())?;
        (now_ns.saturating_sub(batch.born_ns) > lasts).then_some(batch.number)
    }

    /// The oldest batch that is not in flight, unless it lies a whole window past the oldest one that is unacknowledged.
    ///
    /// The window counts acknowledged batches as well: while one batch hangs at an old leader, those behind it may be
    /// acknowledged by a new one, which remembers no more than the last five and takes a late sixth for a gap.
    pub(super) fn next_to_send(&self, window: usize) -> Option<usize> {
        let position = self.queue.iter().position(|batch| !batch.is_in_flight())?;
        (self.queue[position].place < self.queue[0].place + window as u64).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many batches of one record each.
    fn lane(batches: u64) -> Lane<()> {
        let mut lane = Lane::new();
        for number in 0..batches {
            lane.push(number, vec![()], 0, 0);
        }
        lane
    }

    fn send(lane: &mut Lane<()>, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            lane.find(number).unwrap().state = State::InFlight { alone: false };
        }
    }

    #[test]
    fn batches_behind_one_that_hangs_go_no_further_than_a_broker_remembers() {
        let mut lane = lane(6);
        send(&mut lane, 0..5);
        assert_eq!(lane.next_to_send(5), None);
        // All but the oldest are acknowledged by the new leader.
        for number in 1..5 {
            lane.take(number);
        }
        assert_eq!(lane.next_to_send(5), None);
        lane.take(0);
        assert_eq!(lane.next_to_send(5), Some(0));
    }

    #[test]
    fn a_batch_that_came_back_goes_before_those_behind_it() {
        let mut lane = lane(3);
        send(&mut lane, [0]);
        assert_eq!(lane.next_to_send(2), Some(1));
        assert_eq!(lane.next_to_send(1), None);
    }

    #[test]
    fn the_end_before_a_batch_is_of_those_that_were_to_be_stored_before_it() {
        let mut lane = lane(4);
        for (number, base) in [(0, 10), (2, 30)] {
            let batch = lane.take(number).unwrap();
            lane.stored(&batch, Offset(base));
        }
        let before = |number| lane.acknowledged_before(number).0;
        assert_eq!((before(1), before(3)), (11, 31));
    }
}
