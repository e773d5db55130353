use super::*;
use crate::disk::Disk;
use crate::log::LogError;

#[test]
fn a_log_that_is_cut_at_any_byte_ends_after_the_last_whole_batch() {
    let mut disk = MemDisk::new();
    let mut log = filled(10, &small(), &mut disk);
    for sequence in 0..2 {
        append(&mut log, from_producer(9, 0, sequence), 2, &mut disk).unwrap();
    }
    let path = active_path(&log);
    let (base, whole) = (log.active().base, contents(&log, &mut disk));
    let length = disk.contents(&path).unwrap().len();
    let before = whole.len() - length;
    for cut in 0..=length {
        let mut crashed = disk.clone();
        crashed.close_all();
        crashed.contents_mut(&path).unwrap().truncate(cut);
        let mut log = open(&small(), &mut crashed);
        let survived = contents(&log, &mut crashed);
        assert!(whole.starts_with(&survived), "cut at {cut}");
        assert!(survived.len() <= before + cut && log.log_end_offset() >= base, "cut at {cut}");
        let next = whole[survived.len()..].to_vec();
        if let Some(torn) = record::batches(next.into()).next() {
            let size = torn.unwrap().bytes.len();
            assert!(survived.len() + size > before + cut, "a whole batch was cut away at {cut}");
        }

        let expected = end(&log);
        assert_eq!(log.latest_epoch(), LeaderEpoch(if expected > 10 { 2 } else { 1 }));
        let appended = append(&mut log, plain(1), 3, &mut crashed).unwrap();
        assert_eq!(appended.first_offset, Offset(expected));
        crashed.close_all();
        assert_eq!(end(&open(&small(), &mut crashed)), expected + 1, "the torn bytes are gone");
    }
}

#[test]
fn a_flipped_byte_ends_the_log_before_its_batch() {
    let mut disk = MemDisk::new();
    let log = filled(5, &LogConfig::default(), &mut disk);
    let path = active_path(&log);
    let size = plain(1).len();
    for at in 0..5 * size {
        let mut damaged = disk.clone();
        damaged.contents_mut(&path).unwrap()[at] ^= 0x10;
        let end = end(&open(&LogConfig::default(), &mut damaged));
        // The leader epoch is the one field that neither the checksum nor the offset vouches for, and a larger
        // one is no contradiction.
        let epoch_field = (12..16).contains(&(at % size));
        assert!(end == (at / size) as i64 || epoch_field, "byte {at}: ends at {end}");
    }
}

#[test]
fn a_torn_segment_takes_the_later_ones_with_it() {
    let mut disk = MemDisk::new();
    let log = filled(14, &small(), &mut disk);
    let torn = &log.segments[1];
    let (path, base) = (torn.path(), torn.base);
    disk.contents_mut(&path).unwrap().truncate(100);
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!(log.log_end_offset(), base.next());
    let left: Vec<String> = disk.paths().map(|path| path.replace(DIRECTORY, "").replace('0', "")).collect();
    let (active, snapshot) = (format!("/{}.log", base.0), format!("/{}.snapshot", base.0));
    assert_eq!(left, ["/.index", "/.log", "/.timeindex", "/.txnindex", &active, &snapshot]);
}

#[test]
fn a_log_that_has_lost_its_first_segment_begins_anew() {
    let mut disk = MemDisk::new();
    let log = filled(14, &small(), &mut disk);
    let first = log.segments[0].path();
    disk.remove(&first).unwrap();
    disk.close_all();
    let log = open(&small(), &mut disk);
    assert_eq!((log.log_start_offset(), end(&log)), (Offset(0), 0));
    assert_eq!(disk.paths().collect::<Vec<_>>(), [first]);
}

#[test]
fn damage_below_what_was_durable_is_an_error_and_nothing_is_cut() {
    let mut disk = MemDisk::new();
    let log = filled(5, &LogConfig::default(), &mut disk);
    let path = active_path(&log);
    log.close(&mut disk).unwrap();
    disk.contents_mut(&path).unwrap()[200] ^= 1;
    let before = disk.contents(&path).unwrap().to_vec();
    let error = PartitionLog::open(DIRECTORY, LogConfig::default(), &mut disk).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    assert_eq!((error.code(), disk.contents(&path).unwrap()), (2, &before[..]));

    disk.contents_mut(&path).unwrap().truncate(plain(1).len());
    let error = PartitionLog::open(DIRECTORY, LogConfig::default(), &mut disk).unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "a clean end is damage too: {error}");
}

#[test]
fn a_bad_tail_is_gone_for_good_before_anything_follows_it() {
    let mut disk = MemDisk::new();
    let log = filled(3, &LogConfig::default(), &mut disk);
    let path = active_path(&log);
    disk.contents_mut(&path).unwrap().extend_from_slice(b"torn");
    disk.close_all();
    let log = open(&LogConfig::default(), &mut disk);
    assert_eq!(end(&log), 3);
    assert!(!disk.is_unflushed(&path));
}

#[test]
fn batches_left_over_from_before_a_cut_do_not_come_back() {
    // 1. Epoch 1 appends A B C. 2. The log is cut to 1, and epoch 2 appends D in the place of B. 3. Power is lost;
    // the cut itself was not durable, so that C is behind D with the right offset and a good checksum.
    let mut disk = MemDisk::new();
    let mut log = filled(3, &LogConfig::default(), &mut disk);
    let path = active_path(&log);
    let old = disk.contents(&path).unwrap().to_vec();
    log.truncate_to(Offset(1), &mut disk).unwrap();
    append(&mut log, plain(1), 2, &mut disk).unwrap();
    let file = disk.contents_mut(&path).unwrap();
    let length = file.len();
    file.extend_from_slice(&old[length..]);
    disk.close_all();
    let log = open(&LogConfig::default(), &mut disk);
    assert_eq!((end(&log), log.latest_epoch()), (2, LeaderEpoch(2)));
}

#[test]
fn producers_are_known_again_after_a_crash_and_after_an_orderly_stop() {
    for orderly in [false, true] {
        let mut disk = MemDisk::new();
        let mut log = open(&small(), &mut disk);
        for sequence in 0..12 {
            append(&mut log, from_producer(9, 0, sequence), 1, &mut disk).unwrap();
        }
        flush(&mut log, &mut disk);
        for sequence in 12..14 {
            append(&mut log, from_producer(9, 0, sequence), 1, &mut disk).unwrap();
        }
        if orderly {
            log.close(&mut disk).unwrap();
        }
        disk.close_all();
        let mut log = open(&small(), &mut disk);
        let again = append(&mut log, from_producer(9, 0, 10), 2, &mut disk).unwrap();
        assert_eq!((again.first_offset, again.duplicate), (Offset(10), true));
        assert!(append(&mut log, from_producer(9, 0, 15), 2, &mut disk).is_err());
        assert!(append(&mut log, from_producer(9, 0, 14), 2, &mut disk).is_ok());
    }
}

#[test]
fn indexes_of_durable_segments_are_read_and_are_rebuilt_when_they_cannot_be_right() {
    let mut disk = MemDisk::new();
    let mut log = filled(20, &small(), &mut disk);
    flush(&mut log, &mut disk);
    let whole = contents(&log, &mut disk);
    let stored: Vec<_> = log.segments.iter().map(|segment| segment.index.clone()).collect();
    assert!(stored.len() > 3);
    let spoil: [fn(&mut Vec<u8>); 4] = [|_| {}, Vec::clear, |bytes| bytes.fill(0), |bytes| bytes.push(1)];
    for ending in ["index", "timeindex"] {
        for spoil in spoil {
            let mut disk = disk.clone();
            disk.close_all();
            spoil(disk.contents_mut(&format!("{DIRECTORY}/00000000000000000000.{ending}")).unwrap());
            let log = open(&small(), &mut disk);
            let read: Vec<_> = log.segments.iter().map(|segment| segment.index.clone()).collect();
            assert_eq!(read, stored);
            assert_eq!(contents(&log, &mut disk), whole);
        }
        let mut disk = disk.clone();
        disk.remove(&format!("{DIRECTORY}/00000000000000000000.{ending}")).unwrap();
        assert_eq!(open(&small(), &mut disk).segments[0].index, stored[0]);
    }
}

#[test]
fn what_recovery_finds_is_durable_only_after_a_flush() {
    let mut disk = MemDisk::new();
    drop(filled(3, &LogConfig::default(), &mut disk));
    disk.close_all();
    let mut log = open(&LogConfig::default(), &mut disk);
    assert_eq!((end(&log), log.flushed_end_offset()), (3, Offset(0)));
    flush(&mut log, &mut disk);
    log.close(&mut disk).unwrap();
    assert_eq!(open(&LogConfig::default(), &mut disk).flushed_end_offset(), Offset(3));
}

#[test]
fn a_deleted_log_leaves_nothing() {
    let mut disk = MemDisk::new();
    filled(9, &small(), &mut disk).delete(&mut disk).unwrap();
    assert_eq!(disk.paths().count(), 0);
    assert_eq!(end(&open(&small(), &mut disk)), 0);
}

#[test]
fn a_deletion_that_a_loss_of_power_takes_back_in_part_leaves_no_damage() {
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    flush(&mut log, &mut disk);
    let (second, bytes) = (log.segments[1].path(), b"anything");
    log.delete(&mut disk).unwrap();
    disk.create_dir(DIRECTORY).unwrap();
    let file = disk.open(&second).unwrap();
    disk.write_at(file, 0, &[bytes]).unwrap();
    disk.close_all();
    assert_eq!(end(&open(&small(), &mut disk)), 0);
}

/// Damages every batch of a closed segment without a trace in its header; whoever reads it notices.
fn spoil(log: &PartitionLog, number: usize, disk: &mut MemDisk) {
    let bytes = disk.contents_mut(&log.segments[number].path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
}

#[test]
fn segments_that_were_flushed_are_not_scanned_again() {
    let mut disk = MemDisk::new();
    let mut log = filled(20, &small(), &mut disk);
    flush(&mut log, &mut disk);
    disk.close_all();
    (0..log.segments.len() - 1).for_each(|number| spoil(&log, number, &mut disk));
    assert_eq!(end(&open(&small(), &mut disk)), 20);
}

#[test]
fn without_a_snapshot_more_is_scanned_and_a_snapshot_above_what_was_durable_is_not_believed() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    for sequence in 0..9 {
        append(&mut log, from_producer(9, 0, sequence), 1, &mut disk).unwrap();
    }
    flush(&mut log, &mut disk);
    for sequence in 9..18 {
        append(&mut log, from_producer(9, 0, sequence), 1, &mut disk).unwrap();
    }
    let durable = log.segments.iter().rposition(|segment| segment.base <= log.flushed).unwrap();
    assert!(durable > 0 && durable < log.segments.len() - 1);
    disk.close_all();
    let snapshot = |number: usize| format!("{DIRECTORY}/{:020}.snapshot", log.segments[number].base.0);

    let mut lost = disk.clone();
    lost.remove(&snapshot(durable)).unwrap();
    let again = open(&small(), &mut lost);
    assert_eq!(again.producers, log.producers);
    assert_eq!(lost.contents(&snapshot(durable)), disk.contents(&snapshot(durable)), "written again");

    let mut foreign = disk.clone();
    let bytes = disk.contents(&snapshot(durable)).unwrap().to_vec();
    *foreign.contents_mut(&snapshot(durable + 1)).unwrap() = bytes;
    assert_eq!(open(&small(), &mut foreign).producers, log.producers);
}

#[test]
fn a_producer_is_known_after_all_that_it_sent_was_deleted() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append(&mut log, from_producer(9, 0, 0), 1, &mut disk).unwrap();
    for _ in 0..20 {
        append(&mut log, plain(1), 1, &mut disk).unwrap();
    }
    flush(&mut log, &mut disk);
    log.raise_start(Offset(15), &mut disk).unwrap();
    log.remove_deleted(&mut disk).unwrap();
    disk.close_all();
    let mut log = open(&small(), &mut disk);
    assert_eq!(log.log_start_offset(), Offset(15));
    assert!(append(&mut log, from_producer(9, 0, 2), 2, &mut disk).is_err());
    assert!(append(&mut log, from_producer(9, 0, 0), 2, &mut disk).unwrap().duplicate);
    assert!(append(&mut log, from_producer(9, 0, 1), 2, &mut disk).is_ok());
}
