//! Commits, and who sees them when.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{OffsetFetchRequest, TopicName};

use super::world::{World, commit, config, fetch, group_id, join, leave, sync};
use crate::coordinator::response::text;
use crate::coordinator::{CoordinatorConfig, GroupRequest, GroupResponse};
use crate::defects::Defect;

#[test]
fn an_offset_is_acknowledged_and_seen_only_once_its_record_is_committed() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let committed = world.send(commit("g", &member, 1, 0, 42), 9);
    assert!(world.reply(committed).is_none());
    assert_eq!(world.fetched("g", 0), -1);
    let stable = world.send(fetch("g", 0, true), 9);
    let Some(GroupResponse::OffsetFetch(response)) = world.reply(stable) else { panic!("no answer") };
    let partition = &response.groups[0].topics[0].partitions[0];
    assert_eq!(partition.error_code, ResponseError::UnstableOffsetCommit.code());
    world.settle_all();
    assert_eq!(world.error(committed), 0);
    assert_eq!(world.fetched("g", 0), 42);
    let snapshot = world.coordinator.snapshot();
    let offset = snapshot.groups["g"].offsets.values().next().unwrap();
    assert_eq!((offset.leader_epoch.0, offset.metadata.as_str()), (4, "note"));
    world.assert_matches_the_log();
}

#[test]
fn a_commit_that_was_refused_leaves_the_old_offset() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    world.send(commit("g", &member, 1, 0, 42), 9);
    world.settle_all();
    let refused = world.send(commit("g", &member, 1, 0, 43), 9);
    world.settle_next(Err(ResponseError::NotEnoughReplicas));
    assert_eq!(world.error(refused), ResponseError::CoordinatorNotAvailable.code());
    assert_eq!(world.fetched("g", 0), 42);
}

#[test]
fn a_commit_that_takes_too_long_is_answered_and_counts_if_it_is_committed_later() {
    let mut world = World::new(config());
    let committed = world.send(commit("g", "", -1, 0, 42), 9);
    world.advance(5_000);
    assert_eq!(world.error(committed), ResponseError::CoordinatorNotAvailable.code());
    assert_eq!(world.fetched("g", 0), -1);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), 42);
    world.assert_matches_the_log();
}

#[test]
fn a_member_commits_while_the_others_join_but_not_before_it_has_its_assignment() {
    let mut world = World::new(config());
    let member = world.stable_one("g");
    let (_, joined) = world.join_new("g");
    let preparing = world.send(commit("g", &member, 1, 0, 10), 9);
    world.settle_all();
    assert_eq!(world.error(preparing), 0, "it may still commit what it has handled");
    world.send(join("g", &member, None), 9);
    assert_eq!(world.join_reply(joined).generation_id, 2);
    let completing = world.send(commit("g", &member, 2, 0, 11), 9);
    assert_eq!(world.error(completing), ResponseError::RebalanceInProgress.code());
    assert_eq!(world.fetched("g", 0), 10);
}

#[test]
fn the_commit_of_a_zombie_is_refused() {
    let mut world = World::new(config());
    let (first, second) = world.stable_two("g");
    world.send(leave("g", &[(&second, None)]), 5);
    let joined = world.send(join("g", &first, None), 9);
    let generation = world.join_reply(joined).generation_id;
    world.send(sync("g", &first, generation, &[(&first, "all")]), 5);
    world.settle_all();
    let old_generation = world.send(commit("g", &first, generation - 1, 0, 5), 9);
    assert_eq!(world.error(old_generation), ResponseError::IllegalGeneration.code());
    let gone = world.send(commit("g", &second, generation, 0, 6), 9);
    assert_eq!(world.error(gone), ResponseError::UnknownMemberId.code());
    let outsider = world.send(commit("g", "", -1, 0, 7), 9);
    assert_eq!(world.error(outsider), ResponseError::UnknownMemberId.code());
    let nowhere = world.send(commit("nowhere", &first, 1, 0, 8), 9);
    assert_eq!(world.error(nowhere), ResponseError::IllegalGeneration.code());
    assert!(world.appends.is_empty(), "nothing was stored");
    assert_eq!(world.fetched("g", 0), -1);
}

#[test]
fn anybody_may_keep_offsets_in_a_group_without_members() {
    let mut world = World::new(config());
    let committed = world.send(commit("g", "", -1, 0, 42), 2);
    world.settle_all();
    assert_eq!(world.error(committed), 0);
    assert_eq!(world.fetched("g", 0), 42);
    world.assert_matches_the_log();
}

#[test]
fn an_offset_of_an_unknown_partition_or_with_too_much_metadata_is_refused() {
    let mut world = World::new(CoordinatorConfig { offset_metadata_max_bytes: 3, ..config() });
    let wordy = world.send(commit("g", "", -1, 0, 42), 9);
    assert_eq!(world.error(wordy), ResponseError::OffsetMetadataTooLarge.code());
    let mut world = World::new(config());
    let unknown = world.send(commit("g", "", -1, 99, 42), 9);
    assert_eq!(world.error(unknown), ResponseError::UnknownTopicOrPartition.code());
    assert!(world.appends.is_empty());
    assert!(world.coordinator.snapshot().groups.is_empty(), "no group is left behind");
}

#[test]
fn every_version_of_offset_commit_and_offset_fetch_works() {
    for version in 2..=9 {
        let mut world = World::new(config());
        let committed = world.send(commit("g", "", -1, 1, 42), version);
        world.settle_all();
        assert_eq!(world.error(committed), 0, "OffsetCommit version {version}");
    }
    for version in 1..=9 {
        let mut world = World::new(config());
        world.send(commit("g", "", -1, 1, 42), 9);
        world.settle_all();
        let request = if version >= 8 { fetch("g", 1, false) } else { old_fetch(Some(&[0, 1])) };
        let reply = world.send(request, version);
        let Some(GroupResponse::OffsetFetch(response)) = world.reply(reply) else { panic!("no answer") };
        let offset = if version >= 8 {
            response.groups[0].topics[0].partitions[0].committed_offset
        } else {
            assert_eq!(response.topics[0].partitions[0].committed_offset, -1);
            response.topics[0].partitions[1].committed_offset
        };
        assert_eq!(offset, 42, "OffsetFetch version {version}");
    }
}

#[test]
fn a_fetch_without_topics_gets_all_that_the_group_has() {
    let mut world = World::new(config());
    world.send(commit("g", "", -1, 1, 42), 9);
    world.send(commit("g", "", -1, 3, 44), 9);
    world.settle_all();
    let reply = world.send(old_fetch(None), 7);
    let Some(GroupResponse::OffsetFetch(response)) = world.reply(reply) else { panic!("no answer") };
    let found: Vec<_> = response.topics[0].partitions.iter().map(|found| found.committed_offset).collect();
    assert_eq!((response.topics.len(), found), (1, vec![42, 44]));
}

#[test]
fn the_planted_defect_stores_the_high_watermark_instead_of_the_offset() {
    let defects = [Defect::CommitHighWatermark].into_iter().collect();
    let mut world = World::new(CoordinatorConfig { defects, ..config() });
    world.send(commit("g", "", -1, 0, 42), 9);
    world.settle_all();
    assert_eq!(world.fetched("g", 0), 1_000);
}

/// The request as it was before version 8.
pub(super) fn old_fetch(partitions: Option<&[i32]>) -> GroupRequest {
    let topics = partitions.map(|partitions| {
        vec![
            OffsetFetchRequestTopic::default()
                .with_name(TopicName(text("orders")))
                .with_partition_indexes(partitions.to_vec()),
        ]
    });
    GroupRequest::OffsetFetch(OffsetFetchRequest::default().with_group_id(group_id("g")).with_topics(topics))
}
