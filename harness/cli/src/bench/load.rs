//! Threads that load a cluster until they are told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mqproof_core::history::Outcome;
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{self, Durability, Keys, Payload, ProducerPlan};
use mqproof_drivers::clock::{monotonic_ns, sleep_until};
use mqproof_drivers::driver;
use mqproof_drivers::kafka::light::{
    Acks, Batch, Latency, LightConnection, Meter, Pace, Position, ProduceOrder, fetch, produce,
};
use mqproof_drivers::library_log::LibraryLog;
use mqproof_drivers::role::{Completion, LogReader, Outgoing, Producer, SendError, SendObserver};

use super::error::BenchError;
use super::settings::{ClientKind, Settings};
use super::system::{SystemUnderTest, wall_ms};
use super::topic::Topic;
use super::workload::{Shape, Workload};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long the library is given to say how its last messages ended.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Messages between two looks at what the library has to say.
const POLL_EVERY: u64 = 1000;
/// Messages that are taken from the library at once.
const POLL_MAX: usize = 10_000;
/// The largest batch where latency counts, and not throughput.
const LATENCY_BATCH_BYTES: u32 = 16 << 10;
/// Until the first request of a load at a fixed rate.
const LEAD_NS: u64 = 50_000_000;

type Work = Box<dyn FnOnce(&Meter) -> Result<(), BenchError> + Send>;

/// A load that runs.
pub struct Load {
    meter: Arc<Meter>,
    threads: Vec<JoinHandle<Result<(), BenchError>>>,
}

impl Load {
    /// Sends.
    pub fn produce(
        system: &SystemUnderTest,
        topic: &Topic,
        workload: &Workload,
        settings: &Settings,
    ) -> Result<Self, BenchError> {
        match settings.client {
            ClientKind::Light => Self::run(light_senders(topic, workload, settings)?),
            ClientKind::Librdkafka => Self::of_library(system, topic, workload, settings),
        }
    }

    /// Reads; with ends, again and again up to them.
    pub fn fetch(
        system: &SystemUnderTest,
        topic: &Topic,
        ends: Option<&BTreeMap<i32, u64>>,
        settings: &Settings,
    ) -> Result<Self, BenchError> {
        match settings.client {
            ClientKind::Light => Self::run(light_readers(topic, ends)?),
            ClientKind::Librdkafka => {
                let connection = system.connection();
                let mut reader =
                    driver("kafka", &connection, &LibraryLog::to_tracing())?.log_reader(&topic.name, 0)?;
                let partitions = topic.partitions();
                let starts_over = ends.is_some();
                Self::run(vec![Box::new(move |meter| read_all(&mut *reader, partitions, starts_over, meter))])
            }
        }
    }

    fn of_library(
        system: &SystemUnderTest,
        topic: &Topic,
        workload: &Workload,
        settings: &Settings,
    ) -> Result<Self, BenchError> {
        let mut connection = system.connection();
        connection.settings.insert("batch.size".into(), settings.batch_bytes.to_string());
        if workload.tiny {
            connection.settings.insert("linger.ms".into(), "0".into());
            connection.settings.insert("batch.num.messages".into(), "1".into());
        }
        let durability = match workload.acks {
            Acks::Leader => Durability::Leader,
            Acks::All => Durability::Quorum,
        };
        let meter = Arc::new(Meter::default());
        let due = (workload.shape == Shape::FixedRate).then(|| Due {
            first_ns: monotonic_ns() + LEAD_NS,
            interval_ns: 1e9 * f64::from(workload.record_bytes) / settings.rate_bytes_per_s as f64,
        });
        let tally = Arc::new(Tally { meter: Arc::clone(&meter), due, ..Tally::default() });
        let observer: Arc<dyn SendObserver> = Arc::<Tally>::clone(&tally);
        let plan = producer_plan(&topic.name, workload, settings);
        let producer =
            driver("kafka", &connection, &LibraryLog::to_tracing())?.producer(&plan, durability, observer)?;
        producer.connect(CONNECT_WITHIN)?;
        let payload = vec![0xA5; workload.record_bytes as usize];
        Self::spawn(meter, vec![Box::new(move |meter| send_all(&*producer, &payload, &tally, meter))])
    }

    fn run(work: Vec<Work>) -> Result<Self, BenchError> {
        Self::spawn(Arc::default(), work)
    }

    fn spawn(meter: Arc<Meter>, work: Vec<Work>) -> Result<Self, BenchError> {
        // Whatever was started before a failure is stopped when the load is dropped.
        let mut load = Self { meter, threads: Vec::new() };
        for one in work {
            let meter = Arc::clone(&load.meter);
            let thread = std::thread::Builder::new()
                .name("load".into())
                .spawn(move || one(&meter))
                .map_err(|source| BenchError::Io { what: "cannot start a thread".into(), source })?;
            load.threads.push(thread);
        }
        Ok(load)
    }

    /// What it counts.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether a thread of it has ended, which before [`stop`](Self::stop) is by an error only.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends it and waits for what is under way.
    pub fn stop(mut self) -> Result<Finished, BenchError> {
        self.meter.end();
        let ends: Vec<_> =
            self.threads.drain(..).map(|one| one.join().expect("a load does not panic")).collect();
        ends.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(Finished { records: self.meter.records(), latency: self.meter.latency() })
    }
}

/// What a load did in all its life.
pub struct Finished {
    /// Records that were acknowledged or read.
    pub records: u64,
    /// Latencies of what was due in the window.
    pub latency: Latency,
}

impl Drop for Load {
    /// No load goes on that nobody measures.
    fn drop(&mut self) {
        self.meter.end();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn light_senders(topic: &Topic, workload: &Workload, settings: &Settings) -> Result<Vec<Work>, BenchError> {
    let batch = Arc::new(batch(workload, settings));
    let batch_payload = u64::from(batch.records()) * u64::from(workload.record_bytes);
    // Of all connections together.
    let interval_ns = 1e9 * batch_payload as f64 / settings.rate_bytes_per_s as f64;
    let all = f64::from(topic.partitions());
    let first_ns = monotonic_ns() + LEAD_NS;
    let mut work: Vec<Work> = Vec::new();
    for (number, (address, partitions)) in topic.leaders.iter().enumerate() {
        let connection = LightConnection::open(address, CONNECT_WITHIN)?;
        // A broker that leads more partitions gets more of the load; the connections take turns.
        let pace = match workload.shape {
            Shape::FixedRate => Pace::Open {
                first_ns: first_ns + (interval_ns * number as f64) as u64,
                interval_ns: (interval_ns * all / partitions.len() as f64) as u64,
            },
            _ => Pace::Closed { in_flight: settings.in_flight },
        };
        let (batch, name, partitions, acks) =
            (Arc::clone(&batch), topic.name.clone(), partitions.clone(), workload.acks);
        work.push(Box::new(move |meter| {
            let order = ProduceOrder { topic: &name, partitions: &partitions, acks, batch: &batch };
            Ok(produce(connection, &order, pace, meter)?)
        }));
    }
    Ok(work)
}

fn batch(workload: &Workload, settings: &Settings) -> Batch {
    let bytes = match workload.shape {
        Shape::FixedRate => settings.batch_bytes.min(LATENCY_BATCH_BYTES),
        _ if workload.tiny => 0,
        _ => settings.batch_bytes,
    };
    Batch::filled(bytes, workload.record_bytes, wall_ms())
}

fn light_readers(topic: &Topic, ends: Option<&BTreeMap<i32, u64>>) -> Result<Vec<Work>, BenchError> {
    let mut work: Vec<Work> = Vec::new();
    for (address, partitions) in &topic.leaders {
        let connection = LightConnection::open(address, CONNECT_WITHIN)?;
        let end_of = |partition: &i32| ends.and_then(|ends| ends.get(partition)).map(|end| *end as i64);
        let positions: Vec<Position> = partitions
            .iter()
            .map(|partition| Position { partition: *partition, next: 0, end: end_of(partition) })
            .collect();
        let name = topic.name.clone();
        work.push(Box::new(move |meter| Ok(fetch(connection, &name, positions, meter)?)));
    }
    Ok(work)
}

fn producer_plan(topic: &str, workload: &Workload, settings: &Settings) -> ProducerPlan {
    ProducerPlan {
        role: "bench".to_owned(),
        instance: 0,
        instances: 1,
        topic: topic.to_owned(),
        pace: plan::Pace::Closed { outstanding: u32::MAX },
        total: None,
        from_ns: 0,
        until_ns: u64::MAX,
        keys: Keys::None,
        payload: Payload::Fixed(workload.record_bytes),
        in_flight: settings.in_flight,
        idempotence: false,
        retries: 5,
        transactions: None,
        seed: 0,
    }
}

/// When a message is due.
#[derive(Clone, Copy)]
struct Due {
    first_ns: u64,
    interval_ns: f64,
}

impl Due {
    fn of(self, number: u64) -> u64 {
        self.first_ns + (self.interval_ns * number as f64) as u64
    }
}

/// What became of the library's messages.
#[derive(Default)]
struct Tally {
    meter: Arc<Meter>,
    due: Option<Due>,
    ended: AtomicU64,
    failed: AtomicU64,
    /// Error class of the first that failed.
    class: AtomicU16,
    latency: std::sync::Mutex<Latency>,
}

impl SendObserver for Tally {
    fn completed(&self, completion: &Completion) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if completion.outcome != Outcome::Ok {
            if self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                self.class.store(completion.class, Ordering::Relaxed);
            }
            return;
        }
        self.meter.add(1);
        let due_ns = self.due.map(|due| due.of(completion.id.0));
        if let Some(due_ns) = due_ns.filter(|due_ns| self.meter.is_in_window(*due_ns)) {
            let mut latency = self.latency.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            latency.record(monotonic_ns().saturating_sub(due_ns));
        }
    }
}

/// Sends until it is over, then waits for the end of every message.
fn send_all(producer: &dyn Producer, payload: &[u8], tally: &Tally, meter: &Meter) -> Result<(), BenchError> {
    let mut sent = 0;
    while !meter.is_over() && tally.failed.load(Ordering::Relaxed) == 0 {
        if let Some(due) = tally.due {
            producer.poll(Duration::ZERO);
            sleep_until(due.of(sent));
        }
        let message = Outgoing { id: MessageId(sent), key: None, payload };
        match producer.send(&message) {
            Ok(()) => sent += 1,
            Err(SendError::NoRoom) => producer.poll(Duration::from_millis(1)),
            Err(SendError::Refused { class, .. }) => return Err(BenchError::NotStored { count: 1, class }),
        }
        if sent % POLL_EVERY == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    let until = Instant::now() + DRAIN_WITHIN;
    while tally.ended.load(Ordering::Relaxed) < sent && Instant::now() < until {
        producer.poll(Duration::from_millis(20));
    }
    meter.add_latency(&tally.latency.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let missing = sent - tally.ended.load(Ordering::Relaxed);
    match tally.failed.load(Ordering::Relaxed) + missing {
        0 => Ok(()),
        count => Err(BenchError::NotStored { count, class: tally.class.load(Ordering::Relaxed) }),
    }
}

/// Reads all partitions until it is over.
fn read_all(
    reader: &mut dyn LogReader,
    partitions: u32,
    starts_over: bool,
    meter: &Meter,
) -> Result<(), BenchError> {
    let all: Vec<u16> = (0..partitions as u16).collect();
    reader.assign(&all)?;
    let mut at_end = std::collections::BTreeSet::new();
    while !meter.is_over() {
        let mut ended = Vec::new();
        let count = reader
            .poll(POLL_MAX, Duration::from_millis(100), &mut |_| {}, &mut |partition| ended.push(partition));
        meter.add(count as u64);
        at_end.extend(ended);
        if starts_over && at_end.len() == all.len() {
            at_end.clear();
            reader.assign(&all)?;
        }
    }
    Ok(())
}
