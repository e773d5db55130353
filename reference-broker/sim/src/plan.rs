//! What one seed does: the cluster's settings, the weather, the workload.
//!
//! Each seed draws a different mix (swarm testing), so that rare combinations come up without being asked for.

use broker_core::{Defects, FlushPolicy};

use crate::dice::{Concern, Dice};

pub(crate) const MS: u64 = 1_000_000;

/// How many brokers there are; their ids count from 1. The controller's id is 0.
pub(crate) const BROKERS: usize = 3;

/// What a caller chooses beyond the seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bugs planted in every broker and in the controller.
    pub defects: Defects,
    /// A run that has taken so many steps is stopped and counts as failed.
    pub max_steps: u64,
    /// Prints every event to stderr.
    pub verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { defects: Defects::NONE, max_steps: 400_000, verbose: false }
    }
}

/// The mix of one seed. Times in nanoseconds unless the name says otherwise.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cluster: ClusterKnobs,
    pub(crate) weather: Weather,
    pub(crate) workload: Workload,
}

#[derive(Debug)]
pub(crate) struct ClusterKnobs {
    pub(crate) partitions: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) segment_bytes: u64,
    pub(crate) index_interval_bytes: u64,
    pub(crate) flush: FlushPolicy,
    pub(crate) replica_lag_time_max_ms: u64,
    pub(crate) replica_fetch_wait_max_ms: u64,
    pub(crate) broker_heartbeat_interval_ms: u64,
    pub(crate) broker_session_timeout_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) net_delay: u64,
    pub(crate) net_jitter: u64,
    pub(crate) flush_delay_max: u64,
    /// When faults begin and end; after the end all is mended.
    pub(crate) faults_from: u64,
    pub(crate) faults_until: u64,
    /// Mean pause between two faults.
    pub(crate) fault_pause: u64,
    pub(crate) downtime_max: u64,
    pub(crate) cut_max: u64,
    /// Relative weights of: kill, orderly stop, cut of a pair, cut one way.
    pub(crate) weights: [u64; 4],
    /// How far wall clocks differ between nodes.
    pub(crate) wall_skew_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) producers: Vec<ProducerKnobs>,
    /// Consumers that read along while records are produced.
    pub(crate) live_readers: usize,
}

/// One producer.
#[derive(Clone, Debug)]
pub(crate) struct ProducerKnobs {
    pub(crate) idempotent: bool,
    /// −1 or 1.
    pub(crate) acks: i16,
    /// Per partition.
    pub(crate) in_flight: usize,
    pub(crate) batches: u64,
    pub(crate) pause: u64,
    pub(crate) filler_max: u64,
    /// How long it waits for a response.
    pub(crate) request_timeout: u64,
    /// Gives a batch up when it is told that there are too few in-sync replicas, instead of trying again.
    pub(crate) gives_up: bool,
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed, Concern::Plan);
        let dice = &mut dice;
        let cluster = ClusterKnobs::draw(dice);
        let weather = Weather::draw(dice);
        let workload = Workload::draw(dice, weather.faults_until);
        Self { cluster, weather, workload }
    }
}

impl ClusterKnobs {
    fn draw(dice: &mut Dice) -> Self {
        let heartbeat = dice.between(20, 100);
        let flush = match dice.between(0, 3) {
            0 => FlushPolicy::BeforeAck,
            1 => FlushPolicy::IntervalMs(dice.between(10, 500)),
            _ => FlushPolicy::PageCache,
        };
        Self {
            partitions: dice.between(1, 3) as i32,
            min_insync_replicas: if dice.percent(80) { 2 } else { 1 },
            segment_bytes: dice.between(1024, 4096),
            index_interval_bytes: dice.magnitude(16, 1024),
            flush,
            replica_lag_time_max_ms: dice.magnitude(100, 2000),
            replica_fetch_wait_max_ms: dice.magnitude(10, 150),
            broker_heartbeat_interval_ms: heartbeat,
            broker_session_timeout_ms: heartbeat * dice.between(3, 8),
        }
    }
}

impl Weather {
    fn draw(dice: &mut Dice) -> Self {
        let faults_from = 500 * MS;
        Self {
            net_delay: dice.magnitude(MS / 20, 4 * MS),
            net_jitter: dice.magnitude(MS / 20, 20 * MS),
            flush_delay_max: dice.magnitude(MS / 10, 30 * MS),
            faults_from,
            faults_until: faults_from + dice.between(2000, 6000) * MS,
            fault_pause: dice.magnitude(60, 1500) * MS,
            downtime_max: dice.magnitude(20, 1500) * MS,
            cut_max: dice.magnitude(20, 1500) * MS,
            weights: [dice.between(0, 4), dice.between(0, 2), dice.between(0, 4), dice.between(1, 3)],
            wall_skew_ms: dice.between(0, 500),
        }
    }
}

impl Workload {
    fn draw(dice: &mut Dice, until: u64) -> Self {
        let count = dice.between(2, 4);
        let producers = (0..count).map(|_| ProducerKnobs::draw(dice, until)).collect();
        Self { producers, live_readers: dice.between(0, 2) as usize }
    }
}

impl ProducerKnobs {
    fn draw(dice: &mut Dice, until: u64) -> Self {
        let idempotent = dice.percent(60);
        let batches = dice.between(20, 120);
        Self {
            idempotent,
            acks: if idempotent || dice.percent(70) { -1 } else { 1 },
            in_flight: if idempotent { dice.between(1, 5) as usize } else { 1 },
            batches,
            pause: until / batches,
            filler_max: dice.magnitude(8, 300),
            request_timeout: dice.between(150, 1500) * MS,
            gives_up: !idempotent && dice.percent(30),
        }
    }
}
