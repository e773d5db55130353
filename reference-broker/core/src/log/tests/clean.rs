#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "names that the log itself gave")]

use super::*;
use crate::disk::{Disk, DiskError, FileId};
use crate::log::Cleaning;
use crate::record::{Batch, Record};

const DAY: i64 = 24 * 60 * 60 * 1000;
const NOW: i64 = 1_000_000;
const ALL: Offset = Offset(i64::MAX);

fn compacted() -> LogConfig {
    LogConfig {
        compacts: true,
        deletes: false,
        takes_gaps: true,
        min_cleanable_dirty_ratio: 0.0,
        delete_retention_ms: DAY,
        ..small()
    }
}

fn keyed(pairs: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(1000);
    for (key, value) in pairs {
        builder.push(1000, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
    }
    builder.build()
}

/// A value of so many bytes that begins with a word.
fn padded(word: &str) -> String {
    format!("{word:_<100}")
}

fn put(log: &mut PartitionLog, key: &str, value: Option<&str>, disk: &mut MemDisk) {
    let value = value.map(padded);
    append(log, keyed(&[(key, value.as_deref())]), 1, disk).unwrap();
}

/// Closes the last segment, so that all before may be compacted.
fn close_segment(log: &mut PartitionLog, disk: &mut MemDisk) {
    log.roll(disk).unwrap();
    flush(log, disk);
}

/// One whole pass; false if there was nothing to do.
fn clean_at(log: &mut PartitionLog, high_watermark: Offset, wall_ms: i64, disk: &mut dyn Disk) -> bool {
    let high_watermark = high_watermark.min(log.log_end_offset());
    match log.begin_cleaning(high_watermark, wall_ms, disk).unwrap() {
        Cleaning::Busy => {}
        _ => return false,
    }
    for _ in 0..1000 {
        match log.clean_some(true, disk).unwrap() {
            Cleaning::Busy => {}
            Cleaning::Flush(_) => log.cleaned_flushed(),
            Cleaning::Done => return true,
            other => panic!("{other:?}"),
        }
    }
    panic!("never done");
}

fn clean(log: &mut PartitionLog, disk: &mut MemDisk) {
    close_segment(log, disk);
    assert!(clean_at(log, ALL, NOW, disk));
}

fn all_batches(log: &PartitionLog, disk: &mut MemDisk) -> Vec<Batch> {
    record::batches(contents(log, disk).into()).map(Result::unwrap).collect()
}

/// Offset, key and the first word of the value of what is left.
fn left(log: &PartitionLog, disk: &mut MemDisk) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).trim_end_matches('_').to_owned();
    let show =
        |record: Record| (record.offset.0, record.key.map(text).unwrap_or_default(), record.value.map(text));
    let batches = all_batches(log, disk).into_iter().filter(|batch| !batch.header.is_control());
    batches
        .flat_map(|batch| batch.records().unwrap().map(Result::unwrap).map(show).collect::<Vec<_>>())
        .collect()
}

fn shown(of: &[(i64, &str, Option<&str>)]) -> Vec<(i64, String, Option<String>)> {
    of.iter().map(|(offset, key, value)| (*offset, (*key).into(), value.map(String::from))).collect()
}

fn no_tail(config: LogConfig) -> LogConfig {
    LogConfig { tail_bytes: 0, ..config }
}

#[test]
fn only_the_newest_record_of_each_key_is_left_and_keeps_its_offset() {
    let mut disk = MemDisk::new();
    let mut log = open(&compacted(), &mut disk);
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "3"), ("b", "2"), ("d", "1")] {
        put(&mut log, key, Some(value), &mut disk);
    }
    clean(&mut log, &mut disk);
    let expected = [(3, "c", Some("1")), (4, "a", Some("3")), (5, "b", Some("2")), (6, "d", Some("1"))];
    assert_eq!(left(&log, &mut disk), shown(&expected));
    assert_eq!((log.log_start_offset().0, end(&log)), (0, 7));
    // What is not closed is not compacted, and counts for nothing.
    put(&mut log, "c", Some("2"), &mut disk);
    assert!(!clean_at(&mut log, ALL, NOW, &mut disk));
    let before = contents(&log, &mut disk);
    disk.close_all();
    let again = open(&compacted(), &mut disk);
    assert_eq!(contents(&again, &mut disk), before);
    assert_eq!((again.cleaned, again.holes), (log.cleaned, true));
    assert_eq!(disk.paths().filter(|path| path.ends_with(".cleaned") || path.ends_with(".swap")).count(), 0);
}

#[test]
fn a_later_pass_takes_the_earlier_ones_segments_along() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    for round in 0..5 {
        for key in ["a", "b", "c"] {
            put(&mut log, key, Some(&format!("{round}")), &mut disk);
        }
        clean(&mut log, &mut disk);
        let values: Vec<_> = left(&log, &mut disk).into_iter().map(|record| record.2.unwrap()).collect();
        assert_eq!(values, [format!("{round}"), format!("{round}"), format!("{round}")]);
    }
    assert_eq!(log.events().compactions, 5);
    assert!(log.segments.len() < 8, "small segments become one");
}

#[test]
fn every_offset_can_be_read_from_whatever_is_missing_there() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    for number in 0..30 {
        put(&mut log, &format!("{}", number % 4), Some("v"), &mut disk);
    }
    clean(&mut log, &mut disk);
    put(&mut log, "0", Some("w"), &mut disk);
    let kept: Vec<i64> = left(&log, &mut disk).iter().map(|record| record.0).collect();
    assert_eq!(kept, [26, 27, 28, 29, 30]);
    for from in 0..31 {
        let read = log.read(Offset(from), Offset(31), 1, true, &mut disk).unwrap();
        let first = bases(read.concat())[0];
        assert_eq!(first, *kept.iter().find(|offset| **offset >= from).unwrap(), "from {from}");
    }
    for offset in (0..30).rev() {
        let mut disk = disk.clone();
        let mut log = open(&no_tail(compacted()), &mut disk);
        log.truncate_to(Offset(offset), &mut disk).unwrap();
        assert_eq!(end(&log), offset);
        append(&mut log, keyed(&[("x", None)]), 2, &mut disk).unwrap();
        let expected: Vec<i64> = kept.iter().copied().filter(|kept| *kept < offset).chain([offset]).collect();
        assert_eq!(bases(contents(&log, &mut disk)), expected, "cut at {offset}");
    }
}

#[test]
fn a_follower_takes_what_is_left_and_knows_the_same_afterwards() {
    let mut disk = MemDisk::new();
    let mut log = open(&compacted(), &mut disk);
    for number in 0..12 {
        put(&mut log, &format!("{}", number % 3), Some("v"), &mut disk);
    }
    clean(&mut log, &mut disk);
    put(&mut log, "9", Some("v"), &mut disk);
    let bytes = Bytes::from(contents(&log, &mut disk));
    let mut other = MemDisk::new();
    let mut follower = open(&compacted(), &mut other);
    follower.append_as_follower(bytes.clone(), &mut other).unwrap();
    assert_eq!((end(&follower), contents(&follower, &mut other)), (13, bytes.to_vec()));
    other.close_all();
    assert_eq!(contents(&open(&compacted(), &mut other), &mut other), bytes.to_vec());
    let strict = &mut open(&LogConfig { takes_gaps: false, ..small() }, &mut MemDisk::new());
    assert!(matches!(
        strict.append_as_follower(bytes, &mut MemDisk::new()),
        Err(AppendError::NonContiguous { .. })
    ));
}

#[test]
fn an_epoch_whose_first_records_are_gone_begins_where_what_is_left_before_it_ends() {
    let mut disk = MemDisk::new();
    let mut log = open(&compacted(), &mut disk);
    append(&mut log, keyed(&[("a", Some(&padded("1")))]), 1, &mut disk).unwrap();
    for _ in 0..8 {
        append(&mut log, keyed(&[("b", Some(&padded("1")))]), 4, &mut disk).unwrap();
    }
    clean(&mut log, &mut disk);
    append(&mut log, keyed(&[("c", Some("1"))]), 4, &mut disk).unwrap();
    let bytes = contents(&log, &mut disk);
    assert!(!bases(bytes.clone()).contains(&1), "the first record of epoch 4 is gone");
    let mut other = MemDisk::new();
    let mut follower = open(&compacted(), &mut other);
    follower.append_as_follower(Bytes::from(bytes), &mut other).unwrap();
    let end = (LeaderEpoch(1), Offset(1));
    assert_eq!(follower.end_offset_for_epoch(LeaderEpoch(1)), end);
    other.close_all();
    assert_eq!(open(&compacted(), &mut other).end_offset_for_epoch(LeaderEpoch(1)), end);
}

/// A follower that has records of the epoch before must be told to cut them off.
#[test]
fn an_epoch_begins_where_it_began_also_behind_segments_of_which_nothing_is_left() {
    let mut disk = MemDisk::new();
    let config = LogConfig { segment_bytes: 300, ..no_tail(compacted()) };
    let mut log = open(&config, &mut disk);
    for (epoch, records) in [(1, 3), (4, 9)] {
        for _ in 0..records {
            append(&mut log, keyed(&[("a", Some(&padded("1")))]), epoch, &mut disk).unwrap();
        }
    }
    clean(&mut log, &mut disk);
    assert_eq!(left(&log, &mut disk).len(), 1);
    let end = (LeaderEpoch(1), Offset(3));
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(1)), end);
    disk.close_all();
    assert_eq!(open(&config, &mut disk).end_offset_for_epoch(LeaderEpoch(1)), end);
}

/// Also where compaction has left nothing right before the cut: a member of the in-sync set must not fall behind what is committed.
#[test]
fn a_log_that_is_cut_in_a_hole_still_ends_there_when_it_is_opened_again() {
    for (segment_bytes, flushed) in [(300, true), (300, false), (10_000, true), (10_000, false)] {
        for cut in 1..=7 {
            let mut disk = MemDisk::new();
            let config = LogConfig { segment_bytes, ..no_tail(compacted()) };
            let mut log = open(&config, &mut disk);
            for key in ["a", "a", "a", "b", "c", "c", "c"] {
                put(&mut log, key, Some("1"), &mut disk);
            }
            clean(&mut log, &mut disk);
            put(&mut log, "d", Some("1"), &mut disk);
            if flushed {
                flush(&mut log, &mut disk);
            }
            log.truncate_to(Offset(cut), &mut disk).unwrap();
            let offsets = |log: &PartitionLog, disk: &mut MemDisk| {
                left(log, disk).iter().map(|record| record.0).collect::<Vec<_>>()
            };
            let kept = offsets(&log, &mut disk);
            assert_eq!(kept, [2, 3, 6].into_iter().filter(|offset| *offset < cut).collect::<Vec<_>>());
            assert_eq!(end(&log), cut);
            disk.close_all();
            let mut log = open(&config, &mut disk);
            assert_eq!((end(&log), offsets(&log, &mut disk)), (cut, kept), "cut at {cut}");
            put(&mut log, "e", Some("1"), &mut disk);
            assert_eq!(offsets(&log, &mut disk).last(), Some(&cut));
        }
    }
}

#[test]
fn a_tombstone_stays_for_a_while_and_goes_with_what_it_deletes() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    put(&mut log, "a", Some("1"), &mut disk);
    put(&mut log, "a", None, &mut disk);
    put(&mut log, "b", Some("1"), &mut disk);
    clean(&mut log, &mut disk);
    assert_eq!(left(&log, &mut disk), shown(&[(1, "a", None), (2, "b", Some("1"))]));
    assert_eq!(all_batches(&log, &mut disk)[0].header.delete_horizon(), Some(NOW + DAY));
    put(&mut log, "c", Some("1"), &mut disk);
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, ALL, NOW + DAY - 1, &mut disk));
    assert_eq!(left(&log, &mut disk)[0].0, 1);
    put(&mut log, "d", Some("1"), &mut disk);
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, ALL, NOW + DAY, &mut disk));
    assert_eq!(left(&log, &mut disk).iter().map(|record| record.0).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_tombstone_behind_a_compressed_batch_never_goes() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    let mut compressed = keyed(&[("a", Some("1"))]).to_vec();
    compressed[22] |= 4;
    crate::record::seal(&mut compressed);
    append(&mut log, compressed.into(), 1, &mut disk).unwrap();
    put(&mut log, "a", None, &mut disk);
    clean(&mut log, &mut disk);
    put(&mut log, "b", Some("1"), &mut disk);
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, ALL, NOW + 2 * DAY, &mut disk));
    let kept = all_batches(&log, &mut disk);
    assert_eq!(kept.iter().map(|batch| batch.header.base_offset.0).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn nothing_is_compacted_past_the_last_stable_offset() {
    // KAFKA-13194: a newer record that is not committed yet must not take away the older one.
    let mut disk = MemDisk::new();
    let mut log = open(&compacted(), &mut disk);
    for _ in 0..6 {
        put(&mut log, "a", Some("v"), &mut disk);
    }
    close_segment(&mut log, &mut disk);
    assert!(!clean_at(&mut log, Offset(0), NOW, &mut disk));
    let second = log.segments[1].base;
    assert!(clean_at(&mut log, Offset(second.0 + 1), NOW, &mut disk));
    assert_eq!(left(&log, &mut disk)[0].0, second.0 - 1, "the newest of those below");
}

#[test]
fn with_the_planted_bug_an_uncommitted_record_takes_away_a_committed_one() {
    let mut disk = MemDisk::new();
    let defects = [crate::Defect::CleanPastHighWatermark].into_iter().collect();
    let mut log = open(&LogConfig { defects, ..no_tail(compacted()) }, &mut disk);
    for _ in 0..6 {
        put(&mut log, "a", Some("v"), &mut disk);
    }
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, Offset(3), NOW, &mut disk));
    assert_eq!(left(&log, &mut disk)[0].0, 5);
    log.truncate_to(Offset(3), &mut disk).unwrap();
    let rest = log.read(Offset(0), Offset(3), 1000, true, &mut disk).unwrap();
    assert!(rest.is_empty(), "the key is gone");
}

#[test]
fn what_is_not_durable_or_too_young_or_too_little_waits() {
    let mut disk = MemDisk::new();
    let config = LogConfig { min_compaction_lag_ms: 500, min_cleanable_dirty_ratio: 0.5, ..compacted() };
    let mut log = open(&config, &mut disk);
    (0..8).for_each(|_| put(&mut log, "a", Some("v"), &mut disk));
    log.roll(&mut disk).unwrap();
    assert_eq!(log.begin_cleaning(Offset(8), NOW, &mut disk), Ok(Cleaning::NotDurable));
    flush(&mut log, &mut disk);
    assert_eq!(log.begin_cleaning(Offset(8), 1400, &mut disk), Ok(Cleaning::Idle), "stamped with 1000");
    assert!(clean_at(&mut log, ALL, 1501, &mut disk));
    (0..3).for_each(|key| put(&mut log, &format!("{key}"), Some("v"), &mut disk));
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, ALL, NOW, &mut disk));
    put(&mut log, "a", Some("v"), &mut disk);
    close_segment(&mut log, &mut disk);
    assert!(!clean_at(&mut log, ALL, NOW, &mut disk), "one of five");
    log.configure(LogConfig { max_compaction_lag_ms: NOW - 1001, ..config });
    assert!(clean_at(&mut log, ALL, NOW, &mut disk), "but it has waited long enough");
}

#[test]
fn records_of_aborted_transactions_go_and_their_marker_after_them() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    let of = |id: i64, sequence: i32, key: &str| {
        BatchBuilder::new(1000)
            .producer(ProducerId(id), ProducerEpoch(0), Sequence(sequence))
            .transactional()
            .record(Some(key.as_bytes()), Some(b"v"))
            .build()
    };
    append_verified(&mut log, of(11, 0, "a"), 1, &mut disk).unwrap();
    append_verified(&mut log, of(12, 0, "a"), 1, &mut disk).unwrap();
    append_verified(&mut log, of(12, 1, "b"), 1, &mut disk).unwrap();
    mark(&mut log, (12, 0), false, 1, &mut disk).unwrap();
    mark(&mut log, (11, 0), true, 1, &mut disk).unwrap();
    clean(&mut log, &mut disk);
    // The record of the aborted one does not shadow the committed one; its producer's last batches stay, empty, and the marker.
    assert_eq!(left(&log, &mut disk), shown(&[(0, "a", Some("v"))]));
    let kept = |log: &PartitionLog, disk: &mut MemDisk| bases(contents(log, disk));
    assert_eq!(kept(&log, &mut disk), [0, 1, 2, 3, 4]);
    let aborted = |log: &PartitionLog| log.aborted_in(Offset(0), Offset(19)).len();
    assert_eq!(aborted(&log), 1, "empty batches are left of it");

    // As many others of the producer as are remembered: the empty ones go.
    for sequence in 2..7 {
        append_verified(&mut log, of(12, sequence, "c"), 1, &mut disk).unwrap();
    }
    mark(&mut log, (12, 0), true, 1, &mut disk).unwrap();
    clean(&mut log, &mut disk);
    let after = |first: &[i64], end: i64| first.iter().copied().chain(4..=end).collect::<Vec<_>>();
    assert_eq!((kept(&log, &mut disk), aborted(&log)), (after(&[0, 3], 10), 1));
    // Now nothing of the transaction is left, and its marker has its horizon.
    put(&mut log, "d", Some("v"), &mut disk);
    clean(&mut log, &mut disk);
    assert_eq!((kept(&log, &mut disk), aborted(&log)), (after(&[0, 3], 11), 0));
    put(&mut log, "e", Some("v"), &mut disk);
    close_segment(&mut log, &mut disk);
    assert!(clean_at(&mut log, ALL, NOW + DAY, &mut disk));
    assert_eq!(kept(&log, &mut disk), after(&[0], 12), "a marker stays as long as its records");
    disk.close_all();
    let again = open(&no_tail(compacted()), &mut disk);
    assert_eq!(again.last_stable_offset(again.log_end_offset()), again.log_end_offset());
}

/// A retry of any batch that may be in flight is known again by a replica that is made from what is left.
#[test]
fn the_last_sequences_of_a_producer_survive_all_its_records() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    let of = |sequence: i32, key: &str| {
        BatchBuilder::new(1000)
            .producer(ProducerId(9), ProducerEpoch(0), Sequence(sequence))
            .record(Some(key.as_bytes()), Some(b"v"))
            .build()
    };
    for sequence in 0..7 {
        append(&mut log, of(sequence, "a"), 1, &mut disk).unwrap();
    }
    put(&mut log, "a", Some("w"), &mut disk);
    clean(&mut log, &mut disk);
    assert_eq!(left(&log, &mut disk), shown(&[(7, "a", Some("w"))]));
    assert_eq!(bases(contents(&log, &mut disk)), [2, 3, 4, 5, 6, 7]);
    let bytes = Bytes::from(contents(&log, &mut disk));
    let mut other = MemDisk::new();
    let mut follower = open(&compacted(), &mut other);
    follower.append_as_follower(bytes, &mut other).unwrap();
    for known in 2..7 {
        assert!(append(&mut follower, of(known, "a"), 2, &mut other).unwrap().duplicate);
    }
    assert!(append(&mut follower, of(8, "a"), 2, &mut other).is_err());
    assert!(append(&mut follower, of(7, "a"), 2, &mut other).is_ok());
}

#[test]
fn a_record_without_a_key_is_refused_in_a_compacted_log() {
    let mut disk = MemDisk::new();
    let mut log = open(&compacted(), &mut disk);
    assert_eq!(append(&mut log, plain(1), 1, &mut disk).unwrap_err().code(), 87);
}

#[test]
fn damage_is_not_sealed_anew() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    (0..6).for_each(|_| put(&mut log, "a", Some("v"), &mut disk));
    close_segment(&mut log, &mut disk);
    let path = log.segments[0].path();
    disk.contents_mut(&path).unwrap()[90] ^= 1;
    assert_eq!(log.begin_cleaning(Offset(6), NOW, &mut disk), Ok(Cleaning::Busy));
    assert!(log.clean_some(true, &mut disk).is_err());
    assert_eq!(log.begin_cleaning(Offset(6), NOW, &mut disk), Ok(Cleaning::Idle), "not again");
    assert_eq!(end(&log), 6);
}

#[test]
fn a_pass_that_a_cut_or_a_deletion_overtakes_changes_nothing() {
    for deletes in [false, true] {
        let mut disk = MemDisk::new();
        let mut log = open(&no_tail(compacted()), &mut disk);
        (0..8).for_each(|_| put(&mut log, "a", Some("v"), &mut disk));
        close_segment(&mut log, &mut disk);
        assert_eq!(log.begin_cleaning(Offset(8), NOW, &mut disk), Ok(Cleaning::Busy));
        while !matches!(log.clean_some(true, &mut disk).unwrap(), Cleaning::Flush(_)) {}
        if deletes {
            log.raise_start(Offset(5), &mut disk).unwrap();
            log.remove_deleted(&mut disk).unwrap();
        } else {
            log.truncate_to(Offset(7), &mut disk).unwrap();
        }
        log.cleaned_flushed();
        let before = contents(&log, &mut disk);
        assert_eq!(log.clean_some(true, &mut disk), Ok(Cleaning::Idle));
        assert!(!log.is_cleaning());
        assert_eq!(contents(&log, &mut disk), before);
        assert!(!disk.paths().any(|path| path.ends_with(".cleaned")));
    }
}

/// A disk whose process dies before its n-th change.
struct Mortal<'a> {
    disk: &'a mut MemDisk,
    left: usize,
}

impl Mortal<'_> {
    fn change(&mut self) -> Result<(), DiskError> {
        let dead = || DiskError::Io { path: "all".into(), error: "dead".into() };
        self.left = self.left.checked_sub(1).ok_or_else(dead)?;
        Ok(())
    }
}

impl Disk for Mortal<'_> {
    fn open(&mut self, path: &str) -> Result<FileId, DiskError> {
        self.disk.open(path)
    }
    fn close(&mut self, file: FileId) {
        self.disk.close(file);
    }
    fn len(&mut self, file: FileId) -> Result<u64, DiskError> {
        self.disk.len(file)
    }
    fn write_at(&mut self, file: FileId, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.change()?;
        self.disk.write_at(file, position, parts)
    }
    fn read_at(&mut self, file: FileId, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read_at(file, position, buffer)
    }
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), DiskError> {
        self.change()?;
        self.disk.truncate(file, length)
    }
    fn sync(&mut self, file: FileId) -> Result<(), DiskError> {
        self.disk.sync(file)
    }
    fn sync_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.disk.sync_dir(path)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.change()?;
        self.disk.rename(from, to)
    }
    fn remove(&mut self, path: &str) -> Result<(), DiskError> {
        self.change()?;
        self.disk.remove(path)
    }
    fn create_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }
    fn remove_dir(&mut self, path: &str) -> Result<(), DiskError> {
        self.disk.remove_dir(path)
    }
    fn list(&mut self, path: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(path)
    }
}

/// A pass on a disk that may fail; whether it came to its end.
fn clean_until_death(log: &mut PartitionLog, disk: &mut dyn Disk) -> bool {
    if log.begin_cleaning(Offset(30), NOW, disk) != Ok(Cleaning::Busy) {
        return false;
    }
    loop {
        match log.clean_some(true, disk) {
            Ok(Cleaning::Busy) => {}
            Ok(Cleaning::Flush(_)) => log.cleaned_flushed(),
            Ok(Cleaning::Done) => return true,
            _ => return false,
        }
    }
}

#[test]
fn a_crash_at_any_change_leaves_the_old_segments_or_the_new_ones() {
    let mut disk = MemDisk::new();
    let mut log = open(&no_tail(compacted()), &mut disk);
    for number in 0..30 {
        put(&mut log, &format!("{}", number % 7), Some("v"), &mut disk);
    }
    close_segment(&mut log, &mut disk);
    drop(log);
    disk.close_all();
    let newest: Vec<i64> = (23..30).collect();
    let mut half = 0;
    for left_changes in 0..1000 {
        let mut disk = disk.clone();
        let mut log = open(&no_tail(compacted()), &mut disk);
        let done = clean_until_death(&mut log, &mut Mortal { disk: &mut disk, left: left_changes });
        drop(log);
        disk.close_all();
        let mut log = open(&no_tail(compacted()), &mut disk);
        half += log.events().swaps_completed;
        let found: Vec<i64> = left(&log, &mut disk).iter().map(|record| record.0).collect();
        assert!(newest.iter().all(|offset| found.contains(offset)), "{left_changes}: {found:?}");
        assert!(found.is_sorted() && end(&log) == 30, "{left_changes}");
        assert!(!disk.paths().any(|path| path.ends_with(".cleaned") || path.ends_with(".swap")));
        close_segment(&mut log, &mut disk);
        clean_at(&mut log, ALL, NOW, &mut disk);
        let found: Vec<i64> = left(&log, &mut disk).iter().map(|record| record.0).collect();
        assert_eq!(found, newest, "{left_changes}: after another pass");
        if done {
            assert!(half > 5, "{half} of {left_changes} crashes were half way");
            return;
        }
    }
    panic!("never done");
}
