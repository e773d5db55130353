#![expect(clippy::case_sensitive_file_extension_comparisons, reason = "names that the log itself gave")]

use super::*;
use crate::disk::Disk;
use crate::log::LogError;

fn start(log: &PartitionLog) -> i64 {
    log.log_start_offset().0
}

fn segment_bases(log: &PartitionLog) -> Vec<i64> {
    log.segments.iter().map(|segment| segment.base.0).collect()
}

#[test]
fn what_lies_below_the_start_cannot_be_read_and_its_segments_go() {
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    let before = segment_bases(&log);
    assert_eq!(log.raise_start(Offset(7), &mut disk), Ok(true));
    assert_eq!(log.raise_start(Offset(7), &mut disk), Ok(false));
    assert_eq!(log.raise_start(Offset(3), &mut disk), Ok(false), "the start never falls");
    let below = log.read(Offset(6), Offset(14), 1000, true, &mut disk);
    assert!(matches!(below, Err(LogError::OutOfRange { .. })));
    assert_eq!(bases(contents(&log, &mut disk)), (7..14).collect::<Vec<_>>());
    log.remove_deleted(&mut disk).unwrap();
    let kept: Vec<i64> = before.iter().copied().filter(|base| *base >= before[before.len() - 2]).collect();
    assert_eq!(segment_bases(&log).last(), kept.last());
    assert!(segment_bases(&log)[0] <= 7 && segment_bases(&log)[1] > 7);
    assert_eq!(disk.paths().filter(|path| path.ends_with(".log")).count(), log.segments.len());
}

#[test]
fn the_start_is_known_after_a_crash_even_if_the_files_are_still_there() {
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    let names: Vec<String> = disk.paths().map(String::from).collect();
    log.raise_start(Offset(9), &mut disk).unwrap();
    for removed in [false, true] {
        if removed {
            log.remove_deleted(&mut disk).unwrap();
        }
        let mut crashed = disk.clone();
        crashed.close_all();
        let again = open(&small(), &mut crashed);
        assert_eq!((start(&again), end(&again)), (9, 14), "removed: {removed}");
        assert_eq!(contents(&again, &mut crashed), contents(&log, &mut disk));
    }
    // A power loss brings one of the removed names back, out of the middle.
    let back = names.iter().filter(|name| name.ends_with(".log")).nth(1).unwrap();
    disk.open(back).unwrap();
    disk.close_all();
    assert_eq!(start(&open(&small(), &mut disk)), 9);
    assert!(!disk.paths().any(|path| path == back));
}

#[test]
fn a_log_may_start_inside_a_batch_and_the_batch_comes_whole() {
    // KAFKA-6975.
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append(&mut log, plain(3), 1, &mut disk).unwrap();
    append(&mut log, plain(2), 1, &mut disk).unwrap();
    log.raise_start(Offset(1), &mut disk).unwrap();
    let batches = bases(log.read(Offset(1), Offset(5), 1000, true, &mut disk).unwrap().concat());
    assert_eq!(batches, [0, 3]);
    log.truncate_to(Offset(2), &mut disk).unwrap();
    assert_eq!((start(&log), end(&log)), (1, 1), "nothing is left of a batch that is cut");
    append(&mut log, plain(1), 2, &mut disk).unwrap();
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!((start(&log), end(&log)), (1, 2));
}

#[test]
fn all_can_be_deleted_and_the_log_goes_on() {
    let mut disk = MemDisk::new();
    let mut log = filled(9, &small(), &mut disk);
    log.raise_start(Offset(99), &mut disk).unwrap();
    assert_eq!((start(&log), end(&log)), (9, 9));
    append(&mut log, plain(1), 2, &mut disk).unwrap();
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!((start(&log), end(&log), log.latest_epoch()), (9, 10, LeaderEpoch(2)));
}

#[test]
fn a_log_that_has_lost_all_that_was_not_deleted_is_empty_and_not_damaged() {
    // 1. All records up to 9 are deleted; those behind are not flushed. 2. Power is lost, and with it the end of the last segment.
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    log.raise_start(Offset(12), &mut disk).unwrap();
    log.remove_deleted(&mut disk).unwrap();
    let path = log.segments[0].path();
    let later: Vec<String> = log.segments[1..].iter().map(crate::log::segment::Segment::path).collect();
    disk.contents_mut(&path).unwrap().truncate(10);
    for path in later {
        disk.remove(&path).unwrap();
    }
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!((start(&log), end(&log), log.latest_epoch()), (12, 12, LeaderEpoch(1)));
}

#[test]
fn a_log_that_starts_again_elsewhere_forgets_everything() {
    for offset in [0, 5, 9, 40] {
        let mut disk = MemDisk::new();
        let mut log = filled(9, &small(), &mut disk);
        append(&mut log, from_producer(4, 0, 0), 1, &mut disk).unwrap();
        flush(&mut log, &mut disk);
        log.start_again_at(Offset(offset), LeaderEpoch(7), &mut disk).unwrap();
        let appended = append(&mut log, from_producer(4, 0, 3), 8, &mut disk).unwrap();
        assert_eq!(appended.first_offset, Offset(offset), "an unknown producer may go on anywhere");
        disk.close_all();
        let log = open(&small(), &mut disk);
        assert_eq!((start(&log), end(&log)), (offset, offset + 1));
        let before = if offset == 0 { LeaderEpoch::NONE } else { LeaderEpoch(7) };
        assert_eq!(log.epoch_at(Offset(offset - 1)), before);
    }
}

#[test]
fn time_stamps_of_what_was_deleted_are_not_found() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    let mut builder = BatchBuilder::new(100);
    for timestamp in [100, 300, 200] {
        builder.push(timestamp, None, Some(b"v"), &[]);
    }
    append(&mut log, builder.build(), 1, &mut disk).unwrap();
    append(&mut log, plain(1), 1, &mut disk).unwrap();
    log.raise_start(Offset(2), &mut disk).unwrap();
    let find = |log: &PartitionLog, timestamp, disk: &mut MemDisk| {
        log.offset_for_timestamp(timestamp, disk).unwrap().map(|found| found.0.0)
    };
    assert_eq!(find(&log, 150, &mut disk), Some(2));
    assert_eq!(find(&log, 250, &mut disk), Some(3));
}
/// Ten segments of three batches each, all durable.
fn long(disk: &mut MemDisk) -> PartitionLog {
    let mut log = open(&small(), disk);
    for epoch in [1, 1, 4, 4, 5] {
        for _ in 0..6 {
            append(&mut log, plain(1), epoch, disk).unwrap();
        }
    }
    flush(&mut log, disk);
    log
}

#[test]
fn segments_below_an_offset_go_and_what_is_left_is_the_same_after_a_restart() {
    let mut disk = MemDisk::new();
    let mut log = long(&mut disk);
    let all = bases(contents(&log, &mut disk));
    log.delete_segments_below(Offset(14), &mut disk).unwrap();
    let start = log.log_start_offset();
    assert!(start > Offset(6) && start <= Offset(14), "{start}");
    let left = bases(contents(&log, &mut disk));
    assert_eq!(left, all[start.0 as usize..]);
    assert_eq!(log.epoch_at(Offset(start.0 - 1)), LeaderEpoch(1));
    disk.close_all();
    let again = open(&small(), &mut disk);
    assert_eq!((again.log_start_offset(), again.log_end_offset()), (start, Offset(30)));
    assert_eq!(bases(contents(&again, &mut disk)), left);
    assert_eq!(again.epoch_at(Offset(start.0 - 1)), LeaderEpoch(1));
}

#[test]
fn what_is_not_durable_and_the_last_segment_stay() {
    let mut disk = MemDisk::new();
    let mut log = filled(12, &small(), &mut disk);
    log.delete_segments_below(Offset(12), &mut disk).unwrap();
    assert_eq!(log.log_start_offset(), Offset(0), "nothing was flushed");
    flush(&mut log, &mut disk);
    log.delete_segments_below(Offset(12), &mut disk).unwrap();
    assert!(log.log_start_offset() > Offset(0) && log.log_start_offset() < Offset(12));
    disk.close_all();
    assert_eq!(open(&small(), &mut disk).log_end_offset(), Offset(12));
}

#[test]
fn a_log_that_starts_again_goes_on_at_its_offset() {
    let mut disk = MemDisk::new();
    let mut log = long(&mut disk);
    log.start_again_at(Offset(100), LeaderEpoch(7), &mut disk).unwrap();
    let check = |log: &PartitionLog| {
        assert_eq!((log.log_start_offset().0, log.log_end_offset().0), (100, 100));
        assert_eq!((log.epoch_at(Offset(99)), log.latest_epoch()), (LeaderEpoch(7), LeaderEpoch(7)));
        assert_eq!(log.end_offset_for_epoch(LeaderEpoch(7)), (LeaderEpoch(7), Offset(100)));
    };
    check(&log);
    disk.close_all();
    let mut log = open(&small(), &mut disk);
    check(&log);
    for _ in 0..7 {
        append(&mut log, plain(1), 8, &mut disk).unwrap();
    }
    flush(&mut log, &mut disk);
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!(bases(contents(&log, &mut disk)), (100..107).collect::<Vec<_>>());
    assert_eq!(log.epoch_at(Offset(99)), LeaderEpoch(7));
}

#[test]
fn a_log_that_was_to_start_again_and_lost_its_checkpoint_is_not_damaged() {
    let mut disk = MemDisk::new();
    let mut log = long(&mut disk);
    log.delete_segments_below(Offset(14), &mut disk).unwrap();
    disk.remove(&format!("{DIRECTORY}/checkpoint")).unwrap();
    disk.close_all();
    assert_eq!(open(&small(), &mut disk).log_end_offset(), Offset(0), "its beginning is gone");
}
