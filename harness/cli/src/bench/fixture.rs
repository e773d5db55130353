//! A report with literal numbers.

use std::time::Duration;

use mqproof_core::verdict::Environment;

use super::report::{Metric, Report, Row};
use super::settings::{ClientKind, Settings};
use super::system::SystemFacts;
use super::workload::Workload;

/// Two systems, one of which lets nobody look at its processes.
pub fn report() -> Report {
    let facts = |name: &str, profile: &str, processes| SystemFacts {
        name: name.into(),
        profile: profile.into(),
        version: (name == "reference").then(|| "0.1.0".into()),
        image: None,
        address: "127.0.0.1:9092".into(),
        brokers: 3,
        processes,
    };
    let some = |values: [f64; 6]| values.map(Some).to_vec();
    let produce = &Workload::ALL[1];
    let throughput =
        vec![some([200.0, 210.0, 190.0, 205.0, 195.0, 200.0]), some([80.0, 84.0, 76.0, 100.0, 78.0, 80.0])];
    let cpu = vec![some([6.0, 6.1, 5.9, 6.2, 5.8, 6.0]), vec![None; 6]];
    let client = vec![some([0.71, 0.7, 0.7, 0.72, 0.7, 0.7]), some([0.3, 0.3, 0.31, 0.3, 0.29, 0.3])];
    let row = |metric, values| Row::new(produce, metric, values, Some([0, 1]));
    let start = vec![vec![Some(0.41)], vec![Some(6.83)]];
    Report {
        schema: 1,
        version: "0.1.0".into(),
        started: "2026-11-21T22:00:00+00:00".into(),
        command: ["mqproof", "bench", "reference", "mine=127.0.0.1:9092"].map(str::to_owned).into(),
        environment: Environment {
            cores: 2,
            load_average: Some(0.25),
            kernel: "Linux 6.18".into(),
            file_system: Some("ext4".into()),
            client_library: "librdkafka 2.12.1".into(),
            git_commit: None,
            binary_crc32c: None,
        },
        settings: Settings {
            rounds: 6,
            block: Duration::from_secs(5),
            warm_up: Duration::from_secs(10),
            client: ClientKind::Light,
            partitions: 3,
            replicas: 3,
            batch_bytes: 65_536,
            in_flight: 5,
            rate_bytes_per_s: 20_000_000,
            block_bytes_max: 1 << 30,
            probe_dir: "/tmp".into(),
        },
        systems: vec![facts("reference", "embedded", Some(6)), facts("mine", "external", None)],
        ratio_of: Some([0, 1]),
        rows: vec![
            Row::new(&Workload::ALL[0], Metric::FirstAck, start, Some([0, 1])),
            row(Metric::Throughput, throughput),
            row(Metric::BrokerCpuPerGb, cpu),
            row(Metric::ClientCores, client),
        ],
        notes: vec!["produce-1k-acks1  3/6  mine: nothing came through in the whole block".into()],
        interrupted: false,
    }
}
