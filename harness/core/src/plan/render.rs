//! A plan for people.

use std::fmt::Write as _;

use super::types::{
    Durability, Expectation, FaultKind, FaultPlan, Flush, Isolation, Keys, Pace, Payload, Plan, ProducerPlan,
    Settle, Start, TopicPlan, Trigger,
};
use crate::property::Property;

/// Below so many operations a second and partition an outage cannot be told from a pause in the load.
const RTO_OPERATIONS_PER_S: f64 = 200.0;

/// A line of the timeline: when, what, to whom, until when.
struct Moment {
    at_ms: Option<u64>,
    when: String,
    what: String,
    whom: String,
    until: String,
}

/// The plan as text: the cluster, the load, a timeline of who is hit when, what is asserted, what it will cost.
pub fn render(plan: &Plan) -> String {
    let mut sections =
        vec![title(plan), cluster(plan), load(plan), timeline(plan), assertions(plan), cost(plan)];
    let warnings = warnings(plan);
    if !warnings.is_empty() {
        let rows = warnings.into_iter().map(|warning| vec![warning]).collect();
        sections.push(section("warnings", rows));
    }
    sections.join("\n")
}

fn title(plan: &Plan) -> String {
    let mut text = format!("{}   seed {}", plan.scenario, plan.seed);
    for (path, value) in &plan.matrix {
        let _ = write!(text, "   {path}={value}");
    }
    let _ = write!(text, "\n{}\n", plan.about);
    if !plan.decides.is_empty() {
        let _ = writeln!(text, "decides {}", plan.decides.join(", "));
    }
    text
}

fn cluster(plan: &Plan) -> String {
    let topology = &plan.topology;
    let nodes = format!(
        "{} (nodes 1 to {}), {}",
        counted(u64::from(topology.brokers), "broker"),
        topology.brokers,
        counted(u64::from(topology.controllers), "controller"),
    );
    let mut rows = vec![vec!["nodes".to_owned(), nodes]];
    rows.extend(
        topology.topics.iter().map(|(name, topic)| vec![format!("topic {name}"), topic_in_words(topic)]),
    );
    rows.push(vec![
        "durability".to_owned(),
        format!("{}: {}", plan.durability.name(), class_in_words(plan.durability)),
    ]);
    if plan.stretch > 1 {
        rows.push(vec!["clock".to_owned(), format!("{} times slower than written", plan.stretch)]);
    }
    section("cluster", rows)
}

fn topic_in_words(topic: &TopicPlan) -> String {
    let flush = match topic.flush {
        Flush::PageCache => "flushed when the operating system likes".to_owned(),
        Flush::IntervalMs(ms) => format!("flushed every {}", time(ms)),
        Flush::BeforeAck => "flushed before it is acknowledged".to_owned(),
    };
    format!(
        "{} × {}, min in-sync {}, {flush}",
        counted(topic.partitions.into(), "partition"),
        counted(topic.replicas.into(), "replica"),
        topic.min_in_sync,
    )
}

/// What a class means on the Kafka wire.
fn class_in_words(durability: Durability) -> &'static str {
    match durability {
        Durability::None => "acks=0; nothing is acknowledged",
        Durability::Leader => "acks=1; the leader alone has it, in memory",
        Durability::Quorum => "acks=all; every in-sync replica has it, in memory",
        Durability::QuorumDisk => "acks=all, flushed on every append; every in-sync replica has it, on disk",
    }
}

fn load(plan: &Plan) -> String {
    let mut rows = Vec::new();
    for producer in plan.producers.iter().filter(|producer| producer.instance == 0) {
        rows.push(vec![format!("producer {}", producer.role), producer_in_words(producer)]);
    }
    for consumer in plan.consumers.iter().filter(|consumer| consumer.member == 0) {
        let members = plan.consumers.iter().filter(|other| other.role == consumer.role).count();
        let settle = match consumer.settle {
            Settle::Before => "settles before processing",
            Settle::After => "settles after processing",
            Settle::Auto => "settles at the library's interval",
        };
        let start = match consumer.start {
            Start::Earliest => "from the oldest record",
            Start::Latest => "from new records",
        };
        let mut words = format!(
            "{} of group {} on {} from {}, {start}, {settle}",
            counted(members as u64, "member"),
            consumer.group,
            consumer.topic,
            time(consumer.from_ns / 1_000_000),
        );
        if consumer.isolation == Isolation::ReadCommitted {
            words.push_str(", reads what is committed");
        }
        if consumer.processing_ns > 0 {
            let _ = write!(words, ", {} a message", time(consumer.processing_ns / 1_000_000));
        }
        rows.push(vec![format!("consumer {}", consumer.role), words]);
    }
    section("load", rows)
}

fn producer_in_words(producer: &ProducerPlan) -> String {
    let instances = u64::from(producer.instances);
    let pace = match producer.pace {
        Pace::Open { rate_per_s } => {
            format!("{}/s, open loop", grouped((rate_per_s * instances as f64).round() as u64))
        }
        Pace::Closed { outstanding } => format!("closed loop of {outstanding} unanswered each"),
    };
    let keys = match producer.keys {
        Keys::None => "no keys".to_owned(),
        Keys::Uniform { count } => format!("{count} keys, uniform"),
        Keys::Zipf { count, exponent } => format!("{count} keys, zipf {exponent}"),
    };
    let payload = match producer.payload {
        Payload::Fixed(size) => format!("{size} B"),
        Payload::Uniform { min, max } => format!("{min} to {max} B"),
    };
    let idempotence = if producer.idempotence { "idempotent" } else { "not idempotent" };
    let mut words = format!(
        "{} to {} from {} to {}, {pace}, {keys}, {payload}, {} in flight, {idempotence}",
        counted(instances, "instance"),
        producer.topic,
        time(producer.from_ns / 1_000_000),
        time(producer.until_ns / 1_000_000),
        producer.in_flight,
    );
    if let Some(transactions) = producer.transactions {
        let _ = write!(
            words,
            ", transactions of {} within {}, {:.0} % aborted",
            counted(transactions.messages.into(), "message"),
            time(transactions.timeout_ms),
            transactions.abort * 100.0,
        );
    }
    if let Some(total) = producer.total {
        let _ = write!(words, ", at most {} messages each", grouped(total));
    }
    words
}

fn timeline(plan: &Plan) -> String {
    let mut moments = vec![moment(0, "load starts", "", "")];
    moments.extend(plan.faults.iter().map(fault_moment));
    for consumer in &plan.consumers {
        if consumer.from_ns > 0 && consumer.member == 0 {
            moments.push(moment(consumer.from_ns / 1_000_000, "consumers start", &consumer.role, ""));
        }
        for crash in &consumer.crashes {
            let whom = format!("member {} of {}", consumer.member, consumer.role);
            let until = format!("started again at {}", time(crash.at_ms + crash.for_ms));
            moments.push(moment(crash.at_ms, "client crash", &whom, &until));
        }
    }
    moments.push(moment(plan.load_ms, "load ends", "then the log and the groups are drained", ""));
    // What waits for progress stands between the start and what has a time.
    moments.sort_by_key(|moment| moment.at_ms.map_or((0, 1), |at| (at, 0)));
    let rows =
        moments.into_iter().map(|moment| vec![moment.when, moment.what, moment.whom, moment.until]).collect();
    section("timeline", rows)
}

fn moment(at_ms: u64, what: &str, whom: &str, until: &str) -> Moment {
    Moment {
        at_ms: Some(at_ms),
        when: time(at_ms),
        what: what.to_owned(),
        whom: whom.to_owned(),
        until: until.to_owned(),
    }
}

fn fault_moment(fault: &FaultPlan) -> Moment {
    let (at_ms, when) = match fault.trigger {
        Trigger::AtMs(at) => (Some(at), time(at)),
        Trigger::AfterAcked(acked) => (None, format!("after {} acks", grouped(acked))),
    };
    let undone = match fault.kind {
        FaultKind::Kill | FaultKind::KillHost | FaultKind::KillPower | FaultKind::Stop => "started again",
        FaultKind::KillDisk => "started again, empty,",
        FaultKind::Pause => "continued",
        FaultKind::Cut | FaultKind::Stall | FaultKind::Slow { .. } => "undone",
    };
    let mut until = match (at_ms, fault.for_ms) {
        (Some(at), Some(lasts)) => format!("{undone} at {}", time(at + lasts)),
        (None, Some(lasts)) => format!("{undone} after {}", time(lasts)),
        (_, None) => format!("{undone} at the end of load"),
    };
    if fault.optional {
        until.push_str(", skipped on clusters that are not ours");
    }
    let what = match fault.kind {
        FaultKind::Slow { latency_ms, bytes_per_s: 0 } => format!("slow by {}", time(latency_ms)),
        FaultKind::Slow { latency_ms: 0, bytes_per_s } => format!("slow to {}/s", bytes(bytes_per_s)),
        FaultKind::Slow { latency_ms, bytes_per_s } => {
            format!("slow by {} and to {}/s", time(latency_ms), bytes(bytes_per_s))
        }
        kind => kind.name().to_owned(),
    };
    let whom = fault.target.to_string();
    Moment { at_ms, when, what, whom, until }
}

fn assertions(plan: &Plan) -> String {
    let mut rows: Vec<Vec<String>> = plan
        .expect
        .iter()
        .map(|(property, expectation)| {
            let required = match expectation {
                Expectation::Allowed => "reported",
                _ => "required where claimed",
            };
            let words = expectation_in_words(*property, *expectation);
            vec![property.to_string(), words, required.to_owned(), property.title().to_owned()]
        })
        .collect();
    let always = Property::ALL.into_iter().filter(|property| property.always_runs());
    rows.extend(always.filter(|property| !plan.expect.contains_key(property)).map(|property| {
        vec![
            property.to_string(),
            "never".to_owned(),
            "always checked".to_owned(),
            property.title().to_owned(),
        ]
    }));
    section("asserted", rows)
}

fn expectation_in_words(property: Property, expectation: Expectation) -> String {
    let quantity = |value: f64| match property {
        Property::Rto | Property::AckLatency | Property::EndToEndLatency | Property::Drain => {
            time(value as u64)
        }
        Property::Throughput => format!("{}/s", grouped(value as u64)),
        _ => grouped(value as u64),
    };
    match expectation {
        Expectation::Never => "never".to_owned(),
        Expectation::Allowed => "allowed".to_owned(),
        Expectation::Demonstrated => "demonstrated".to_owned(),
        Expectation::Bound { min: Some(min), max: Some(max) } => {
            format!("{} to {}", quantity(min), quantity(max))
        }
        Expectation::Bound { min: Some(min), max: None } => format!("at least {}", quantity(min)),
        Expectation::Bound { min: None, max: Some(max) } => format!("at most {}", quantity(max)),
        Expectation::Bound { min: None, max: None } => "measured".to_owned(),
    }
}

fn cost(plan: &Plan) -> String {
    let unknown = "as many as the broker takes".to_owned();
    let rows = vec![
        vec!["messages".to_owned(), plan.messages_expected.map_or(unknown, grouped)],
        vec![
            "on disk".to_owned(),
            plan.bytes_expected.map_or("unknown: a closed loop".to_owned(), |expected| {
                format!("{}, history and the logs of all replicas", bytes(expected))
            }),
        ],
        vec!["rto window".to_owned(), time(plan.rto_window_ms)],
        vec!["workload".to_owned(), format!("{:08x} (digest of the first messages)", plan.workload_digest)],
    ];
    section("expected", rows)
}

fn warnings(plan: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    for producer in plan.producers.iter().filter(|producer| producer.instance == 0) {
        let (Some(transactions), Pace::Open { rate_per_s }) = (producer.transactions, producer.pace) else {
            continue;
        };
        let lasts_ms = (f64::from(transactions.messages.saturating_sub(1)) * 1_000.0 / rate_per_s) as u64;
        if lasts_ms >= transactions.timeout_ms {
            warnings.push(format!(
                "{}: the messages of one transaction are due within {}, and the broker aborts it after {}",
                producer.role,
                time(lasts_ms),
                time(transactions.timeout_ms)
            ));
        }
    }
    for (name, topic) in &plan.topology.topics {
        let rate: f64 = plan
            .producers
            .iter()
            .filter(|producer| producer.topic == *name)
            .map(|producer| match producer.pace {
                Pace::Open { rate_per_s } => rate_per_s,
                Pace::Closed { .. } => f64::INFINITY,
            })
            .sum();
        let per_partition = rate / f64::from(topic.partitions);
        if plan.expect.contains_key(&Property::Rto) && per_partition < RTO_OPERATIONS_PER_S {
            warnings.push(format!(
                "{name}: {per_partition:.0} operations/s a partition; below {RTO_OPERATIONS_PER_S} an outage is not judged"
            ));
        }
        let majority = topic.replicas / 2 + 1;
        if plan.durability >= Durability::Quorum && topic.min_in_sync < majority {
            warnings.push(format!(
                "{name}: min in-sync {} is no majority of {}; `{}` may mean the leader alone",
                topic.min_in_sync,
                counted(topic.replicas.into(), "replica"),
                plan.durability.name(),
            ));
        }
    }
    warnings
}

/// A heading with aligned columns below it.
fn section(heading: &str, rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = format!("{heading}\n");
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "  {}", cells.join("   ").trim_end());
    }
    text
}

/// Milliseconds as a person writes them.
fn time(ms: u64) -> String {
    match ms {
        0..1_000 if ms > 0 => format!("{ms} ms"),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{:.3}", ms as f64 / 1_000.0).trim_end_matches('0').to_owned() + " s",
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// With a comma after every three digits.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}
