use super::*;

fn epoch_end(log: &PartitionLog, epoch: i32) -> (i32, i64) {
    let (epoch, end) = log.end_offset_for_epoch(LeaderEpoch(epoch));
    (epoch.0, end.0)
}

#[test]
fn a_log_can_be_cut_at_every_offset_and_goes_on_from_there() {
    for offset in 0..=14 {
        let mut disk = MemDisk::new();
        let mut log = filled(14, &small(), &mut disk);
        let whole = contents(&log, &mut disk);
        log.truncate_to(Offset(offset), &mut disk).unwrap();
        assert_eq!(end(&log), offset);
        let kept = contents(&log, &mut disk);
        assert_eq!(bases(kept.clone()), (0..offset).collect::<Vec<_>>());
        assert!(whole.starts_with(&kept));
        append(&mut log, plain(2), 2, &mut disk).unwrap();
        disk.close_all();
        let reopened = open(&small(), &mut disk);
        assert_eq!((end(&reopened), epoch_end(&reopened, 1).1), (offset + 2, offset));
        assert_eq!(contents(&reopened, &mut disk), contents(&log, &mut disk));
    }
}

#[test]
fn a_cut_is_durable_before_anything_follows_it() {
    // What follows may go to a new segment, and be flushed with it. 1. Segment 0 holds 0..25 and is cut to 23. 2. Segment 23 is
    // created, written and flushed. 3. Power is lost: with its old end segment 0 would overlap the other.
    let mut disk = MemDisk::new();
    let mut log = filled(3, &LogConfig::default(), &mut disk);
    log.truncate_to(Offset(2), &mut disk).unwrap();
    assert!(!disk.is_unflushed(&active_path(&log)));
}

#[test]
fn a_cut_inside_a_batch_takes_the_whole_batch() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append(&mut log, plain(3), 1, &mut disk).unwrap();
    append(&mut log, plain(3), 1, &mut disk).unwrap();
    log.truncate_to(Offset(4), &mut disk).unwrap();
    assert_eq!(end(&log), 3);
}

#[test]
fn a_cut_forgets_epochs_and_what_producers_sent_after_it() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    for sequence in 0..10 {
        append(&mut log, from_producer(4, 0, sequence), 1 + sequence / 5, &mut disk).unwrap();
    }
    assert_eq!(epoch_end(&log, 1), (1, 5));
    log.truncate_to(Offset(3), &mut disk).unwrap();
    assert_eq!((log.latest_epoch(), epoch_end(&log, 1)), (LeaderEpoch(1), (1, 3)));
    assert!(append(&mut log, from_producer(4, 0, 5), 3, &mut disk).is_err());
    assert!(append(&mut log, from_producer(4, 0, 2), 3, &mut disk).unwrap().duplicate);
    assert!(!append(&mut log, from_producer(4, 0, 3), 3, &mut disk).unwrap().duplicate);
}

#[test]
fn a_cut_at_the_end_still_forgets_an_epoch_without_records() {
    // KAFKA-10706.
    let mut disk = MemDisk::new();
    let mut log = filled(3, &small(), &mut disk);
    log.start_epoch(LeaderEpoch(5));
    assert_eq!(epoch_end(&log, 5), (5, 3));
    log.truncate_to(Offset(3), &mut disk).unwrap();
    assert_eq!((log.latest_epoch(), end(&log)), (LeaderEpoch(1), 3));
}

#[test]
fn a_flush_that_began_before_a_cut_makes_nothing_durable() {
    // 1. A flush of 0..4 begins. 2. The log is cut to 2 and grows to 5 with other records. 3. The flush ends.
    let mut disk = MemDisk::new();
    let mut log = filled(4, &small(), &mut disk);
    let (_, ticket) = log.begin_flush();
    log.truncate_to(Offset(2), &mut disk).unwrap();
    append(&mut log, plain(3), 2, &mut disk).unwrap();
    log.complete_flush(ticket, &mut disk).unwrap();
    assert_eq!(log.flushed_end_offset(), Offset(0));
}

#[test]
fn a_cut_below_what_was_durable_is_no_damage_after_a_restart() {
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    flush(&mut log, &mut disk);
    assert_eq!(log.flushed_end_offset(), Offset(14));
    log.truncate_to(Offset(2), &mut disk).unwrap();
    assert_eq!(log.flushed_end_offset(), Offset(2));
    disk.close_all();
    assert_eq!(end(&open(&small(), &mut disk)), 2);
}

#[test]
fn a_segment_that_is_appended_to_again_has_no_index_files() {
    let mut disk = MemDisk::new();
    let mut log = filled(14, &small(), &mut disk);
    assert!(disk.paths().any(|path| path.ends_with("index")));
    log.truncate_to(Offset(1), &mut disk).unwrap();
    assert!(!disk.paths().any(|path| path.ends_with("index")));
}
