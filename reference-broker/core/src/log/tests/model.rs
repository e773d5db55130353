//! Random lives of a log, against a list of batches.

use proptest::prelude::*;

use super::*;
use crate::log::LogError;
use crate::log::producers::ProducerStates;
use crate::record::Batch;

#[derive(Clone, Copy, Debug)]
enum Step {
    Append {
        records: usize,
        value_bytes: usize,
        timestamp: i64,
    },
    AppendFrom {
        producer: i64,
    },
    AppendInTransaction {
        producer: i64,
    },
    EndTransaction {
        producer: i64,
        commit: bool,
    },
    Elect,
    Truncate {
        fraction: f64,
    },
    Flush,
    /// The process dies; the last segment loses so much of its end.
    Crash {
        torn: f64,
    },
    Stop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_usize, 0..120_usize, 0..1000_i64)
            .prop_map(|(records, value_bytes, timestamp)| Step::Append { records, value_bytes, timestamp }),
        6 => (1..4_i64).prop_map(|producer| Step::AppendFrom { producer }),
        6 => (11..14_i64).prop_map(|producer| Step::AppendInTransaction { producer }),
        4 => (11..14_i64, any::<bool>())
            .prop_map(|(producer, commit)| Step::EndTransaction { producer, commit }),
        2 => Just(Step::Elect),
        1 => (0.0..1.2_f64).prop_map(|fraction| Step::Truncate { fraction }),
        2 => Just(Step::Flush),
        2 => prop_oneof![Just(0.0), 0.0..1.0_f64].prop_map(|torn| Step::Crash { torn }),
        1 => Just(Step::Stop),
    ]
}

struct Model {
    disk: MemDisk,
    log: PartitionLog,
    epoch: i32,
    /// The whole truth, in order.
    batches: Vec<Batch>,
    config: LogConfig,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.header.last_offset().0 + 1)
    }

    fn append(&mut self, batch: Bytes) {
        let appended = append_verified(&mut self.log, batch, self.epoch, &mut self.disk).unwrap();
        self.appended(appended);
    }

    fn appended(&mut self, appended: Appended) {
        assert_eq!((appended.first_offset.0, appended.duplicate), (self.end(), false));
        let stored = self.log.read(appended.first_offset, self.log.log_end_offset(), 0, true, &mut self.disk);
        let batch = record::batches(stored.unwrap().concat().into()).next().unwrap().unwrap();
        assert_eq!(batch.header.leader_epoch.0, self.epoch);
        self.batches.push(batch);
    }

    fn next_sequence(&self, producer: i64) -> i32 {
        let of_producer =
            |batch: &&Batch| batch.header.producer_id.0 == producer && !batch.header.is_control();
        let last = self.batches.iter().rev().find(of_producer);
        last.map_or(0, |batch| batch.header.last_sequence().0 + 1)
    }

    fn reopen(&mut self) {
        self.disk.close_all();
        self.log = open(&self.config, &mut self.disk);
    }

    fn crash(&mut self, torn: f64) {
        let path = self.log.active().path();
        let file = self.disk.contents_mut(&path).unwrap();
        let lost = (file.len() as f64 * torn) as usize;
        file.truncate(file.len() - lost);
        let mut left = lost as i64;
        while left > 0 {
            left -= self.batches.pop().unwrap().bytes.len() as i64;
        }
        if self.end() >= self.log.durable.0 {
            return self.reopen();
        }
        // An honest disk does not lose what was durable: the log must not open. Life begins anew.
        self.disk.close_all();
        let refused = PartitionLog::open(DIRECTORY, self.config, &mut self.disk);
        assert!(matches!(refused, Err(LogError::Damaged { .. })));
        self.disk = MemDisk::new();
        self.batches.clear();
        self.reopen();
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Append { records, value_bytes, timestamp } => {
                let mut builder = BatchBuilder::new(timestamp);
                for n in 0..records {
                    builder.push(timestamp - n as i64, None, Some(&vec![1; value_bytes]), &[]);
                }
                self.append(builder.build());
            }
            Step::AppendFrom { producer } => {
                let sequence = self.next_sequence(producer);
                self.append(from_producer(producer, 0, sequence));
                let again =
                    append(&mut self.log, from_producer(producer, 0, sequence), self.epoch, &mut self.disk);
                assert!(again.unwrap().duplicate);
            }
            Step::AppendInTransaction { producer } => {
                let sequence = self.next_sequence(producer);
                self.append(transactional(producer, 0, sequence));
            }
            Step::EndTransaction { producer, commit } => {
                let marked = mark(&mut self.log, (producer, 0), commit, self.epoch, &mut self.disk).unwrap();
                self.appended(marked);
            }
            Step::Elect => {
                self.epoch += 1;
                self.log.start_epoch(LeaderEpoch(self.epoch));
                assert_eq!(self.log.latest_epoch().0, self.epoch);
            }
            Step::Truncate { fraction } => {
                let offset = (self.end() as f64 * fraction) as i64;
                self.log.truncate_to(Offset(offset), &mut self.disk).unwrap();
                self.batches.retain(|batch| batch.header.last_offset().0 < offset);
            }
            Step::Flush => {
                flush(&mut self.log, &mut self.disk);
                assert_eq!(self.log.flushed_end_offset().0, self.end());
            }
            Step::Crash { torn } => self.crash(torn),
            Step::Stop => {
                let log = std::mem::replace(&mut self.log, open(&self.config, &mut self.disk));
                log.close(&mut self.disk).unwrap();
                self.reopen();
                assert_eq!(self.log.flushed_end_offset().0, self.end());
            }
        }
    }

    fn compare(&mut self) {
        assert_eq!(end(&self.log), self.end());
        let truth: Vec<u8> = self.batches.iter().flat_map(|batch| batch.bytes.to_vec()).collect();
        assert!(contents(&self.log, &mut self.disk) == truth, "other bytes");

        let mut producers = ProducerStates::default();
        for batch in &self.batches {
            producers.update(&batch.header, Marker::of(batch));
        }
        assert_eq!(self.log.producers, producers);
        self.compare_transactions();

        for batch in &self.batches {
            let header = batch.header;
            assert_eq!(self.log.epoch_at(header.base_offset), header.leader_epoch);
            let first_above =
                self.batches.iter().find(|other| other.header.leader_epoch > header.leader_epoch);
            let (epoch, end) = self.log.end_offset_for_epoch(header.leader_epoch);
            assert_eq!(epoch, header.leader_epoch);
            assert_eq!(end.0, first_above.map_or(self.end(), |other| other.header.base_offset.0));
        }
        for timestamp in [0, 250, 500, 750, 1001] {
            let records = self.batches.iter().flat_map(|batch| batch.records().unwrap().map(Result::unwrap));
            let first = records.into_iter().find(|record| record.timestamp >= timestamp);
            let found = self.log.offset_for_timestamp(timestamp, &mut self.disk).unwrap();
            assert_eq!(found.map(|found| found.0), first.map(|record| record.offset), "time {timestamp}");
        }
    }
}

impl Model {
    /// By the first and the last offset of each transaction: whether it was committed, or `None` while it is open.
    fn transactions(&self) -> Vec<(i64, i64, Option<bool>)> {
        let mut transactions: Vec<(i64, i64, i64, Option<bool>)> = Vec::new();
        for batch in self.batches.iter().filter(|batch| batch.header.is_transactional()) {
            let (producer, offset) = (batch.header.producer_id.0, batch.header.base_offset.0);
            let open = transactions.iter_mut().find(|(id, .., ended)| *id == producer && ended.is_none());
            match (open, Marker::of(batch)) {
                (Some(open), Some(marker)) => (open.2, open.3) = (offset, Some(marker.commit)),
                (None, None) => transactions.push((producer, offset, i64::MAX, None)),
                (Some(_), None) | (None, Some(_)) => {}
            }
        }
        transactions.into_iter().map(|(_, first, last, ended)| (first, last, ended)).collect()
    }

    fn compare_transactions(&self) {
        let transactions = self.transactions();
        let open = transactions.iter().filter(|(.., ended)| ended.is_none()).map(|(first, ..)| *first).min();
        assert_eq!(self.log.last_stable_offset(self.log.log_end_offset()).0, open.unwrap_or(self.end()));
        for (from, to) in [(0, self.end()), (self.end() / 3, self.end() / 2), (self.end() / 2, self.end())] {
            let aborted = transactions.iter().filter(|(_, _, ended)| *ended == Some(false));
            let mut expected: Vec<_> = aborted
                .filter(|(first, last, _)| *last >= from && *first < to)
                .map(|(first, last, _)| (*last, *first))
                .collect();
            expected.sort_unstable();
            let found = self.log.aborted_in(Offset(from), Offset(to));
            let found: Vec<_> = found.iter().map(|entry| (entry.marker.0, entry.first.0)).collect();
            assert_eq!(found, expected, "{from}..{to}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_a_list_of_batches(steps in prop::collection::vec(step(), 1..60), tail_bytes in 0..600_usize) {
        let config = LogConfig { tail_bytes, ..small() };
        let mut disk = MemDisk::new();
        let log = open(&config, &mut disk);
        let mut model = Model { disk, log, epoch: 0, batches: Vec::new(), config };
        for step in steps {
            model.apply(step);
            model.compare();
        }
    }
}
