use super::*;
use crate::disk::DiskError;
use crate::record::{BatchError, BatchHeader, patch_base_offset, patch_leader_epoch, seal};

#[test]
fn a_leader_gives_each_batch_its_offsets_and_its_epoch_and_changes_nothing_else() {
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig::default(), &mut disk);
    append(&mut log, plain(3), 4, &mut disk).unwrap();
    let appended = append(&mut log, plain(2), 6, &mut disk).unwrap();
    assert_eq!((appended.first_offset, appended.last_offset), (Offset(3), Offset(4)));
    assert_eq!((appended.log_append_time_ms, appended.duplicate), (-1, false));

    let mut first = plain(3).to_vec();
    patch_leader_epoch(&mut first, LeaderEpoch(4));
    let mut second = plain(2).to_vec();
    patch_base_offset(&mut second, Offset(3));
    patch_leader_epoch(&mut second, LeaderEpoch(6));
    assert_eq!(disk.contents("data/orders-0/00000000000000000000.log").unwrap(), [first, second].concat());
}

#[test]
fn a_retry_gets_the_offsets_of_the_first_try() {
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig::default(), &mut disk);
    append(&mut log, plain(10), 1, &mut disk).unwrap();
    let first = append(&mut log, from_producer(5, 0, 0), 1, &mut disk).unwrap();
    append(&mut log, from_producer(5, 0, 1), 1, &mut disk).unwrap();
    let again = append(&mut log, from_producer(5, 0, 0), 2, &mut disk).unwrap();
    assert_eq!(again, Appended { duplicate: true, ..first });
    assert_eq!((first.first_offset, end(&log)), (Offset(10), 12));
}

#[test]
fn a_follower_stores_what_the_leader_has() {
    let mut disk = MemDisk::new();
    let leader = filled(9, &small(), &mut disk);
    let bytes = contents(&leader, &mut disk);
    let mut other = MemDisk::new();
    let mut follower = open(&small(), &mut other);
    let appended = follower.append_as_follower(bytes.clone().into(), &mut other).unwrap();
    assert_eq!((appended.first_offset, appended.last_offset), (Offset(0), Offset(8)));
    assert_eq!(contents(&follower, &mut other), bytes);
    assert_eq!(follower.latest_epoch(), LeaderEpoch(1));
}

#[test]
fn a_follower_takes_all_batches_or_none() {
    let mut disk = MemDisk::new();
    let leader = filled(3, &small(), &mut disk);
    let bytes = contents(&leader, &mut disk);
    let mut follower = open(&small(), &mut MemDisk::new().clone());
    let size = bytes.len() / 3;
    let gap = follower.append_as_follower(Bytes::from(bytes[size..].to_vec()), &mut disk);
    assert_eq!(gap, Err(AppendError::NonContiguous { expected: Offset(0), found: Offset(1) }));
    let mut damaged = bytes;
    *damaged.last_mut().unwrap() ^= 1;
    let refused = follower.append_as_follower(damaged.into(), &mut disk);
    assert!(matches!(refused, Err(AppendError::Corrupt(BatchError::Crc { .. }))));
    assert_eq!(end(&follower), 0);
}

#[test]
fn a_follower_accepts_a_producer_in_the_middle_of_its_sequence() {
    // KAFKA-6003: the beginning may be older than the log.
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig::default(), &mut disk);
    let mut batch = from_producer(5, 0, 77).to_vec();
    patch_leader_epoch(&mut batch, LeaderEpoch(3));
    log.append_as_follower(batch.into(), &mut disk).unwrap();
    assert!(append(&mut log, from_producer(5, 0, 78), 4, &mut disk).is_ok());
}

#[test]
fn what_is_no_valid_batch_is_refused_with_the_code_that_kafka_gives() {
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig { message_max_bytes: 500, ..LogConfig::default() }, &mut disk);
    let changed = |at: usize, value: u8, sealed: bool| {
        let mut batch = plain(2).to_vec();
        batch[at] = value;
        if sealed {
            seal(&mut batch);
        }
        Bytes::from(batch)
    };
    let cases = [
        ("cut", plain(2).slice(..80), 2),
        ("checksum", changed(70, 0xee, false), 2),
        ("old format", changed(16, 1, false), 87),
        ("two batches", [plain(1), plain(1)].concat().into(), 87),
        ("a count that does not fit", changed(60, 9, true), 87),
        ("a producer without sequence", from_producer(3, 0, -1), 87),
        ("too large", plain(40), 10),
        ("a gap", from_producer(3, 0, 1), 45),
    ];
    for (name, batch, code) in cases {
        let error = append(&mut log, batch, 1, &mut disk).expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
    append(&mut log, from_producer(3, 2, 0), 1, &mut disk).unwrap();
    assert_eq!(append(&mut log, from_producer(3, 1, 0), 1, &mut disk).unwrap_err().code(), 47);
    assert_eq!(end(&log), 1);
}

#[test]
fn after_a_failed_write_nothing_is_appended_any_more() {
    // KAFKA-10778.
    let mut disk = MemDisk::new();
    let mut log = filled(2, &LogConfig::default(), &mut disk);
    disk.fail_writes(Some(DiskError::Full("x".into())));
    assert!(matches!(append(&mut log, plain(1), 1, &mut disk), Err(AppendError::Disk(_))));
    disk.fail_writes(None);
    let refused = append(&mut log, plain(1), 1, &mut disk).unwrap_err();
    assert_eq!((&refused, refused.code()), (&AppendError::Fenced, 56));
    assert_eq!(log.append_as_follower(plain(1), &mut disk), Err(AppendError::Fenced));
    let (_, ticket) = log.begin_flush();
    log.complete_flush(ticket, &mut disk).unwrap();
    assert_eq!(log.flushed_end_offset(), Offset(0), "a fenced log is never durable again");
}

#[test]
fn log_append_time_replaces_the_senders() {
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig { log_append_time: true, ..LogConfig::default() }, &mut disk);
    assert_eq!(append(&mut log, from_producer(1, 0, 0), 1, &mut disk).unwrap().log_append_time_ms, 5_000);
    let stored = log.read(Offset(0), Offset(1), 1000, true, &mut disk).unwrap().concat();
    assert_eq!(BatchHeader::validate(&stored).unwrap().max_timestamp, 5_000);
    let again = append(&mut log, from_producer(1, 0, 0), 1, &mut disk).unwrap();
    assert_eq!((again.log_append_time_ms, again.duplicate), (5_000, true));
}

#[test]
#[should_panic(expected = "append under leader epoch 1 after 2")]
fn a_deposed_leader_must_not_append() {
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig::default(), &mut disk);
    log.start_epoch(LeaderEpoch(2));
    let _ = append(&mut log, plain(1), 1, &mut disk);
}

#[test]
fn a_flush_counts_up_to_where_it_began() {
    let mut disk = MemDisk::new();
    let mut log = filled(3, &LogConfig::default(), &mut disk);
    let (files, ticket) = log.begin_flush();
    append(&mut log, plain(1), 1, &mut disk).unwrap();
    assert_eq!((files.len(), log.flushed_end_offset()), (1, Offset(0)));
    log.complete_flush(ticket, &mut disk).unwrap();
    assert_eq!(log.flushed_end_offset(), Offset(3));
}

#[test]
fn a_flush_takes_all_segments_that_are_not_durable() {
    let mut disk = MemDisk::new();
    let mut log = filled(12, &small(), &mut disk);
    assert!(log.segments.len() > 2);
    assert_eq!(log.begin_flush().0.len(), log.segments.len());
    flush(&mut log, &mut disk);
    append(&mut log, plain(1), 1, &mut disk).unwrap();
    assert_eq!(log.begin_flush().0.len(), 1);
}
