//! One partition, told what happens step by step. Node 1 is the replica under test, 2 and 3 are the others.

use crate::disk::MemDisk;
use crate::ids::PartitionId;
use crate::log::LogConfig;
use crate::record::BatchBuilder;

use super::*;

const ME: NodeId = NodeId(1);
const EPOCH: BrokerEpoch = BrokerEpoch(10);

struct Replica {
    partition: Partition,
    disk: MemDisk,
    partition_epoch: i32,
}

impl Replica {
    fn new(min_insync_replicas: usize, flush: FlushPolicy) -> Self {
        let mut disk = MemDisk::new();
        let log = PartitionLog::open("orders-0", LogConfig::default(), &mut disk).expect("opens");
        let id = TopicPartitionId { topic: crate::controller::TopicId::default(), partition: PartitionId(0) };
        let settings = PartitionSettings { min_insync_replicas, flush, defects: Defects::NONE };
        let partition = Partition::new(id, "orders".into(), ME, log, settings, Offset(0));
        Self { partition, disk, partition_epoch: 0 }
    }

    fn told(&mut self, leader: i32, epoch: i32, isr: &[i32]) -> Transition {
        self.partition_epoch += 1;
        let state = PartitionState {
            isr: isr.iter().map(|node| NodeId(*node)).collect(),
            elr: Vec::new(),
            leader: NodeId(leader),
            leader_epoch: LeaderEpoch(epoch),
            partition_epoch: self.partition_epoch,
        };
        let replicas = vec![ME, NodeId(2), NodeId(3)];
        self.partition.apply(&PartitionImage::new(replicas, state), 1_000)
    }

    fn append(&mut self, records: usize) {
        let epoch = self.partition.state().leader_epoch;
        for _ in 0..records {
            let batch = BatchBuilder::new(1).record(None, Some(b"x")).build();
            self.partition.log.append_as_leader(batch, epoch, 1, &mut self.disk).expect("appends");
        }
        self.partition.advance_high_watermark();
    }

    fn fetched(&mut self, node: i32, offset: i64, now_ns: u64) -> i64 {
        self.partition.follower_fetched(NodeId(node), EPOCH, (Offset(0), Offset(offset)), now_ns);
        self.partition.advance_high_watermark();
        self.partition.high_watermark().0
    }

    fn proposed(&self) -> Option<Vec<i32>> {
        self.partition.proposal().map(|isr| isr.iter().map(|(node, _)| node.0).collect())
    }
}

#[test]
fn the_high_watermark_is_the_lowest_end_in_the_in_sync_set() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    assert_eq!(replica.told(1, 0, &[1, 2, 3]), Transition::Leader);
    replica.append(5);
    assert_eq!(replica.fetched(2, 4, 1), 0, "3 has not been heard");
    assert_eq!(replica.fetched(3, 2, 1), 2);
    assert_eq!(replica.fetched(3, 5, 2), 4);
    assert_eq!(replica.fetched(3, 1, 3), 4, "it never falls");
}

#[test]
fn nothing_is_committed_below_min_isr() {
    let mut replica = Replica::new(2, FlushPolicy::PageCache);
    replica.told(1, 0, &[1]);
    replica.append(3);
    assert!(replica.partition.is_under_min_isr());
    assert_eq!(replica.partition.high_watermark(), Offset(0));
    replica.fetched(2, 3, 1);
    assert_eq!(replica.told(1, 0, &[1, 2]), Transition::InSyncSet);
    assert_eq!(replica.partition.high_watermark(), Offset(3));
}

#[test]
fn a_proposed_member_holds_the_high_watermark_back_until_the_controller_has_spoken() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 0, &[1, 2]);
    replica.append(2);
    replica.fetched(2, 2, 1);
    replica.fetched(3, 2, 1);
    assert!(replica.partition.propose_expand(NodeId(3), EPOCH));
    replica.append(1);
    assert_eq!(replica.fetched(2, 3, 2), 2, "3 may be a member already");
    replica.partition.withdraw_proposal();
    replica.partition.advance_high_watermark();
    assert_eq!(replica.partition.high_watermark(), Offset(3));
}

#[test]
fn a_member_that_is_about_to_leave_counts_until_it_has_left() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 0, &[1, 2, 3]);
    replica.append(1);
    replica.fetched(2, 1, 5_000);
    replica.partition.propose_shrink(6_000, 2_000, EPOCH);
    assert_eq!(replica.proposed(), Some(vec![1, 2]));
    assert_eq!(replica.partition.high_watermark(), Offset(0));
    replica.told(1, 0, &[1, 2]);
    assert_eq!((replica.partition.high_watermark(), replica.proposed()), (Offset(1), None));
}

#[test]
fn a_follower_that_keeps_up_with_what_there_was_stays_in_sync() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 0, &[1, 2]);
    replica.append(1);
    replica.fetched(2, 1, 2_000);
    for (round, now_ns) in (1..).zip((3_000..9_000).step_by(1_000)) {
        replica.append(1);
        // Always one behind the end, never behind the end of a round ago.
        replica.fetched(2, round, now_ns);
        replica.partition.propose_shrink(now_ns, 1_500, EPOCH);
        assert_eq!(replica.proposed(), None, "at {now_ns}");
    }
    replica.partition.propose_shrink(20_000, 1_500, EPOCH);
    assert_eq!(replica.proposed(), Some(vec![1]));
}

#[test]
fn a_follower_is_readmitted_only_past_the_high_watermark_and_the_start_of_the_epoch() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 0, &[1, 2, 3]);
    replica.append(4);
    replica.fetched(2, 2, 1);
    replica.fetched(3, 2, 1);
    assert_eq!(replica.partition.high_watermark(), Offset(2));
    // Elected again with a log that reaches beyond what is known to be committed.
    assert_eq!(replica.told(1, 1, &[1, 2]), Transition::Leader);
    assert_eq!(replica.partition.epoch_start(), Some(Offset(4)));
    replica.fetched(3, 1, 2);
    assert!(!replica.partition.propose_expand(NodeId(3), EPOCH), "below the high watermark");
    replica.fetched(3, 3, 2);
    assert!(!replica.partition.propose_expand(NodeId(3), EPOCH), "below the start of the epoch");
    replica.fetched(3, 4, 2);
    assert!(replica.partition.propose_expand(NodeId(3), EPOCH));
    assert_eq!(replica.proposed(), Some(vec![1, 2, 3]));
}

#[test]
fn under_flush_before_ack_only_what_is_flushed_counts() {
    let mut replica = Replica::new(1, FlushPolicy::BeforeAck);
    replica.told(1, 0, &[1]);
    replica.append(2);
    assert_eq!((replica.partition.stored_end(), replica.partition.high_watermark()), (Offset(0), Offset(0)));
    let (_, ticket) = replica.partition.log.begin_flush();
    replica.append(1);
    replica.partition.log.complete_flush(ticket, &mut replica.disk).expect("flushes");
    replica.partition.advance_high_watermark();
    assert_eq!(replica.partition.high_watermark(), Offset(2));
}

#[test]
fn old_news_changes_nothing() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 3, &[1, 2, 3]);
    assert_eq!(replica.told(2, 2, &[2]), Transition::None);
    assert!(replica.partition.is_leader());
    replica.partition_epoch = -5;
    assert_eq!(replica.told(1, 3, &[1]), Transition::None);
    assert_eq!(replica.partition.state().isr.len(), 3);
}

#[test]
fn what_a_restarted_follower_had_is_forgotten() {
    let mut replica = Replica::new(1, FlushPolicy::PageCache);
    replica.told(1, 0, &[1, 2]);
    replica.append(1);
    replica.partition.follower_fetched(NodeId(2), EPOCH, (Offset(0), Offset(1)), 1);
    replica.partition.follower_restarted(NodeId(2), BrokerEpoch(11));
    assert!(!replica.partition.advance_high_watermark());
    assert_eq!(replica.fetched(2, 1, 2), 1);
}
