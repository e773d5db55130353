use super::*;
use crate::log::LogError;
use crate::record::{BatchHeader, seal};

fn cold() -> LogConfig {
    LogConfig { tail_bytes: 0, ..small() }
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset() {
    for config in [cold(), small()] {
        let mut disk = MemDisk::new();
        let mut log = open(&config, &mut disk);
        for _ in 0..6 {
            append(&mut log, plain(3), 1, &mut disk).unwrap();
        }
        for offset in 0..18 {
            let first = log.read(Offset(offset), Offset(18), 1, true, &mut disk).unwrap().concat();
            assert_eq!(bases(first), [offset / 3 * 3]);
        }
    }
}

#[test]
fn a_read_ends_before_a_batch_that_reaches_the_limit() {
    for config in [cold(), small()] {
        let mut disk = MemDisk::new();
        let mut log = open(&config, &mut disk);
        append(&mut log, plain(2), 1, &mut disk).unwrap();
        append(&mut log, plain(2), 1, &mut disk).unwrap();
        let mut read = |to| bases(log.read(Offset(0), Offset(to), 10_000, true, &mut disk).unwrap().concat());
        assert_eq!((read(1), read(2), read(3), read(9)), (vec![], vec![0], vec![0], vec![0, 2]));
    }
}

#[test]
fn max_bytes_counts_whole_batches_and_the_first_comes_whole_if_one_is_wanted() {
    for config in [cold(), small()] {
        let mut disk = MemDisk::new();
        let log = filled(3, &config, &mut disk);
        let size = plain(1).len();
        let mut read = |max, one| log.read(Offset(0), Offset(9), max, one, &mut disk).unwrap().concat().len();
        assert_eq!(read(2 * size, true), 2 * size);
        assert_eq!(read(2 * size - 1, true), size);
        assert_eq!((read(size - 1, true), read(size - 1, false), read(0, false)), (size, 0, 0));
    }
}

#[test]
fn an_offset_outside_the_log_is_out_of_range() {
    let mut disk = MemDisk::new();
    let log = filled(2, &small(), &mut disk);
    assert_eq!(log.read(Offset(2), Offset(9), 100, true, &mut disk), Ok(vec![]));
    let error = LogError::OutOfRange { offset: Offset(3), start: Offset(0), end: Offset(2) };
    assert_eq!(error.code(), 1);
    assert_eq!(log.read(Offset(3), Offset(9), 100, true, &mut disk), Err(error));
    assert!(log.read(Offset(-1), Offset(9), 100, true, &mut disk).is_err());
}

#[test]
fn a_time_stamp_leads_to_the_first_record_not_before_it() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    // Time stamps may go back: offsets 0.. have 100, 90, 300, 200, 500.
    for (epoch, (first, second)) in [(100, 90), (300, 200), (500, 500)].into_iter().enumerate() {
        let mut builder = BatchBuilder::new(first);
        builder.push(first, None, Some(&[0; 90]), &[]);
        builder.push(second, None, Some(&[0; 90]), &[]);
        append(&mut log, builder.build(), epoch as i32, &mut disk).unwrap();
    }
    let mut at = |ts| log.offset_for_timestamp(ts, &mut disk).unwrap().map(|(o, t, e)| (o.0, t, e.0));
    assert_eq!(at(0), Some((0, 100, 0)));
    assert_eq!(at(101), Some((2, 300, 1)));
    assert_eq!(at(200), Some((2, 300, 1)));
    assert_eq!(at(301), Some((4, 500, 2)));
    assert_eq!(at(501), None);
}

#[test]
fn a_compressed_batch_is_found_by_its_first_offset() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    let mut builder = BatchBuilder::new(100);
    builder.push(100, None, None, &[]);
    builder.push(200, None, None, &[]);
    let mut batch = builder.build().to_vec();
    batch[22] |= 1;
    seal(&mut batch);
    append(&mut log, batch.into(), 1, &mut disk).unwrap();
    let found = log.offset_for_timestamp(150, &mut disk).unwrap();
    assert_eq!(found, Some((Offset(0), 200, LeaderEpoch(1))));
}

#[test]
fn a_file_that_was_damaged_under_the_log_is_an_error_and_not_an_empty_read() {
    let mut disk = MemDisk::new();
    let log = filled(2, &cold(), &mut disk);
    disk.contents_mut("data/orders-0/00000000000000000000.log").unwrap()[16] = 9;
    let error = log.read(Offset(0), Offset(2), 100, true, &mut disk).unwrap_err();
    assert!(matches!(error, LogError::Damaged { position: 0, .. }), "{error}");
}

#[test]
fn the_tail_and_the_file_hold_the_same() {
    let mut disk = MemDisk::new();
    let log = filled(20, &small(), &mut disk);
    let hot = contents(&log, &mut disk);
    let reopened = open(&small(), &mut disk);
    assert!(!reopened.tail.holds(Offset(19)));
    assert_eq!(contents(&reopened, &mut disk), hot);
    assert!(BatchHeader::validate(&hot).is_ok());
}

#[test]
fn a_batch_that_has_changed_on_the_disk_goes_to_nobody() {
    let mut disk = MemDisk::new();
    let log = filled(6, &LogConfig { tail_bytes: 0, ..LogConfig::default() }, &mut disk);
    let (path, size) = (active_path(&log), plain(1).len());
    disk.contents_mut(&path).unwrap()[3 * size - 1] ^= 1;
    let mut read = |from| log.read(Offset(from), Offset(6), 10_000, true, &mut disk);
    assert_eq!(bases(read(0).unwrap().concat()), [0, 1]);
    let error = read(2).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { position, .. } if *position == 2 * size as u64), "{error}");
    assert_eq!(error.code(), 2);
    assert_eq!(bases(read(3).unwrap().concat()), [3, 4, 5]);
}

#[test]
fn a_segment_that_has_lost_its_end_is_damaged_and_not_waited_for() {
    let mut disk = MemDisk::new();
    let mut log = filled(20, &cold(), &mut disk);
    flush(&mut log, &mut disk);
    let (first, next) = (log.segments[0].path(), log.segments[1].base);
    disk.close_all();
    let mut opened = 0;
    for cut in 1..disk.contents(&first).unwrap().len() {
        let mut disk = disk.clone();
        let length = disk.contents(&first).unwrap().len();
        disk.contents_mut(&first).unwrap().truncate(length - cut);
        let error = match PartitionLog::open(DIRECTORY, cold(), &mut disk) {
            Ok(log) => {
                opened += 1;
                assert!(log.read(next, Offset(20), 1, true, &mut disk).is_ok());
                log.read(Offset(next.0 - 1), Offset(20), 1, true, &mut disk).unwrap_err()
            }
            Err(error) => error,
        };
        assert!(matches!(error, LogError::Damaged { .. }), "{cut} bytes less: {error}");
    }
    assert!(opened > 0, "an index hides some of it until it is read");
}

#[test]
fn an_index_that_leads_astray_costs_time_only() {
    let mut disk = MemDisk::new();
    let mut log = filled(20, &cold(), &mut disk);
    flush(&mut log, &mut disk);
    let whole = contents(&log, &mut disk);
    disk.close_all();
    let index = disk.contents_mut(&format!("{DIRECTORY}/00000000000000000000.index")).unwrap();
    let last = index.len() - 1;
    index[last] ^= 1;
    let log = open(&cold(), &mut disk);
    assert_eq!(contents(&log, &mut disk), whole);
    for offset in 0..20 {
        let first = log.read(Offset(offset), Offset(20), 1, true, &mut disk).unwrap().concat();
        assert_eq!(bases(first), [offset]);
    }
}
