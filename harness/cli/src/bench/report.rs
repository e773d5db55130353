//! What was measured, as it is written down.

use mqproof_core::verdict::Environment;
use serde::Serialize;

use super::block::Block;
use super::settings::Settings;
use super::statistics::{Ratio, median, ratio};
use super::system::SystemFacts;
use super::workload::{Shape, Workload};

/// The name that the other system is compared with, not it with the other.
const REFERENCE: &str = "reference";

/// All of it: `--out FILE`. A public format.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this format.
    pub schema: u32,
    /// Version of mqproof.
    pub version: String,
    /// When it began.
    pub started: String,
    /// The command line.
    pub command: Vec<String>,
    /// Where it took place.
    pub environment: Environment,
    /// How the load was made.
    pub settings: Settings,
    /// The systems, in the order of all lists.
    pub systems: Vec<SystemFacts>,
    /// Index of the system above the line of each ratio, and of that below it; None with one system.
    pub ratio_of: Option<[usize; 2]>,
    /// A row per workload and metric.
    pub rows: Vec<Row>,
    /// Blocks that failed, and what else must be known.
    pub notes: Vec<String>,
    /// Whether it was cut short.
    pub interrupted: bool,
}

/// One metric of one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's name.
    pub workload: &'static str,
    /// In a few words.
    pub about: &'static str,
    /// What was measured.
    pub metric: Metric,
    /// In what.
    pub unit: &'static str,
    /// Whether more of it is better, or less; None where it is no quality of the system.
    pub better: Option<Better>,
    /// By system and round; null: not measured.
    pub values: Vec<Vec<Option<f64>>>,
    /// The median of each system.
    pub medians: Vec<Option<f64>>,
    /// One system against the other.
    pub ratio: Option<Ratio>,
}

/// Which way is up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Payload a second.
    Throughput,
    /// Records a second.
    RecordRate,
    /// Half of the requests were not slower.
    LatencyP50,
    /// 99 % of them.
    LatencyP99,
    /// 99.9 % of them.
    LatencyP999,
    /// Processor time of the brokers for each gigabyte of payload.
    BrokerCpuPerGb,
    /// The same for each million of records.
    BrokerCpuPerMillion,
    /// Processors that the load generator kept busy.
    ClientCores,
    /// Its share of the processor time that it and the brokers took.
    ClientShare,
    /// The disk around each block.
    Fdatasync,
    /// Memory before any load.
    MemoryAtRest,
    /// The most memory at the end of a block.
    MemoryLoaded,
    /// From nothing to the first acknowledgement.
    FirstAck,
}

impl Metric {
    /// Those of the blocks of a workload, in the order of the rows.
    pub fn of_blocks(workload: &Workload) -> &'static [Self] {
        match workload.shape {
            Shape::FixedRate => &[
                Self::LatencyP50,
                Self::LatencyP99,
                Self::LatencyP999,
                Self::Throughput,
                Self::BrokerCpuPerGb,
                Self::ClientCores,
                Self::ClientShare,
                Self::Fdatasync,
            ],
            _ => &[
                Self::Throughput,
                Self::RecordRate,
                Self::BrokerCpuPerGb,
                Self::BrokerCpuPerMillion,
                Self::ClientCores,
                Self::ClientShare,
                Self::Fdatasync,
            ],
        }
    }

    /// Its value in one block; None: not measured.
    pub fn of(self, block: &Block) -> Option<f64> {
        let quantile_ms = |share| block.latency.quantile(share).map(|time| time.as_secs_f64() * 1000.0);
        match self {
            Self::Throughput => Some(block.payload_bytes() / 1e6 / block.seconds),
            Self::RecordRate => Some(block.records as f64 / block.seconds),
            Self::LatencyP50 => quantile_ms(0.5),
            Self::LatencyP99 => quantile_ms(0.99),
            Self::LatencyP999 => quantile_ms(0.999),
            Self::BrokerCpuPerGb => Some(block.broker_cpu_s? / (block.payload_bytes() / 1e9)),
            Self::BrokerCpuPerMillion => Some(block.broker_cpu_s? / (block.records as f64 / 1e6)),
            Self::ClientCores => Some(block.client_cpu_s / block.seconds),
            Self::ClientShare => {
                Some(100.0 * block.client_cpu_s / (block.client_cpu_s + block.broker_cpu_s?))
            }
            Self::Fdatasync => block.fdatasync_ms,
            Self::MemoryAtRest | Self::MemoryLoaded | Self::FirstAck => None,
        }
    }

    /// In what it is measured.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "MB/s",
            Self::RecordRate => "records/s",
            Self::LatencyP50 | Self::LatencyP99 | Self::LatencyP999 | Self::Fdatasync => "ms",
            Self::BrokerCpuPerGb => "CPU-s/GB",
            Self::BrokerCpuPerMillion => "CPU-s/M records",
            Self::ClientCores => "cores",
            Self::ClientShare => "%",
            Self::MemoryAtRest | Self::MemoryLoaded => "MB",
            Self::FirstAck => "s",
        }
    }

    /// For people, with the unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "MB/s",
            Self::RecordRate => "records/s",
            Self::LatencyP50 => "p50 ms",
            Self::LatencyP99 => "p99 ms",
            Self::LatencyP999 => "p99.9 ms",
            Self::BrokerCpuPerGb => "broker CPU-s/GB",
            Self::BrokerCpuPerMillion => "broker CPU-s/M records",
            Self::ClientCores => "client, cores",
            Self::ClientShare => "client's share of CPU, %",
            Self::Fdatasync => "fdatasync of 16 KiB, ms",
            Self::MemoryAtRest => "at rest, MB",
            Self::MemoryLoaded => "loaded, MB",
            Self::FirstAck => "to the first ack, s",
        }
    }

    /// Which way is up; None where it tells of the measurement, and not of the system.
    pub fn better(self) -> Option<Better> {
        match self {
            Self::Throughput | Self::RecordRate => Some(Better::Higher),
            Self::ClientCores | Self::ClientShare | Self::Fdatasync => None,
            _ => Some(Better::Lower),
        }
    }
}

impl Report {
    /// Whether every block that was asked for was measured.
    pub fn is_complete(&self) -> bool {
        let is_whole = |row: &Row| {
            row.metric != Metric::Throughput
                || row.values.iter().all(|of_system| of_system.iter().all(Option::is_some))
        };
        !self.interrupted && self.rows.iter().all(is_whole)
    }
}

impl Row {
    /// A row, from its values by system and round.
    pub fn new(
        workload: &Workload,
        metric: Metric,
        values: Vec<Vec<Option<f64>>>,
        ratio_of: Option<[usize; 2]>,
    ) -> Self {
        let medians = values
            .iter()
            .map(|of_system| median(&of_system.iter().copied().flatten().collect::<Vec<_>>()))
            .collect();
        let compared = ratio_of.filter(|_| metric.better().is_some());
        Self {
            workload: workload.name,
            about: workload.about,
            metric,
            unit: metric.unit(),
            better: metric.better(),
            medians,
            ratio: compared.and_then(|[above, below]| ratio(&values[above], &values[below])),
            values,
        }
    }
}

/// Which of the systems stands above the line: the reference broker, else the second.
pub fn ratio_of(names: &[&str]) -> Option<[usize; 2]> {
    match names {
        [REFERENCE, _] => Some([0, 1]),
        [_, _] => Some([1, 0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mqproof_drivers::kafka::light::Latency;

    use super::*;

    fn block() -> Block {
        Block {
            records: 2_000_000,
            record_bytes: 500,
            seconds: 4.0,
            broker_cpu_s: Some(3.0),
            client_cpu_s: 1.0,
            resident_bytes: None,
            latency: Latency::default(),
            fdatasync_ms: Some(0.2),
        }
    }

    #[test]
    fn metrics_are_what_their_units_say() {
        let block = block();
        for (metric, value) in [
            (Metric::Throughput, 250.0),
            (Metric::RecordRate, 500_000.0),
            (Metric::BrokerCpuPerGb, 3.0),
            (Metric::BrokerCpuPerMillion, 1.5),
            (Metric::ClientCores, 0.25),
            (Metric::ClientShare, 25.0),
            (Metric::Fdatasync, 0.2),
        ] {
            assert_eq!(metric.of(&block), Some(value), "{metric:?}");
        }
    }

    #[test]
    fn what_was_not_measured_is_never_nought() {
        let block = Block { broker_cpu_s: None, fdatasync_ms: None, ..block() };
        for metric in [
            Metric::BrokerCpuPerGb,
            Metric::BrokerCpuPerMillion,
            Metric::ClientShare,
            Metric::Fdatasync,
            Metric::LatencyP99,
        ] {
            assert_eq!(metric.of(&block), None, "{metric:?}");
        }
        let row = Row::new(&Workload::ALL[1], Metric::BrokerCpuPerGb, vec![vec![None, None]], None);
        assert_eq!(row.medians, [None]);
    }

    #[test]
    fn the_bundled_broker_stands_above_the_line_else_the_second() {
        assert_eq!(ratio_of(&["reference", "kafka"]), Some([0, 1]));
        assert_eq!(ratio_of(&["kafka", "reference"]), Some([1, 0]));
        assert_eq!(ratio_of(&["old", "new"]), Some([1, 0]));
        assert_eq!(ratio_of(&["kafka"]), None);
    }

    #[test]
    fn a_row_compares_systems_and_not_the_load_generator() {
        let values = || vec![vec![Some(2.0)], vec![Some(4.0)]];
        let row = |metric| Row::new(&Workload::ALL[1], metric, values(), Some([0, 1]));
        assert_eq!(row(Metric::Throughput).ratio.expect("two systems").pairs, [0.5]);
        assert_eq!(row(Metric::ClientCores).ratio, None);
    }
}
