//! The order of everything: clusters, warm-up, blocks that alternate, and what becomes of a block that fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::block::{Block, Blocks, FullLog, can_probe};
use super::error::BenchError;
use super::report::{Metric, Row, ratio_of};
use super::settings::Settings;
use super::statistics::median;
use super::system::{Ground, SystemFacts, SystemUnderTest};
use super::target::{BenchTarget, ProcessSource};
use super::workload::{Shape, Workload};

/// After so many failed blocks in a row nothing more is tried.
const FAILURES_MAX: u32 = 3;
/// How long a cluster is left alone before its memory at rest is looked at.
const REST: Duration = Duration::from_secs(1);
const MB: f64 = 1e6;
/// The share of a fixed rate below which latencies are those of a queue.
const RATE_MIN: f64 = 0.95;

/// What is asked of a session.
pub struct Order<'a> {
    /// One or two.
    pub targets: &'a [BenchTarget],
    /// Where the processes of clusters that are already there are found, by the clusters' names.
    pub sources: &'a BTreeMap<String, ProcessSource>,
    /// What is measured.
    pub workloads: &'a [Workload],
    /// How.
    pub settings: &'a Settings,
    /// What clusters are started with.
    pub ground: Ground<'a>,
    /// Set by Ctrl-C.
    pub interrupted: Arc<AtomicBool>,
}

/// What it came to.
#[derive(Default)]
pub struct Outcome {
    /// The systems.
    pub systems: Vec<SystemFacts>,
    /// In the order of the workloads.
    pub rows: Vec<Row>,
    /// Blocks that failed, and what else must be known.
    pub notes: Vec<String>,
    /// Why it ended early.
    pub gave_up: Option<BenchError>,
}

/// A benchmark that runs.
pub struct Session<'a> {
    order: Order<'a>,
    ratio_of: Option<[usize; 2]>,
    outcome: Outcome,
    /// The most memory that each system had at the end of a block.
    loaded: Vec<Option<f64>>,
    failures: u32,
}

impl<'a> Session<'a> {
    /// Nothing is started yet.
    pub fn new(order: Order<'a>) -> Self {
        let names: Vec<&str> = order.targets.iter().map(BenchTarget::name).collect();
        let loaded = vec![None; names.len()];
        Self { ratio_of: ratio_of(&names), order, outcome: Outcome::default(), loaded, failures: 0 }
    }

    /// Measures everything. An error before the first block is its result; after it, what was measured is kept.
    pub fn run(mut self) -> Result<Outcome, BenchError> {
        if !can_probe(&self.order.settings.probe_dir) {
            let directory = self.order.settings.probe_dir.display();
            self.outcome
                .notes
                .push(format!("the disk was not probed: no file can be written into `{directory}`"));
        }
        self.measure_starts()?;
        let mut systems = self.gather()?;
        self.outcome.systems = systems.iter().map(|system| system.facts().clone()).collect();
        let at_rest = self.memory_at_rest(&systems);
        for workload in self.order.workloads.iter().filter(|one| one.has_blocks()) {
            if let Err(error) = self.measure(workload, &mut systems) {
                self.outcome.gave_up = Some(error);
            }
            if self.outcome.gave_up.is_some() || self.is_interrupted() {
                break;
            }
        }
        self.note_memory(at_rest);
        systems.into_iter().for_each(SystemUnderTest::stop);
        Ok(self.outcome)
    }

    fn is_interrupted(&self) -> bool {
        self.order.interrupted.load(Ordering::Relaxed)
    }

    /// A, B, then B, A, and so on.
    fn in_turn(&self, round: usize) -> Vec<usize> {
        let all = 0..self.order.targets.len();
        if round.is_multiple_of(2) { all.collect() } else { all.rev().collect() }
    }

    fn chosen(&self, shape: Shape) -> Option<&'a Workload> {
        self.order.workloads.iter().find(|one| one.shape == shape)
    }

    /// Starts each cluster that is started here again and again, one at a time.
    fn measure_starts(&mut self) -> Result<(), BenchError> {
        let Some(workload) = self.chosen(Shape::Start) else { return Ok(()) };
        let rounds = self.order.settings.rounds;
        let mut values = vec![Vec::new(); self.order.targets.len()];
        for round in 0..rounds {
            for index in self.in_turn(round) {
                if self.is_interrupted() {
                    continue;
                }
                let BenchTarget::Started { name, product } = &self.order.targets[index] else {
                    values[index].push(None);
                    continue;
                };
                let (system, took) = SystemUnderTest::start(name, product, &self.order.ground)?;
                system.stop();
                eprintln!("  start  {}/{rounds}  {name}  {:.2} s", round + 1, took.as_secs_f64());
                values[index].push(Some(took.as_secs_f64()));
            }
        }
        self.push(workload, Metric::FirstAck, values);
        Ok(())
    }

    fn gather(&self) -> Result<Vec<SystemUnderTest>, BenchError> {
        let gather = |target: &BenchTarget| match target {
            BenchTarget::External { name, address } => {
                let source = self.order.sources.get(name).cloned();
                SystemUnderTest::reach(name, address, source, self.order.ground.run_id)
            }
            BenchTarget::Started { name, product } => {
                eprintln!("  starting {name}");
                Ok(SystemUnderTest::start(name, product, &self.order.ground)?.0)
            }
        };
        self.order.targets.iter().map(gather).collect()
    }

    fn memory_at_rest(&self, systems: &[SystemUnderTest]) -> Vec<Option<f64>> {
        if self.chosen(Shape::Memory).is_none() {
            return Vec::new();
        }
        std::thread::sleep(REST);
        systems.iter().map(SystemUnderTest::resident_bytes).collect()
    }

    fn note_memory(&mut self, at_rest: Vec<Option<f64>>) {
        let Some(workload) = self.chosen(Shape::Memory) else { return };
        let one_each =
            |bytes: Vec<Option<f64>>| bytes.into_iter().map(|one| vec![one.map(|one| one / MB)]).collect();
        let loaded = std::mem::take(&mut self.loaded);
        self.push(workload, Metric::MemoryAtRest, one_each(at_rest));
        self.push(workload, Metric::MemoryLoaded, one_each(loaded));
    }

    fn push(&mut self, workload: &Workload, metric: Metric, values: Vec<Vec<Option<f64>>>) {
        self.outcome.rows.push(Row::new(workload, metric, values, self.ratio_of));
    }

    /// Warms up, then measures the rounds. An error is one after which nothing more should be tried.
    fn measure(&mut self, workload: &Workload, systems: &mut [SystemUnderTest]) -> Result<(), BenchError> {
        let (settings, interrupted) = (self.order.settings, Arc::clone(&self.order.interrupted));
        let mut full: Vec<Option<FullLog>> = Vec::new();
        for system in &mut *systems {
            eprintln!("  {}  warm-up  {}", workload.name, system.name());
            full.push(self.fill(workload, system)?);
            let warmed = Blocks::new(system, workload, settings, &interrupted)
                .run(settings.warm_up, full.last().and_then(Option::as_ref));
            self.noted(warmed, workload, 0, system)?;
        }
        let mut measured: Vec<Vec<Option<Block>>> = vec![Vec::new(); systems.len()];
        for round in 0..settings.rounds {
            for index in self.in_turn(round) {
                if self.is_interrupted() {
                    continue;
                }
                let system = &mut systems[index];
                let result = Blocks::new(system, workload, settings, &interrupted)
                    .run(settings.block, full[index].as_ref());
                let block = self.noted(result, workload, round + 1, system)?.flatten();
                if let Some(block) = &block {
                    let rounds = settings.rounds;
                    let (round, name) = (round + 1, system.name());
                    eprintln!("  {}  {round}/{rounds}  {name}  {}", workload.name, told(workload, block));
                }
                let resident = block.as_ref().and_then(|block| block.resident_bytes);
                self.loaded[index] = self.loaded[index].into_iter().chain(resident).reduce(f64::max);
                measured[index].push(block);
            }
        }
        self.note_missed_rate(workload, systems, &measured);
        for metric in Metric::of_blocks(workload) {
            let of_system = |blocks: &Vec<Option<Block>>| {
                blocks.iter().map(|block| block.as_ref().and_then(|block| metric.of(block))).collect()
            };
            self.push(workload, *metric, measured.iter().map(of_system).collect());
        }
        for (system, full) in systems.iter_mut().zip(&full) {
            if let Some(full) = full {
                Blocks::new(system, workload, settings, &interrupted).remove(full)?;
            }
        }
        Ok(())
    }

    /// Where less came through than was to be sent, requests wait for each other, and their latencies say so and no more.
    fn note_missed_rate(
        &mut self,
        workload: &Workload,
        systems: &[SystemUnderTest],
        measured: &[Vec<Option<Block>>],
    ) {
        if workload.shape != Shape::FixedRate {
            return;
        }
        let asked = self.order.settings.rate_bytes_per_s as f64 / MB;
        for (system, blocks) in systems.iter().zip(measured) {
            let reached: Vec<f64> =
                blocks.iter().flatten().filter_map(|block| Metric::Throughput.of(block)).collect();
            if let Some(reached) = median(&reached).filter(|reached| *reached < RATE_MIN * asked) {
                let name = system.name();
                self.outcome.notes.push(format!(
                    "{}: {name} took {reached:.1} of {asked:.0} MB/s, so that its requests waited for each other",
                    workload.name
                ));
            }
        }
    }

    /// Fills what the workload reads, again if that failed.
    fn fill(
        &mut self,
        workload: &Workload,
        system: &mut SystemUnderTest,
    ) -> Result<Option<FullLog>, BenchError> {
        let (settings, interrupted) = (self.order.settings, Arc::clone(&self.order.interrupted));
        loop {
            let filled = Blocks::new(system, workload, settings, &interrupted).fill();
            if let Some(full) = self.noted(filled, workload, 0, system)? {
                return Ok(full);
            }
        }
    }

    /// What there is. A failure is noted, and ends everything only if it is one too many.
    fn noted<T>(
        &mut self,
        result: Result<T, BenchError>,
        workload: &Workload,
        round: usize,
        system: &SystemUnderTest,
    ) -> Result<Option<T>, BenchError> {
        match result {
            Ok(there) => {
                self.failures = 0;
                Ok(Some(there))
            }
            Err(error) => {
                self.failures += 1;
                let rounds = self.order.settings.rounds;
                let note = format!("{}  {round}/{rounds}  {}: {error}", workload.name, system.name());
                eprintln!("  {note}");
                self.outcome.notes.push(note);
                if self.failures < FAILURES_MAX { Ok(None) } else { Err(error) }
            }
        }
    }
}

/// A block in one line of progress.
fn told(workload: &Workload, block: &Block) -> String {
    let metric = match workload.shape {
        Shape::FixedRate => Metric::LatencyP99,
        _ if workload.tiny => Metric::RecordRate,
        _ => Metric::Throughput,
    };
    metric
        .of(block)
        .map_or_else(|| "not measured".to_owned(), |value| format!("{value:.1} {}", metric.title()))
}
