//! One block: a load on one system for a few seconds, and what it cost.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqproof_drivers::kafka::light::Latency;

use super::error::BenchError;
use super::load::Load;
use super::probe::fdatasync_ms;
use super::process::own_cpu_s;
use super::settings::Settings;
use super::system::SystemUnderTest;
use super::topic::Topic;
use super::workload::{Shape, Workload};
use crate::clock::now_ns;

/// The part of a block's length that a load runs before it is measured, and the most of it.
const RAMP_SHARE: u32 = 5;
const RAMP_MAX: Duration = Duration::from_millis(500);
/// How long the first record may take to come through.
const FIRST_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at a load that runs.
const LOOK: Duration = Duration::from_millis(5);
/// Payload of the log that is read from its start.
const FULL_LOG_BYTES: u64 = 256 << 20;
/// How long filling it may take.
const FILL_WITHIN: Duration = Duration::from_mins(2);

/// What was measured in one block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Records that came through.
    pub records: u64,
    /// Bytes of a record's value.
    pub record_bytes: u32,
    /// How long it was measured.
    pub seconds: f64,
    /// Seconds of processor time of the brokers; None: not measured.
    pub broker_cpu_s: Option<f64>,
    /// Seconds of processor time of this process, the load generator.
    pub client_cpu_s: f64,
    /// Bytes of memory that the brokers had at the end.
    pub resident_bytes: Option<f64>,
    /// Latencies, where the load had a fixed rate.
    pub latency: Latency,
    /// The disk before and after.
    pub fdatasync_ms: Option<f64>,
}

impl Block {
    /// Payload bytes that came through.
    pub fn payload_bytes(&self) -> f64 {
        self.records as f64 * f64::from(self.record_bytes)
    }
}

/// Runs blocks of one workload on one system.
pub struct Blocks<'a> {
    system: &'a mut SystemUnderTest,
    workload: &'a Workload,
    settings: &'a Settings,
    interrupted: &'a AtomicBool,
}

/// A full log, to be read from its start.
pub struct FullLog {
    topic: Topic,
    ends: std::collections::BTreeMap<i32, u64>,
}

/// Loads of one block: the one that is measured, and the one that gives it something to read.
struct Running {
    measured: Load,
    beside: Option<Load>,
}

impl<'a> Blocks<'a> {
    /// Nothing runs yet.
    pub fn new(
        system: &'a mut SystemUnderTest,
        workload: &'a Workload,
        settings: &'a Settings,
        interrupted: &'a AtomicBool,
    ) -> Self {
        Self { system, workload, settings, interrupted }
    }

    /// Fills a log, where the workload reads one from its start. It is the caller's to [remove](Self::remove).
    pub fn fill(&mut self) -> Result<Option<FullLog>, BenchError> {
        if self.workload.shape != Shape::CatchUp {
            return Ok(None);
        }
        let topic = self.system.create_topic(self.workload, self.settings)?;
        let load = Load::produce(self.system, &topic, self.workload, self.settings)?;
        let enough =
            FULL_LOG_BYTES.min(self.settings.block_bytes_max) / u64::from(self.workload.record_bytes);
        let until = now_ns() + FILL_WITHIN.as_nanos() as u64;
        while load.meter().records() < enough && now_ns() < until && self.goes_on(&load) {
            std::thread::sleep(LOOK);
        }
        let finished = load.stop()?;
        topic.check(self.system.admin(), finished.records)?;
        let ends = topic.ends(self.system.admin())?;
        Ok(Some(FullLog { topic, ends }))
    }

    /// Deletes a full log.
    pub fn remove(&self, full: &FullLog) -> Result<(), BenchError> {
        full.topic.delete(self.system.admin())
    }

    /// One block of this length. None: it was interrupted, and what it measured is not worth keeping.
    pub fn run(&mut self, length: Duration, full: Option<&FullLog>) -> Result<Option<Block>, BenchError> {
        let before = fdatasync_ms(&self.settings.probe_dir);
        let topic = match full {
            Some(full) => full.topic.clone(),
            None => self.system.create_topic(self.workload, self.settings)?,
        };
        let measured = self.load(&topic, full).and_then(|running| self.measure(running, &topic, length));
        if full.is_none() {
            let deleted = topic.delete(self.system.admin());
            // A failed load says more than what it leaves behind.
            return match measured {
                Ok(block) => deleted.map(|()| self.with_probe(block, before)),
                Err(error) => Err(error),
            };
        }
        measured.map(|block| self.with_probe(block, before))
    }

    fn with_probe(&self, block: Option<Block>, before: Option<f64>) -> Option<Block> {
        let after = fdatasync_ms(&self.settings.probe_dir);
        let fdatasync_ms = before.zip(after).map(|(before, after)| f64::midpoint(before, after));
        block.map(|block| Block { fdatasync_ms, ..block })
    }

    fn load(&self, topic: &Topic, full: Option<&FullLog>) -> Result<Running, BenchError> {
        let (system, settings) = (&*self.system, self.settings);
        let produce = || Load::produce(system, topic, self.workload, settings);
        Ok(match self.workload.shape {
            Shape::Tail => {
                let measured = Load::fetch(system, topic, None, settings)?;
                Running { measured, beside: Some(produce()?) }
            }
            Shape::CatchUp => {
                let ends = full.map(|full| &full.ends);
                Running { measured: Load::fetch(system, topic, ends, settings)?, beside: None }
            }
            _ => Running { measured: produce()?, beside: None },
        })
    }

    fn measure(
        &self,
        running: Running,
        topic: &Topic,
        length: Duration,
    ) -> Result<Option<Block>, BenchError> {
        let load = &running.measured;
        // A client that finds its way first is not measured while it does.
        self.wait(load, FIRST_WITHIN, 1);
        self.wait(load, (length / RAMP_SHARE).min(RAMP_MAX), u64::MAX);
        let meter = load.meter();
        let (records, broker_cpu_s, client_cpu_s, begun_ns) =
            (meter.records(), self.system.cpu_s(), own_cpu_s(), now_ns());
        meter.open_window(begun_ns);
        self.wait(load, length, records.saturating_add(self.records_max()));
        let ended_ns = now_ns();
        meter.close_window(ended_ns);
        let mut block = Block {
            records: meter.records() - records,
            record_bytes: self.workload.record_bytes,
            seconds: (ended_ns - begun_ns) as f64 / 1e9,
            broker_cpu_s: broker_cpu_s.zip(self.system.cpu_s()).map(|(before, after)| after - before),
            client_cpu_s: own_cpu_s() - client_cpu_s,
            resident_bytes: self.system.resident_bytes(),
            latency: Latency::default(),
            fdatasync_ms: None,
        };
        block.latency = self.finish(running, topic)?;
        if self.interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if block.records == 0 {
            return Err(BenchError::Nothing);
        }
        Ok(Some(block))
    }

    /// Stops all loads, and checks that what was acknowledged is there.
    fn finish(&self, running: Running, topic: &Topic) -> Result<Latency, BenchError> {
        let beside = running.beside.map(Load::stop).transpose()?;
        let measured = running.measured.stop()?;
        let acknowledged = match (self.workload.shape, &beside) {
            (Shape::CatchUp, _) => return Ok(measured.latency),
            (_, Some(beside)) => beside.records,
            (_, None) => measured.records,
        };
        topic.check(self.system.admin(), acknowledged)?;
        Ok(measured.latency)
    }

    /// Waits so long, or until so many records came through, or until there is nothing to wait for any more.
    fn wait(&self, load: &Load, length: Duration, records: u64) {
        let until = now_ns() + length.as_nanos() as u64;
        while now_ns() < until && load.meter().records() < records && self.goes_on(load) {
            std::thread::sleep(LOOK.min(length));
        }
    }

    fn goes_on(&self, load: &Load) -> bool {
        !self.interrupted.load(Ordering::Relaxed) && !load.has_failed()
    }

    fn records_max(&self) -> u64 {
        self.settings.block_bytes_max / u64::from(self.workload.record_bytes)
    }
}

/// Whether the disk can be probed there at all.
pub fn can_probe(directory: &Path) -> bool {
    fdatasync_ms(directory).is_some()
}
