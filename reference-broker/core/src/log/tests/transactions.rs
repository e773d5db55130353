use super::*;
use crate::defects::{Defect, Defects};

fn stable(log: &PartitionLog) -> i64 {
    log.last_stable_offset(log.log_end_offset()).0
}

/// The aborted transactions of the whole log: who, and the first and last offset of each.
fn aborted(log: &PartitionLog) -> Vec<(i64, i64, i64)> {
    let found = log.aborted_in(log.log_start_offset(), log.log_end_offset());
    found.iter().map(|entry| (entry.producer.0, entry.first.0, entry.marker.0)).collect()
}

#[test]
fn an_open_transaction_holds_the_last_stable_offset_until_its_marker_is_committed() {
    let mut disk = MemDisk::new();
    let mut log = filled(2, &small(), &mut disk);
    append_verified(&mut log, transactional(1, 0, 0), 1, &mut disk).unwrap();
    append_verified(&mut log, transactional(2, 0, 0), 1, &mut disk).unwrap();
    append(&mut log, plain(1), 1, &mut disk).unwrap();
    assert_eq!((end(&log), stable(&log)), (5, 2));
    mark(&mut log, (1, 0), true, 1, &mut disk).unwrap();
    assert_eq!(stable(&log), 3, "the other one is still open");
    mark(&mut log, (2, 0), false, 1, &mut disk).unwrap();
    assert_eq!((end(&log), stable(&log)), (7, 7));
    assert_eq!(log.last_stable_offset(Offset(6)), Offset(3), "its marker is not committed");
    assert_eq!(log.last_stable_offset(Offset(5)), Offset(2), "neither is");
    log.decided_up_to(Offset(7));
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(7));
    assert_eq!(aborted(&log), [(2, 3, 6)]);
}

#[test]
fn a_marker_of_an_older_epoch_or_of_a_deposed_coordinator_is_refused() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append_verified(&mut log, transactional(1, 4, 0), 1, &mut disk).unwrap();
    assert!(matches!(
        mark(&mut log, (1, 3), false, 1, &mut disk),
        Err(AppendError::InvalidProducerEpoch { .. })
    ));
    mark(&mut log, (1, 4), true, 1, &mut disk).unwrap();
    let mut old = ending(1, 4, false);
    old.marker.coordinator_epoch = 2;
    let refused = log.append_marker(old, LeaderEpoch(1), 5_000, &mut disk).unwrap_err();
    assert_eq!(refused, AppendError::CoordinatorFenced { producer: ProducerId(1), known: 3, found: 2 });
}

#[test]
fn a_marker_with_a_newer_epoch_fences_the_producer_and_its_next_batch_begins_anew() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append_verified(&mut log, transactional(1, 0, 0), 1, &mut disk).unwrap();
    mark(&mut log, (1, 1), false, 1, &mut disk).unwrap();
    let zombie = append_verified(&mut log, transactional(1, 0, 1), 1, &mut disk);
    assert!(matches!(zombie, Err(AppendError::InvalidProducerEpoch { .. })));
    let gap = append_verified(&mut log, transactional(1, 1, 1), 1, &mut disk);
    assert!(matches!(gap, Err(AppendError::OutOfOrderSequence { .. })));
    append_verified(&mut log, transactional(1, 1, 0), 1, &mut disk).unwrap();
}

#[test]
fn a_marker_that_comes_late_ends_a_transaction_of_the_second_protocol_once_and_not_the_next_one() {
    // KIP-1228. 1. The answer to a marker is lost. 2. It is asked for again, and the next transaction begins under the
    // epoch that it bears. 3. The first question is asked once more, by a connection that was slow.
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append_verified(&mut log, transactional(1, 0, 0), 1, &mut disk).unwrap();
    let end_of_first = TransactionEnd { bumped: true, ..ending(1, 1, true) };
    for _ in 0..2 {
        log.append_marker(end_of_first, LeaderEpoch(1), 5_000, &mut disk).unwrap();
    }
    append_verified(&mut log, transactional(1, 1, 0), 1, &mut disk).unwrap();
    let late = log.append_marker(end_of_first, LeaderEpoch(1), 5_000, &mut disk);
    assert!(matches!(late, Err(AppendError::InvalidProducerEpoch { .. })), "{late:?}");
    assert_eq!(stable(&log), 3, "the next one is still open");
    let end_of_next = TransactionEnd { bumped: true, ..ending(1, 2, false) };
    log.append_marker(end_of_next, LeaderEpoch(1), 5_000, &mut disk).unwrap();
    assert_eq!(aborted(&log), [(1, 3, 4)]);
}

#[test]
fn sequences_go_on_from_one_transaction_to_the_next() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    for sequence in 0..4 {
        append_verified(&mut log, transactional(1, 0, sequence), 1, &mut disk).unwrap();
        assert!(append(&mut log, transactional(1, 0, sequence), 1, &mut disk).unwrap().duplicate);
        mark(&mut log, (1, 0), true, 1, &mut disk).unwrap();
    }
    assert_eq!((end(&log), stable(&log)), (8, 8));
}

#[test]
fn a_batch_that_comes_after_the_end_of_its_transaction_begins_no_other() {
    // KAFKA-14402: nobody would ever end it. 1. The coordinator is asked and says yes. 2. The transaction ends.
    // 3. The batch is appended.
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    let late = transactional(1, 0, 0);
    let guard = log.begin_verification(&BatchHeader::parse(&late).unwrap()).expect("is to be asked");
    let unasked = append(&mut log, late.clone(), 1, &mut disk);
    assert_eq!(unasked, Err(AppendError::InvalidTransactionState { producer: ProducerId(1) }));
    mark(&mut log, (1, 0), false, 1, &mut disk).unwrap();
    log.verified(ProducerId(1), guard);
    let refused = append(&mut log, late.clone(), 1, &mut disk);
    assert_eq!(refused, Err(AppendError::InvalidTransactionState { producer: ProducerId(1) }));
    assert_eq!(stable(&log), 1);

    let defects: Defects = [Defect::UnverifiedTransactions].into_iter().collect();
    let mut disk = MemDisk::new();
    let mut log = open(&LogConfig { defects, ..small() }, &mut disk);
    mark(&mut log, (1, 0), false, 1, &mut disk).unwrap();
    append(&mut log, late, 1, &mut disk).unwrap();
    assert_eq!((end(&log), stable(&log)), (2, 1), "with the planted bug it hangs");
}

#[test]
fn a_producer_with_an_open_transaction_may_not_write_outside_of_it() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append_verified(&mut log, transactional(1, 0, 0), 1, &mut disk).unwrap();
    let outside = append(&mut log, from_producer(1, 0, 1), 1, &mut disk);
    assert_eq!(outside, Err(AppendError::InvalidTransactionState { producer: ProducerId(1) }));
}

#[test]
fn open_and_aborted_transactions_survive_a_restart_also_without_index_files() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    for sequence in 0..6 {
        append_verified(&mut log, transactional(1, 0, sequence), 1, &mut disk).unwrap();
        append(&mut log, plain(1), 1, &mut disk).unwrap();
        mark(&mut log, (1, 0), sequence % 2 == 0, 1, &mut disk).unwrap();
    }
    append_verified(&mut log, transactional(2, 0, 0), 1, &mut disk).unwrap();
    append(&mut log, plain(8), 1, &mut disk).unwrap();
    assert!(log.segments.len() > 3);
    flush(&mut log, &mut disk);
    let (expected, first_open) = (vec![(1, 3, 5), (1, 9, 11), (1, 15, 17)], 18);
    assert_eq!((aborted(&log), stable(&log)), (expected.clone(), first_open));

    disk.close_all();
    let stored = disk.clone();
    let log = open(&small(), &mut disk);
    assert_eq!((aborted(&log), stable(&log)), (expected.clone(), first_open));

    let files: Vec<_> = stored.paths().filter(|path| path.ends_with("txnindex")).map(str::to_owned).collect();
    assert!(files.len() > 2);
    for file in files {
        let mut damaged = stored.clone();
        damaged.contents_mut(&file).unwrap().clear();
        let log = open(&small(), &mut damaged);
        assert_eq!((aborted(&log), stable(&log)), (expected.clone(), first_open), "without {file}");
    }
}

#[test]
fn a_cut_takes_the_end_of_a_transaction_back() {
    let mut disk = MemDisk::new();
    let mut log = open(&small(), &mut disk);
    append_verified(&mut log, transactional(1, 0, 0), 1, &mut disk).unwrap();
    append(&mut log, plain(4), 1, &mut disk).unwrap();
    mark(&mut log, (1, 0), false, 1, &mut disk).unwrap();
    assert_eq!((aborted(&log), stable(&log)), (vec![(1, 0, 5)], 6));
    log.truncate_to(Offset(5), &mut disk).unwrap();
    assert_eq!((aborted(&log), stable(&log)), (Vec::new(), 0));
    mark(&mut log, (1, 0), true, 2, &mut disk).unwrap();
    assert_eq!((aborted(&log), stable(&log)), (Vec::new(), 6));
}

#[test]
fn a_follower_knows_what_its_leader_knows() {
    let mut disk = MemDisk::new();
    let mut leader = open(&small(), &mut disk);
    append_verified(&mut leader, transactional(1, 0, 0), 1, &mut disk).unwrap();
    mark(&mut leader, (1, 0), false, 1, &mut disk).unwrap();
    append_verified(&mut leader, transactional(1, 0, 1), 1, &mut disk).unwrap();
    let bytes = contents(&leader, &mut disk);
    let mut disk = MemDisk::new();
    let mut follower = open(&small(), &mut disk);
    follower.append_as_follower(bytes.into(), &mut disk).unwrap();
    assert_eq!(follower.producers, leader.producers);
    assert_eq!((aborted(&follower), stable(&follower)), (aborted(&leader), stable(&leader)));
}
