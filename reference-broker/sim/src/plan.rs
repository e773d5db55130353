//! What one seed does: the cluster's settings, the weather, the workload.
//!
//! Each seed draws a different mix (swarm testing), so that rare combinations come up without being asked for.

use broker_core::{Defects, FlushPolicy};

use crate::client::desk::Manner;
use crate::client::transactor::Protocol;
use crate::crash_point::CrashPoint;
use crate::dice::{Concern, Dice};
use crate::fault_set::FaultSet;

pub(crate) const MS: u64 = 1_000_000;
/// The time on every node's wall clock at the start, before its skew.
pub(crate) const WALL_START_MS: i64 = 1_800_000_000_000;

/// How many replicas partitions have where nobody moves them.
pub(crate) const REPLICAS: usize = 3;

/// What a caller chooses beyond the seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bugs planted in every broker and in the controller.
    pub defects: Defects,
    /// A run that has taken so many steps is stopped and counts as failed.
    pub max_steps: u64,
    /// Prints every event to stderr.
    pub verbose: bool,
    /// When brokers flush; None: each seed draws it.
    pub flush: Option<FlushPolicy>,
    /// The disks of brokers say that they have flushed and have not: nothing is promised then.
    pub lying_disks: bool,
    /// A drill instead of the standard mix of losses of power and failures of disks.
    pub drill: Option<Drill>,
    /// Faults that are left out.
    pub spared: FaultSet,
    /// Where a node dies beside all else.
    pub crash: Option<CrashPoint>,
}

/// What every seed is to go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drill {
    /// Brokers lose their power often, one at a time, as far as the promise goes.
    One,
    /// All nodes lose their power at once, whatever is promised.
    All,
    /// A short run in which nothing happens but what [`Options::crash`] says.
    Script,
}

impl Options {
    /// As given on the command line, each with a space before it.
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        for defect in self.defects.iter() {
            text = text + " --defect " + defect.name();
        }
        if let Some(flush) = self.flush {
            text = text + " --flush " + &flush_name(flush);
        }
        if self.lying_disks {
            text += " --lying-disks";
        }
        if !self.spared.is_empty() {
            text = text + " --without-faults " + &self.spared.to_string();
        }
        if let Some(point) = self.crash {
            text = text + " --crash " + &point.to_string();
        }
        match self.drill {
            Some(Drill::Script) => text + " --script",
            Some(Drill::One) => text + " --power-loss one",
            Some(Drill::All) => text + " --power-loss all",
            None => text,
        }
    }
}

/// As on the command line.
pub fn flush_name(flush: FlushPolicy) -> String {
    match flush {
        FlushPolicy::PageCache => "page-cache".into(),
        FlushPolicy::IntervalMs(ms) => format!("{ms}ms"),
        FlushPolicy::BeforeAck => "before-ack".into(),
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defects: Defects::NONE,
            max_steps: 400_000,
            verbose: false,
            flush: None,
            lying_disks: false,
            drill: None,
            spared: FaultSet::default(),
            crash: None,
        }
    }
}

/// How long the load of a script lasts.
const SCRIPT: u64 = 1200 * MS;

/// The mix of one seed. Times in nanoseconds unless the name says otherwise.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cluster: ClusterKnobs,
    pub(crate) weather: Weather,
    pub(crate) workload: Workload,
    pub(crate) cleanup: Cleanup,
}

/// What of the topic's logs is deleted or compacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cleanup {
    /// How often brokers look after their logs.
    pub(crate) check_interval_ms: u64,
    pub(crate) policy: Policy,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// Everything is kept.
    Keep,
    /// The newest records up to so many bytes are kept.
    Size(u64),
    /// Records up to this age are kept, in milliseconds.
    Age(u64),
    /// A client asks for records to be deleted.
    Requests,
    /// Of so many keys of each producer the newest record is kept.
    Compaction { keys: u16, dirty_percent: u64 },
}

#[derive(Debug)]
pub(crate) struct ClusterKnobs {
    /// Their ids count from 1.
    pub(crate) brokers: usize,
    /// The id of the first one is 0, others follow the brokers.
    pub(crate) controllers: usize,
    pub(crate) quorum_election_timeout_ms: u64,
    pub(crate) quorum_fetch_timeout_ms: u64,
    pub(crate) partitions: i32,
    pub(crate) min_insync_replicas: i32,
    pub(crate) segment_bytes: u64,
    pub(crate) index_interval_bytes: u64,
    pub(crate) flush: FlushPolicy,
    pub(crate) replica_lag_time_max_ms: u64,
    pub(crate) replica_fetch_wait_max_ms: u64,
    pub(crate) broker_heartbeat_interval_ms: u64,
    pub(crate) broker_session_timeout_ms: u64,
    /// How long the offsets of a group without members are kept.
    pub(crate) offsets_retention_ms: Option<u64>,
    /// How often leaderships go back to preferred replicas, if they do.
    pub(crate) rebalance_ms: Option<u64>,
    pub(crate) metadata_segment_bytes: u64,
    pub(crate) metadata_snapshot_bytes: u64,
    pub(crate) quorum_snapshot_fetch_bytes: i32,
}

/// How fast things are when nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climate {
    /// Of every frame, one way.
    pub(crate) net_delay: u64,
    /// Added to that, at most.
    pub(crate) net_jitter: u64,
    pub(crate) flush_delay_max: u64,
    /// How far wall clocks differ between nodes.
    pub(crate) wall_skew_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) climate: Climate,
    /// When faults begin and end; after the end all is mended.
    pub(crate) faults_from: u64,
    pub(crate) faults_until: u64,
    /// Mean pause between two faults.
    pub(crate) fault_pause: u64,
    pub(crate) downtime_max: u64,
    pub(crate) cut_max: u64,
    /// How often each kind of fault comes up, relative to the others.
    pub(crate) weights: Vec<(Strike, u64)>,
    /// When all nodes lose their power at once, in a drill.
    pub(crate) blackout: Option<u64>,
    /// No fault may go beyond what the cluster's settings promise.
    pub(crate) within_promise: bool,
}

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strike {
    Kill,
    Stop,
    CutPair,
    CutOneWay,
    /// One server is cut from all others.
    Isolate,
    PowerLoss,
    Blackout,
    /// A disk fails, fills up or becomes slow.
    BadDisk,
    /// All nodes are restarted, one after another.
    Roll,
    /// What is sent to a broker, by clients or by another node, arrives late.
    SlowLink,
}

#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) producers: Vec<ProducerKnobs>,
    /// Consumers that read along while records are produced.
    pub(crate) live_readers: usize,
    /// Members of a consumer group.
    pub(crate) members: usize,
    /// Members of another one, which speaks the classic protocol.
    pub(crate) elders: usize,
    /// Transactional producers, and the partitions of their topic; no such topic without them.
    pub(crate) payers: Vec<PayerKnobs>,
    pub(crate) payments_partitions: i32,
    /// Between two orders of whoever moves partitions between brokers, if anybody does.
    pub(crate) mover_pause: Option<u64>,
}

/// One transactional producer.
#[derive(Clone, Debug)]
pub(crate) struct PayerKnobs {
    /// Of its transactional id.
    pub(crate) id: u16,
    /// Records of a transaction.
    pub(crate) size: u32,
    pub(crate) transactions: u32,
    /// Mean time between two records.
    pub(crate) pause: u64,
    pub(crate) abort_percent: u64,
    /// The coordinator aborts a transaction that is older.
    pub(crate) timeout_ms: u64,
    pub(crate) request_timeout: u64,
    /// When it begins.
    pub(crate) from_ns: u64,
    /// Two of one transactional id may speak different ones.
    pub(crate) protocol: Protocol,
    /// What it does when it meets with trouble.
    pub(crate) manner: Manner,
    /// How many of its pauses are longer than its transactions may take.
    pub(crate) dawdle_percent: u64,
    /// Whether each of its transactions commits an offset of a group, too.
    pub(crate) offsets: bool,
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
    pub(crate) fn draw(seed: u64, options: &Options) -> Self {
        let mut dice = Dice::new(seed, Concern::Plan);
        let dice = &mut dice;
        let mut cluster = ClusterKnobs::draw(dice);
        let mut weather = Weather::draw(dice);
        let mut workload = Workload::draw(dice, weather.faults_until);
        weather.draw_disks(dice);
        cluster.flush = options.flush.unwrap_or(cluster.flush);
        let mut cleanup = Cleanup::draw(dice);
        if let Some(drill) = options.drill {
            weather.rehearse(drill, dice);
            cleanup.policy = Policy::Keep;
        }
        if options.drill == Some(Drill::Script) {
            cleanup = Cleanup::draw(dice);
            workload = Workload::short(dice);
        }
        cluster.draw_snapshots(dice);
        cluster.rebalance_ms = dice.percent(50).then(|| dice.magnitude(50, 3000));
        workload.mover_pause = dice.percent(40).then(|| dice.magnitude(10, 1000) * MS);
        if dice.percent(50) {
            workload.members = dice.between(1, 4) as usize;
        }
        if dice.percent(50) {
            workload.draw_payers(dice, weather.faults_until);
        }
        if dice.percent(30) {
            workload.elders = dice.between(2, 3) as usize;
        }
        // Of a group of elders it is known when it may have been empty; transactions commit offsets of groups without members.
        if workload.members == 0 && !workload.payers.iter().any(|payer| payer.offsets) {
            cluster.offsets_retention_ms = dice.percent(50).then(|| dice.magnitude(150, 1000));
        }
        if options.drill.is_none() {
            cluster.brokers = if dice.percent(25) { 5 } else { REPLICAS };
            weather.weights.push((Strike::Roll, dice.between(0, 1)));
            // What a hasty producer gives up comes late over a slow link.
            let hasty = workload.payers.iter().any(|payer| payer.manner == Manner::Hasty);
            weather.weights.push((Strike::SlowLink, dice.between(0, if hasty { 12 } else { 4 })));
        }
        for payer in &mut workload.payers {
            payer.protocol = if dice.percent(40) { Protocol::Second } else { Protocol::First };
        }
        Self { cluster, weather, workload, cleanup }
    }
}

impl Cleanup {
    fn draw(dice: &mut Dice) -> Self {
        let policy = match dice.between(0, 99) {
            0..45 => Policy::Keep,
            45..57 => Policy::Size(dice.between(1000, 10_000)),
            57..67 => Policy::Age(dice.between(300, 4000)),
            67..80 => Policy::Requests,
            _ => Policy::Compaction { keys: dice.between(1, 20) as u16, dirty_percent: dice.between(0, 60) },
        };
        Self { check_interval_ms: dice.magnitude(20, 400), policy }
    }

    /// The settings of the topic.
    pub(crate) fn topic_configs(&self) -> Vec<(&'static str, String)> {
        match self.policy {
            Policy::Keep | Policy::Requests => Vec::new(),
            Policy::Size(bytes) => vec![("retention.bytes", bytes.to_string())],
            // Records are stamped with the virtual time, which begins at 0.
            Policy::Age(ms) => vec![("retention.ms", (WALL_START_MS + ms as i64).to_string())],
            Policy::Compaction { dirty_percent, .. } => vec![
                ("cleanup.policy", "compact".to_owned()),
                ("min.cleanable.dirty.ratio", (dirty_percent as f64 / 100.0).to_string()),
            ],
        }
    }

    /// How many keys each producer has; 0: every record has its own.
    pub(crate) fn keys(&self) -> u16 {
        match self.policy {
            Policy::Compaction { keys, .. } => keys,
            _ => 0,
        }
    }

    /// Whether the beginning of a log may go.
    pub(crate) fn deletes(&self) -> bool {
        matches!(self.policy, Policy::Size(_) | Policy::Age(_) | Policy::Requests)
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
            brokers: REPLICAS,
            controllers: if dice.percent(60) { 3 } else { 1 },
            quorum_election_timeout_ms: dice.between(40, 200),
            quorum_fetch_timeout_ms: dice.between(60, 400),
            partitions: dice.between(1, 3) as i32,
            min_insync_replicas: if dice.percent(80) { 2 } else { 1 },
            segment_bytes: dice.between(1024, 4096),
            index_interval_bytes: dice.magnitude(16, 1024),
            flush,
            replica_lag_time_max_ms: dice.magnitude(100, 2000),
            replica_fetch_wait_max_ms: dice.magnitude(10, 150),
            broker_heartbeat_interval_ms: heartbeat,
            broker_session_timeout_ms: heartbeat * dice.between(3, 8),
            offsets_retention_ms: None,
            rebalance_ms: None,
            metadata_segment_bytes: u64::MAX,
            metadata_snapshot_bytes: u64::MAX,
            quorum_snapshot_fetch_bytes: i32::MAX,
        }
    }

    /// The ids of all controllers.
    pub(crate) fn controller_ids(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        std::iter::once(0).chain(self.brokers + 1..self.brokers + self.controllers)
    }

    pub(crate) fn is_broker(&self, id: usize) -> bool {
        (1..=self.brokers).contains(&id)
    }

    /// Snapshots of the metadata after a few records each, fetched in small parts; in few seeds none.
    fn draw_snapshots(&mut self, dice: &mut Dice) {
        self.metadata_segment_bytes = dice.magnitude(100, 500);
        self.metadata_snapshot_bytes = dice.magnitude(30, 1000);
        self.quorum_snapshot_fetch_bytes = dice.magnitude(48, 600) as i32;
    }
}

impl Weather {
    fn draw(dice: &mut Dice) -> Self {
        let faults_from = 500 * MS;
        let climate = Climate {
            net_delay: dice.magnitude(MS / 20, 4 * MS),
            net_jitter: dice.magnitude(MS / 20, 20 * MS),
            flush_delay_max: dice.magnitude(MS / 10, 30 * MS),
            wall_skew_ms: 0,
        };
        let mut weather = Self {
            climate,
            faults_from,
            faults_until: faults_from + dice.between(2000, 6000) * MS,
            fault_pause: dice.magnitude(60, 1500) * MS,
            downtime_max: dice.magnitude(20, 1500) * MS,
            cut_max: dice.magnitude(20, 1500) * MS,
            weights: vec![
                (Strike::Kill, dice.between(0, 4)),
                (Strike::Stop, dice.between(0, 2)),
                (Strike::CutPair, dice.between(0, 4)),
                (Strike::CutOneWay, dice.between(1, 3)),
                (Strike::Isolate, dice.between(0, 2)),
            ],
            blackout: None,
            within_promise: true,
        };
        weather.climate.wall_skew_ms = dice.between(0, 500);
        weather
    }

    /// One seed in ten may go beyond the promise.
    fn draw_disks(&mut self, dice: &mut Dice) {
        self.weights.extend([
            (Strike::PowerLoss, dice.between(0, 3)),
            (Strike::Blackout, dice.between(0, 1)),
            (Strike::BadDisk, dice.between(0, 2)),
        ]);
        self.within_promise = !dice.percent(10);
    }

    fn rehearse(&mut self, drill: Drill, dice: &mut Dice) {
        self.weights
            .retain(|(kind, _)| !matches!(kind, Strike::PowerLoss | Strike::Blackout | Strike::BadDisk));
        self.within_promise = true;
        match drill {
            Drill::One => self.weights.push((Strike::PowerLoss, 20)),
            Drill::All => self.blackout = Some(dice.between(self.faults_from, self.faults_until)),
            Drill::Script => (self.faults_from, self.faults_until) = (u64::MAX, SCRIPT),
        }
    }
}

impl Workload {
    fn draw(dice: &mut Dice, until: u64) -> Self {
        let count = dice.between(2, 4);
        let producers = (0..count).map(|_| ProducerKnobs::draw(dice, until)).collect();
        Self {
            producers,
            live_readers: dice.between(0, 2) as usize,
            members: 0,
            elders: 0,
            payers: Vec::new(),
            payments_partitions: dice.between(1, 3) as i32,
            mover_pause: None,
        }
    }

    /// One to three transactional ids; some have two producers, the first of which stops when it meets with trouble.
    fn draw_payers(&mut self, dice: &mut Dice, until: u64) {
        for id in 0..dice.between(1, 3) as u16 {
            let first = PayerKnobs::draw(id, dice, until);
            let twin = dice
                .percent(50)
                .then(|| PayerKnobs { from_ns: dice.between(until / 4, until), ..first.clone() });
            let manner = if twin.is_some() { Manner::Mortal } else { first.manner };
            self.payers.push(PayerKnobs { manner, ..first });
            self.payers.extend(twin);
        }
    }

    /// For a script: little, so that every place where it can be interrupted can be tried.
    fn short(dice: &mut Dice) -> Self {
        let mut workload = Self::draw(dice, SCRIPT);
        workload.producers.truncate(2);
        for producer in &mut workload.producers {
            producer.batches = dice.between(4, 12);
            producer.pause = SCRIPT / producer.batches;
        }
        workload
    }
}

impl PayerKnobs {
    fn draw(id: u16, dice: &mut Dice, until: u64) -> Self {
        let (size, transactions) = (dice.between(1, 6) as u32, dice.between(10, 80) as u32);
        let manner = if dice.percent(50) { Manner::Hasty } else { Manner::Cautious };
        let patience = if manner == Manner::Hasty { 40..=100 } else { 150..=1000 };
        Self {
            id,
            size,
            transactions,
            pause: until / (u64::from(size) * u64::from(transactions)),
            abort_percent: dice.between(0, 50),
            timeout_ms: dice.magnitude(300, 3000),
            request_timeout: dice.between(*patience.start(), *patience.end()) * MS,
            from_ns: 0,
            protocol: Protocol::First,
            manner,
            dawdle_percent: if dice.percent(50) { dice.between(2, 15) } else { 0 },
            offsets: dice.percent(50),
        }
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
