use super::*;

const NEVER: Offset = Offset(i64::MAX);

fn config(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> LogConfig {
    LogConfig { retention_ms, retention_bytes, ..small() }
}

/// One batch of one record with each of these time stamps.
fn at_times(times: &[i64], config: &LogConfig, disk: &mut MemDisk) -> PartitionLog {
    let mut log = open(config, disk);
    for timestamp in times {
        let batch = BatchBuilder::new(*timestamp).record(None, Some(&[7; 100])).build();
        append(&mut log, batch, 1, disk).unwrap();
    }
    log
}

#[test]
fn segments_go_when_their_newest_record_is_too_old() {
    let mut disk = MemDisk::new();
    // Two batches a segment.
    let mut log = at_times(&[100, 200, 300, 150, 160, 170], &config(Some(1000), None), &mut disk);
    assert_eq!(log.segments.len(), 3);
    assert_eq!(log.retain(NEVER, 1200, &mut disk), Ok(false), "the newest is as old as may be");
    assert_eq!(log.retain(NEVER, 1201, &mut disk), Ok(true));
    assert_eq!(log.log_start_offset(), Offset(2));
    assert_eq!(log.retain(NEVER, 1250, &mut disk), Ok(false), "in their order");
    assert_eq!(log.retain(NEVER, 1301, &mut disk), Ok(true));
    assert_eq!((log.log_start_offset(), end(&log)), (Offset(6), 6), "the last one, too");
    log.remove_deleted(&mut disk).unwrap();
    assert_eq!((log.segments.len(), log.size()), (1, 0));
}

#[test]
fn segments_go_while_the_log_stays_large_enough() {
    let mut disk = MemDisk::new();
    let mut log = at_times(&[1; 8], &LogConfig::default(), &mut disk);
    let batch = log.size() / 8;
    drop(log);
    let mut disk = MemDisk::new();
    log = at_times(&[1; 8], &config(None, Some(3 * batch)), &mut disk);
    assert_eq!((log.segments.len(), log.size()), (4, 8 * batch));
    assert_eq!(log.retain(NEVER, 1, &mut disk), Ok(true));
    assert_eq!(log.log_start_offset(), Offset(4));
    log.remove_deleted(&mut disk).unwrap();
    assert_eq!(log.size(), 4 * batch, "one segment less would be too little");
}

#[test]
fn nothing_goes_that_is_not_committed_or_that_is_compacted_only() {
    // KAFKA-5634.
    let mut disk = MemDisk::new();
    let mut log = at_times(&[1; 6], &config(Some(10), Some(0)), &mut disk);
    assert_eq!(log.retain(Offset(3), 5_000, &mut disk), Ok(true));
    assert_eq!(log.log_start_offset(), Offset(2));
    log.configure(LogConfig { deletes: false, ..*log.config() });
    assert_eq!(log.retain(NEVER, 5_000, &mut disk), Ok(false));
}

#[test]
fn a_segment_is_closed_when_its_time_stamps_span_too_much() {
    let mut disk = MemDisk::new();
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let log = at_times(&[100, 1100, 1101, 1102, 5000], &config, &mut disk);
    let bases = |log: &PartitionLog| log.segments.iter().map(|segment| segment.base.0).collect::<Vec<_>>();
    assert_eq!(bases(&log), [0, 2, 4]);
    disk.close_all();
    let mut log = open(&config, &mut disk);
    let batch = |time| BatchBuilder::new(time).record(None, Some(b"v")).build();
    append(&mut log, batch(6000), 1, &mut disk).unwrap();
    append(&mut log, batch(6001), 1, &mut disk).unwrap();
    assert_eq!(bases(&log), [0, 2, 4, 6], "the first time stamp is known after a restart");
}
