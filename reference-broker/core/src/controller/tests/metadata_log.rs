use kafka_protocol::ResponseError;

use super::fixture::{CONTROLLER, Fixture, state};
use crate::controller::{Controller, ControllerResponse, MetadataAudit, MetadataRecord, load_snapshot};
use crate::disk::{DiskError, MemDisk};
use crate::ids::LeaderEpoch;
use crate::node::BootError;
use crate::quorum::SnapshotId;

fn busy() -> Fixture {
    let mut it = Fixture::new();
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    it.create("t", 3, 3);
    it.alter(1, "t", (0, 0), &[1, 2]);
    it.pass(300, &[1, 2]);
    it
}

#[test]
fn a_restarted_controller_has_the_same_image_in_a_new_epoch() {
    let mut it = busy();
    let before = it.controller.image().clone();
    assert_eq!(it.replayed(), before);
    it.restart();
    let epoch = LeaderEpoch(before.epoch().0 + 1);
    let mut expected = before;
    let record = MetadataRecord::LeaderChange { leader: CONTROLLER, epoch };
    let offset = expected.next_offset();
    expected.apply(offset, &record, &mut crate::controller::ImageDelta::default()).unwrap();
    assert_eq!(*it.controller.image(), expected);
    assert_eq!(it.replayed(), expected);
    assert_eq!(it.controller.quorum().epoch(), epoch);
}

#[test]
fn after_a_restart_brokers_have_one_session_time_out_to_be_heard() {
    let mut it = busy();
    it.restart();
    it.pass(250, &[]);
    assert_eq!(it.state("t", 0).leader.0, 1);
    it.beat(1, false);
    it.pass(50, &[1]);
    assert_eq!(it.state("t", 0), state(1, &[1], 0, 2));
    assert_eq!(it.violations(), [""; 0]);
}

#[test]
fn a_fetch_at_the_end_waits_for_news_or_for_its_time() {
    let mut it = busy();
    let end = it.controller.image().next_offset().0;
    let waiting = it.send(Fixture::fetch_request(end, 0, 500));
    assert!(it.replies.is_empty());
    it.create("u", 1, 1);
    let Some(ControllerResponse::Fetch(news)) = it.replies.remove(&waiting) else { panic!() };
    assert!(!news.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
    let end = it.controller.image().next_offset().0;
    let waiting = it.send(Fixture::fetch_request(end, 0, 100));
    it.pass(50, &[1, 2]);
    assert!(it.replies.is_empty());
    it.pass(50, &[1, 2]);
    let Some(ControllerResponse::Fetch(nothing)) = it.replies.remove(&waiting) else { panic!() };
    assert!(nothing.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
}

#[test]
fn a_reader_of_another_log_is_told_where_they_part() {
    let mut it = busy();
    let end = it.controller.image().next_offset().0;
    let diverging = |it: &mut Fixture, from, epoch| {
        let partition = it.fetch(from, epoch).responses[0].partitions[0].clone();
        (partition.diverging_epoch.epoch, partition.diverging_epoch.end_offset)
    };
    assert_eq!(diverging(&mut it, end, 0), (-1, -1));
    assert_eq!(diverging(&mut it, end + 1, 0), (0, end));
    assert_eq!(diverging(&mut it, 3, 5), (0, end));
    it.restart();
    assert_eq!(diverging(&mut it, end + 1, 1), (-1, -1));
    assert_eq!(diverging(&mut it, end + 1, 0), (0, end));
}

#[test]
fn nothing_is_answered_once_the_log_has_failed() {
    let mut it = busy();
    let io = DiskError::Io { path: "x".into(), error: "input/output error".into() };
    it.disk.fail_writes(Some(io));
    it.ms += 10;
    let name = kafka_protocol::messages::TopicName(kafka_protocol::protocol::StrBytes::from_static_str("u"));
    let topic = kafka_protocol::messages::create_topics_request::CreatableTopic::default()
        .with_name(name)
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = kafka_protocol::messages::CreateTopicsRequest::default().with_topics(vec![topic]);
    it.send(request.clone());
    assert!(it.failed);
    it.disk.fail_writes(None);
    it.send(request);
    assert!(it.replies.is_empty());
    assert_eq!(it.controller.next_tick_ns(), u64::MAX);
}

#[test]
fn a_controller_that_is_no_voter_does_not_boot() {
    let mut config = Fixture::new().config;
    config.controllers[0].node = crate::ids::NodeId(101);
    let Err(BootError::BadData(reason)) =
        Controller::boot(&config, super::fixture::at(0), &mut MemDisk::new())
    else {
        panic!("it boots")
    };
    assert!(reason.contains("hint:"), "{reason}");
}

#[test]
fn every_record_survives_its_encoding() {
    let mut it = busy();
    it.create_with("u", 1, 1, &[("flush.ms", "5")]);
    let delete = kafka_protocol::messages::DeleteTopicsRequest::default()
        .with_topic_names(vec![kafka_protocol::messages::TopicName("u".into())]);
    it.ask(delete);
    let ids = kafka_protocol::messages::AllocateProducerIdsRequest::default()
        .with_broker_id(1.into())
        .with_broker_epoch(it.epoch(1));
    it.ask(ids);
    let records = it.records();
    let kinds: std::collections::BTreeSet<u8> =
        records.iter().map(|(_, record)| record.encode()[0]).collect();
    assert_eq!(kinds, (0..8).collect());
    let mut records: Vec<MetadataRecord> = records.into_iter().map(|(_, record)| record).collect();
    let mut registration = records[1].clone();
    let MetadataRecord::RegisterBroker { rack, .. } = &mut registration else { panic!("{registration:?}") };
    *rack = Some("here".into());
    records.push(registration);
    for record in &records {
        let bytes = record.encode();
        assert_eq!(MetadataRecord::decode(&bytes).as_ref(), Ok(record));
        for length in 0..bytes.len() {
            assert!(MetadataRecord::decode(&bytes[..length]).is_err(), "{record:?} cut to {length} bytes");
        }
    }
}

#[test]
fn the_audit_sees_two_leaders_in_one_epoch_and_a_stranger_in_the_in_sync_set() {
    let mut it = busy();
    let records = it.records();
    let topic = it.topic_id("t");
    let partition = crate::ids::PartitionId(1);
    let old = it.state("t", 1);
    let change = |leader, isr: &[i32], partition_epoch| MetadataRecord::PartitionChange {
        topic,
        partition,
        state: state(leader, isr, old.leader_epoch.0, partition_epoch),
    };
    let wrong = change(1, &[1, 3], old.partition_epoch);
    let mut audit = MetadataAudit::new(false);
    for (offset, record) in &records {
        assert_eq!(audit.observe(*offset, record), []);
    }
    let found = audit.observe(audit.next_offset(), &wrong);
    let found: Vec<&str> = found.iter().map(|violation| violation.what.as_str()).collect();
    let epoch = old.partition_epoch;
    let expected = [
        "3 joins the in-sync set but is not active".to_owned(),
        format!("partition epoch {epoch} follows {epoch}"),
        format!("leader epoch {} has leaders {} and 1", old.leader_epoch, old.leader),
    ];
    assert_eq!(found, expected.each_ref().map(String::as_str));
}

fn with_snapshots() -> Fixture {
    let mut it = Fixture::with(|config| {
        config.metadata_snapshot_bytes = 200;
        config.metadata_segment_bytes = 300;
        config.quorum_snapshot_fetch_bytes = 50;
    });
    for id in 1..=3 {
        it.join(id, id as u128);
    }
    for name in ["t", "u", "v", "w"] {
        it.create_with(name, 3, 3, &[("flush.ms", "5")]);
        it.pass(100, &[1, 2, 3]);
    }
    assert_eq!(it.alter(2, "w", (0, 0), &[1, 2]).error_code, 0);
    it
}

#[test]
fn the_image_of_a_snapshot_is_the_image_that_it_was_made_of() {
    let it = with_snapshots();
    let image = it.controller.image().clone();
    let id = SnapshotId { end: image.next_offset(), epoch: image.epoch() };
    let bytes = crate::quorum::encode_snapshot(id, 5, &crate::controller::snapshot::values(&image));
    assert_eq!(load_snapshot(id, bytes), Ok(image));
    let kinds: std::collections::BTreeSet<u8> =
        crate::controller::snapshot::values(it.controller.image()).iter().map(|value| value[0]).collect();
    assert_eq!(kinds, [0, 3, 4, 7, 8].into(), "state, and no history");
    let without = it.controller.image().broker(crate::ids::NodeId(1)).unwrap().clone();
    let with = crate::controller::BrokerImage { rack: Some("here".into()), ..without.clone() };
    for image in [without, with] {
        let broker = MetadataRecord::Broker { broker: crate::ids::NodeId(1), image };
        let bytes = broker.encode();
        assert_eq!(MetadataRecord::decode(&bytes), Ok(broker));
        for length in 0..bytes.len() {
            assert!(MetadataRecord::decode(&bytes[..length]).is_err(), "cut to {length} bytes");
        }
    }
    assert!(!it.failed);
}

#[test]
fn the_log_is_deleted_behind_a_snapshot_and_a_restart_loses_nothing() {
    let mut it = with_snapshots();
    let before = it.controller.image().clone();
    let (start, snapshot) =
        (it.controller.quorum().log_start(), it.controller.quorum().newest_snapshot().unwrap());
    assert!(
        start.0 > 0 && start < snapshot.end && snapshot.end <= before.next_offset(),
        "{start} {snapshot}"
    );
    it.restart();
    let mut expected = before;
    let epoch = LeaderEpoch(expected.epoch().0 + 1);
    let record = MetadataRecord::LeaderChange { leader: CONTROLLER, epoch };
    let offset = expected.next_offset();
    expected.apply(offset, &record, &mut crate::controller::ImageDelta::default()).unwrap();
    assert_eq!(*it.controller.image(), expected);
}

#[test]
fn a_reader_of_what_is_deleted_is_sent_to_the_snapshot() {
    let mut it = with_snapshots();
    let newest = it.controller.quorum().newest_snapshot().unwrap();
    let partition = it.fetch(0, -1).responses[0].partitions[0].clone();
    let offered = (partition.snapshot_id.end_offset, partition.snapshot_id.epoch);
    assert_eq!(offered, (newest.end.0, newest.epoch.0));
    assert!(partition.records.unwrap_or_default().is_empty());
    let again = it.fetch(newest.end.0, newest.epoch.0).responses[0].partitions[0].clone();
    assert_eq!(again.snapshot_id.end_offset, -1, "from there on the log is enough");
    // The last one but one is still handed out, others are not.
    let asked = crate::quorum::ChunkAsked {
        replica: crate::ids::NodeId(1),
        epoch: LeaderEpoch::NONE,
        id: newest,
        position: 0,
        max_bytes: 50,
    };
    let ask = |it: &mut Fixture, asked| {
        let cluster_id = it.config.cluster_id.clone();
        match it.ask(crate::quorum::chunk_request(&cluster_id, asked)) {
            ControllerResponse::FetchSnapshot(response) => response.topics[0].partitions[0].clone(),
            other => panic!("{other:?}"),
        }
    };
    let first = ask(&mut it, asked);
    assert_eq!((first.error_code, first.unaligned_records.len(), first.position), (0, 50, 0));
    let beyond = ask(&mut it, crate::quorum::ChunkAsked { position: first.size as u64, ..asked });
    assert_eq!(beyond.error_code, ResponseError::PositionOutOfRange.code());
    let gone = SnapshotId { end: crate::ids::Offset(1), ..newest };
    let gone = ask(&mut it, crate::quorum::ChunkAsked { id: gone, ..asked });
    assert_eq!(gone.error_code, ResponseError::SnapshotNotFound.code());
    let newer = ask(&mut it, crate::quorum::ChunkAsked { epoch: LeaderEpoch(99), ..asked });
    assert_eq!(newer.error_code, ResponseError::UnknownLeaderEpoch.code());
}
