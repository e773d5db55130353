//! A run report for tests, with invented figures: two systems, every kind of word, a planted defect.

use std::collections::BTreeMap;

use mqproof_core::verdict::*;

/// Nine cells of four scenarios on two systems.
pub fn report() -> RunReport {
    let mut results = vec![
        survives("reference", "quorum", VerdictWord::NotObserved, 0),
        survives("kafka", "quorum", VerdictWord::NotObserved, 0),
        defective(),
        levels("none"),
        levels("leader"),
        levels("quorum"),
        not_offered(),
        inconclusive(),
        drained(),
    ];
    for cell in &mut results {
        cell.replay = replay(cell);
    }
    let run = RunInfo {
        id: "20261121-0240".to_owned(),
        seed: 7,
        started: "2026-11-21T02:40:00Z".to_owned(),
        duration_ms: 61_400,
        version: "0.1.0".to_owned(),
        command: ["mqproof", "run", "scenarios/smoke", "--on", "reference,kafka=127.0.0.1:9092"]
            .map(str::to_owned)
            .to_vec(),
        interrupted: false,
        exit_status: 1,
        environment: Environment {
            cores: 2,
            load_average: Some(0.42),
            kernel: "Linux 6.12".to_owned(),
            file_system: Some("ext4".to_owned()),
            client_library: "librdkafka 2.12.1".to_owned(),
            git_commit: Some("0123abcd".to_owned()),
            binary_crc32c: Some("9a3c11fe".to_owned()),
        },
    };
    RunReport::new(run, results)
}

fn replay(cell: &CellResult) -> Vec<String> {
    let mut words = vec!["mqproof", "run", &cell.path, "--on", &cell.system.name, "--seed", "7"];
    words.extend(cell.system.defects.iter().flat_map(|defect| ["--defect", defect]));
    words.into_iter().map(str::to_owned).collect()
}

/// Nothing but cells that held.
pub fn clean() -> RunReport {
    let mut report = report();
    report.results.retain(|cell| cell.verdict == VerdictWord::NotObserved);
    report.run.exit_status = 0;
    RunReport::new(report.run, report.results)
}

/// Many cells: 20 scenarios in two directories × 4 systems × 3 repeats.
pub fn large() -> RunReport {
    let report = clean();
    let mut results = Vec::new();
    for scenario in 0..20 {
        for system in ["reference", "kafka", "rabbitmq", "rocketmq"] {
            for repeat in 0..3 {
                let mut cell = survives(system, "quorum", VerdictWord::NotObserved, 0);
                cell.scenario = format!("scenario-{scenario}");
                let directory = if scenario < 10 { "durability" } else { "ordering" };
                cell.path = format!("scenarios/{directory}/scenario-{scenario}.yaml");
                cell.repeat = repeat;
                cell.metrics.rto_ms = Some(400.0 + 10.0 * f64::from(repeat));
                cell.cell_id = format!("{}~{system}~durability=quorum~r{repeat}", cell.scenario);
                results.push(cell);
            }
        }
    }
    RunReport::new(report.run, results)
}

/// The witness of the violated cell.
pub fn witness() -> Witness {
    let event = |at_ms, who: &str, what: &str, text: &str, context| WitnessEvent {
        at_ms,
        who: who.to_owned(),
        what: what.to_owned(),
        text: text.to_owned(),
        context,
    };
    Witness {
        id: "V1".to_owned(),
        rule: "a message acknowledged at level `quorum` is delivered to every group that read the log to its end".to_owned(),
        summary: "message writer-0#3981 was acknowledged at orders/1 offset 1402 and is in no drain".to_owned(),
        messages: vec!["writer-0#3981".to_owned()],
        partition: Some("orders/1".to_owned()),
        offset: Some(1402),
        grade: Some("L3".to_owned()),
        events: vec![
            event(1500.2, "conductor", "stall", "followers → leader of orders (node 3), orders/1", true),
            event(1998.1, "writer-0.0", "send", "writer-0#3981 to orders/1, key 17", false),
            event(1999.4, "writer-0.0", "ack", "orders/1 offset 1402, level quorum", false),
            event(2000.0, "conductor", "kill", "node 3 (leader of orders/1), connection reset after 0.3 ms", false),
            event(2391.7, "conductor", "leader", "orders/1 → node 1, epoch 5", false),
            event(2402.9, "reader-1.0", "deliver", "writer-0#4102 at orders/1 offset 1390, first after the failover", true),
            event(5210.5, "drain-1", "end", "orders/1 read to offset 2711: writer-0#3981 is not there", false),
            event(5212.0, "drain-2", "end", "orders/1 read to offset 2711: writer-0#3981 is not there", false),
        ],
    }
}

fn check(
    property: &str,
    verdict: VerdictWord,
    expect: &str,
    exercised: u64,
    count: u64,
    why: &str,
) -> CheckResult {
    CheckResult {
        property: property.to_owned(),
        verdict,
        expect: expect.to_owned(),
        exercised,
        count,
        value: None,
        unit: None,
        grade: None,
        why: why.to_owned(),
        witnesses: Vec::new(),
    }
}

fn metric(property: &str, verdict: VerdictWord, expect: &str, value: f64, unit: &str) -> CheckResult {
    CheckResult {
        value: Some(value),
        unit: Some(unit.to_owned()),
        ..check(property, verdict, expect, 1, 0, "the longest outage, window 1 s")
    }
}

fn always() -> Vec<CheckResult> {
    ["phantom", "corruption", "fail_visible", "divergence", "high_watermark_rollback"]
        .map(|property| {
            check(property, VerdictWord::NotObserved, "never", 8014, 0, "none in 8,014 deliveries")
        })
        .to_vec()
}

fn system(name: &str, durability: &str) -> SystemInfo {
    let settings = [
        (
            "producer.acks",
            if durability == "none" {
                "0"
            } else if durability == "leader" {
                "1"
            } else {
                "all"
            },
        ),
        ("producer.enable.idempotence", if durability == "quorum" { "true" } else { "false" }),
        ("topic.min.insync.replicas", "2"),
        ("topic.replication.factor", "3"),
        ("topic.flush.messages", if name == "kafka" { "9223372036854775807" } else { "never" }),
    ];
    SystemInfo {
        name: name.to_owned(),
        version: if name == "reference" { "0.1.0" } else { "4.3.1" }.to_owned(),
        profile: if name == "reference" { "embedded" } else { "external" }.to_owned(),
        durability: durability.to_owned(),
        settle: Some("after".to_owned()),
        settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..SystemInfo::default()
    }
}

fn faults() -> Vec<FaultResult> {
    vec![
        FaultResult {
            kind: "stall".to_owned(),
            target: "leader of orders → followers".to_owned(),
            resolved: Some("node 3 → nodes 1, 2".to_owned()),
            outcome: "installed".to_owned(),
            evidence: "no byte passed for 480 ms".to_owned(),
            at_ms: Some(1502.0),
            until_ms: Some(3500.0),
            unreplicated_acked: None,
        },
        FaultResult {
            kind: "kill".to_owned(),
            target: "leader of orders".to_owned(),
            resolved: Some("node 3 (orders/1)".to_owned()),
            outcome: "installed".to_owned(),
            evidence: "connection reset after 0.3 ms".to_owned(),
            at_ms: Some(2000.0),
            until_ms: Some(3500.0),
            unreplicated_acked: Some(0),
        },
    ]
}

fn quantiles(p50: u64) -> Quantiles {
    Quantiles {
        count: 8014,
        censored: 0,
        p50,
        p90: p50 * 3 / 2,
        p95: p50 * 2,
        p99: p50 * 9,
        p999: p50 * 120,
        max: p50 * 210,
    }
}

/// A cell of a load of 4 s with a kill at 2 s.
fn survives(name: &str, durability: &str, verdict: VerdictWord, lost: u64) -> CellResult {
    let recovery = if name == "reference" { 400.0 } else { 980.0 };
    let mut checks = vec![
        check("acked_loss", verdict, "never", 8014, lost, "every acknowledged message is in both drains"),
        check(
            "order_per_key",
            VerdictWord::NotObserved,
            "never",
            1204,
            0,
            "1,204 pairs of first deliveries compared",
        ),
        metric("rto", VerdictWord::NotObserved, "max 5 s", recovery, "ms"),
    ];
    checks.extend(always());
    CellResult {
        cell_id: format!("acked-survives-leader-kill~{name}~~r0"),
        scenario: "acked-survives-leader-kill".to_owned(),
        about: "An acknowledged record outlives the death of its leader.".to_owned(),
        path: "scenarios/smoke/acked-survives-leader-kill.yaml".to_owned(),
        seed: 7,
        repeat: 0,
        matrix: BTreeMap::new(),
        decides: vec!["C053".to_owned()],
        required: ["acked_loss", "order_per_key", "rto"].map(str::to_owned).to_vec(),
        system: system(name, durability),
        verdict,
        why: None,
        checks,
        faults: faults(),
        metrics: Metrics {
            sent: Some(8020),
            acked: Some(8014),
            failed: Some(0),
            unknown: Some(6),
            delivered: Some(8014 - lost),
            duplicates: Some(0),
            lost: Some(lost),
            throughput_per_s: Some(2003.0),
            ack_latency_us: Some(quantiles(if name == "reference" { 620 } else { 1840 })),
            e2e_latency_us: Some(quantiles(if name == "reference" { 910 } else { 2900 })),
            rto_ms: Some(recovery),
            rto_after_leader_ms: (name != "reference").then_some(120.0),
            rpo_records: Some(lost),
            drain_ms: Some(412.0),
            self_lag_p99_us: Some(210),
            ..Metrics::default()
        },
        clock_epsilon_ns: 0,
        duration_ms: 6_810,
        timeline: Some(timeline(recovery)),
        ..CellResult::default()
    }
}

/// Acknowledgements at 2,000/s that stop at 2 s and come back, slots of 25 ms.
fn timeline(recovery_ms: f64) -> Timeline {
    let slot_ms = 25;
    let back = 2000.0 + recovery_ms;
    let mut backlog = 4_u64;
    let slots = (0..184_u32)
        .map(|index| {
            let at = f64::from(index) * slot_ms as f64;
            let wobble = index * 7 % 5;
            let (acked, delivered) = match at {
                at if at >= 4000.0 => (0, if backlog > 40 { 40 } else { backlog as u32 }),
                at if (2000.0..back).contains(&at) => (0, 0),
                at if (back..back + 500.0).contains(&at) => (88 + wobble, 40),
                _ => (48 + wobble, if backlog > 20 { 70 } else { 48 + wobble }),
            };
            backlog = (backlog + u64::from(acked)).saturating_sub(u64::from(delivered));
            let slow = if (back..back + 500.0).contains(&at) { 400 } else { 1 };
            Slot {
                scheduled: if at < 4000.0 { 50 } else { 0 },
                acked,
                delivered,
                unacknowledged: u32::from(at > 1999.0 && at < 2050.0) * 3,
                ack_p50_us: (acked > 0).then_some((600 + wobble * 11) * slow),
                ack_p99_us: (acked > 0).then_some((1900 + wobble * 170) * slow.min(300)),
                backlog,
            }
        })
        .collect();
    Timeline {
        slot_ms,
        slots,
        faults: vec![
            FaultBand {
                label: "stall leader of orders/1 → followers".to_owned(),
                from_ms: 1502.0,
                until_ms: 3500.0,
            },
            FaultBand {
                label: "kill leader of orders/1 (node 3)".to_owned(),
                from_ms: 2000.0,
                until_ms: 3500.0,
            },
        ],
        leaders: vec![
            LeaderSpan { node: Some(3), epoch: 4, from_ms: 0.0, until_ms: 2000.0 },
            LeaderSpan { node: None, epoch: 4, from_ms: 2000.0, until_ms: back - 20.0 },
            LeaderSpan { node: Some(1), epoch: 5, from_ms: back - 20.0, until_ms: 4600.0 },
        ],
        leader_partition: Some("orders/1".to_owned()),
        outages: vec![Outage { partition: "orders".to_owned(), from_ms: 2000.0, until_ms: Some(back) }],
        load_end_ms: 4000.0,
    }
}

fn defective() -> CellResult {
    let mut cell = survives("reference", "quorum", VerdictWord::Violated, 1021);
    cell.cell_id = "acked-survives-leader-kill~reference~~r1".to_owned();
    cell.repeat = 1;
    cell.system.defects = vec!["ack-before-replicate".to_owned()];
    cell.why = Some("1,021 acknowledged messages are in no drain".to_owned());
    let loss = &mut cell.checks[0];
    loss.why = "1,021 acknowledged messages are in no drain".to_owned();
    loss.grade = Some("L3".to_owned());
    loss.witnesses = vec![witness()];
    for id in 2..6 {
        let mut more = witness();
        more.id = format!("V{id}");
        more.summary = format!(
            "message writer-1#{} was acknowledged at orders/1 offset {} and is in no drain",
            400 + id,
            1402 + id
        );
        loss.witnesses.push(more);
    }
    cell.faults[1].unreplicated_acked = Some(1021);
    cell
}

fn levels(durability: &str) -> CellResult {
    let (verdict, lost) = match durability {
        "quorum" => (VerdictWord::NotObserved, 0),
        "leader" => (VerdictWord::NotClaimed, 1408),
        _ => (VerdictWord::NotClaimed, 0),
    };
    let mut cell = survives("reference", durability, verdict, lost);
    cell.scenario = "acks-levels-under-leader-kill".to_owned();
    cell.path = "scenarios/smoke/acks-levels-under-leader-kill.yaml".to_owned();
    cell.about =
        "What each level of acknowledgement loses when a leader dies with its followers behind.".to_owned();
    cell.cell_id = format!("acks-levels-under-leader-kill~reference~durability={durability}~r0");
    cell.matrix = [("durability".to_owned(), durability.to_owned())].into();
    cell.decides = ["C052", "C053", "C054"].map(str::to_owned).to_vec();
    cell.checks.retain(|check| check.property != "order_per_key");
    cell.required = if durability == "quorum" { vec!["acked_loss".to_owned()] } else { Vec::new() };
    cell.checks[0].why = match durability {
        "quorum" => "every acknowledged message is in both drains",
        "leader" => "acks=1 promises one node's memory, and that node died",
        _ => "acks=0 acknowledges nothing",
    }
    .to_owned();
    if durability == "none" {
        cell.metrics.acked = None;
        cell.metrics.lost = None;
        cell.metrics.sent_but_missing = Some(1533);
        cell.metrics.ack_latency_us = None;
        cell.checks[0].exercised = 0;
    }
    cell.faults[1].unreplicated_acked = (durability == "leader").then_some(1408);
    cell.duration_ms = 6_120;
    cell
}

fn not_offered() -> CellResult {
    let mut cell = survives("kafka", "quorum", VerdictWord::NotOffered, 0);
    cell.scenario = "order-by-key-under-failover".to_owned();
    cell.path = "scenarios/smoke/order-by-key-under-failover.yaml".to_owned();
    cell.about = "The messages of one key keep their order when the leader changes.".to_owned();
    cell.cell_id = "order-by-key-under-failover~kafka~~r0".to_owned();
    cell.why = Some("`kill` needs a hand on the nodes, and this cluster is somebody else's".to_owned());
    cell.decides = vec!["C061".to_owned()];
    cell.checks.clear();
    cell.faults.clear();
    cell.metrics = Metrics::default();
    cell.timeline = None;
    cell.duration_ms = 3;
    cell
}

fn inconclusive() -> CellResult {
    let mut cell = drained();
    cell.system = system("kafka", "quorum");
    cell.cell_id = "backlog-drain~kafka~~r0".to_owned();
    cell.verdict = VerdictWord::Inconclusive;
    cell.why = Some("drain: lag 12 of group reader after 10 s".to_owned());
    cell.checks[0] = check(
        "acked_loss",
        VerdictWord::Inconclusive,
        "never",
        7981,
        0,
        "drain: lag 12 of group reader after 10 s",
    );
    cell.metrics.lost = None;
    cell.metrics.drain_ms = None;
    cell.metrics.ack_latency_us = Some(Quantiles { censored: 12, ..quantiles(2100) });
    cell.notes = vec!["replicas clamped from 3 to the 1 live broker".to_owned()];
    cell
}

fn drained() -> CellResult {
    let mut cell = survives("reference", "quorum", VerdictWord::NotObserved, 0);
    cell.scenario = "backlog-drain <script>alert(1)</script>".to_owned();
    cell.path = "scenarios/smoke/backlog-drain.yaml".to_owned();
    cell.about = "A backlog is delivered whole & in order.".to_owned();
    cell.cell_id = "backlog-drain~reference~~r0".to_owned();
    cell.decides = vec!["C070".to_owned()];
    cell.checks.truncate(1);
    cell.checks.push(metric("drain", VerdictWord::NotObserved, "max 10 s", 2410.0, "ms"));
    cell.checks.extend(always());
    cell.required = ["acked_loss", "drain"].map(str::to_owned).to_vec();
    cell.faults.clear();
    cell.metrics.rto_ms = None;
    cell.metrics.rto_after_leader_ms = None;
    if let Some(timeline) = &mut cell.timeline {
        timeline.faults.clear();
        timeline.outages.clear();
        timeline.leaders.clear();
        timeline.leader_partition = None;
    }
    cell
}
