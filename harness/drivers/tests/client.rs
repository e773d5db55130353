//! Client processes against librdkafka's own mock cluster: what they say, what they record, how they end.
#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use mqproof_core::history::{
    Completeness, Event, EventKind, History, Journal, JournalKind, Level, MemberChange, Outcome, SealReason,
    TransactionPhase,
};
use mqproof_core::plan::{
    ConsumerPlan, Durability, Isolation, Keys, Pace, Payload, ProducerPlan, Settle, Start, TransactionsPlan,
};
use mqproof_core::workload::Generator;
use mqproof_drivers::client::{self, ClientJob, ClientLine, ClientSpec, Counters, PartitionEnd};
use mqproof_drivers::clock::monotonic_ns;
use mqproof_drivers::journal::{open_history, seal_dead};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

const RUN: u64 = 0x00C0_FFEE;
const PARTITIONS: u32 = 3;

/// Not a test of its own: the process that the others start.
#[test]
fn client_process() {
    if std::env::var_os("MQPROOF_TEST_CLIENT").is_some() {
        std::process::exit(client::main() as i32);
    }
}

struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn start(spec: &ClientSpec) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "client_process", "--nocapture"])
            .env("MQPROOF_TEST_CLIENT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        writeln!(stdin, "{}", serde_json::to_string(spec).unwrap()).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// The next line of the protocol; the test harness inside the child has said others before.
    fn line(&mut self) -> Option<ClientLine> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if let Ok(said) = serde_json::from_str(&line) {
                return Some(said);
            }
            line.clear();
        }
        None
    }

    /// Reads counters until they satisfy a condition.
    fn wait_for(&mut self, condition: impl Fn(&Counters) -> bool) {
        loop {
            match self.line().expect("it still talks") {
                ClientLine::Counters(counters) if condition(&counters) => return,
                ClientLine::Done(counters) => panic!("done before its time: {counters:?}"),
                _ => {}
            }
        }
    }

    /// Reads to the end: the last counters and the exit status.
    fn finish(mut self) -> (Counters, i32) {
        loop {
            if let ClientLine::Done(counters) = self.line().expect("a last line") {
                let status = self.child.wait().unwrap();
                return (counters, status.code().expect("an exit status"));
            }
        }
    }

    fn stop(mut self) -> (Counters, i32) {
        writeln!(self.stdin, "stop").unwrap();
        self.finish()
    }
}

fn cluster(topic: &str) -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(3).unwrap();
    cluster.create_topic(topic, PARTITIONS as i32, 3).unwrap();
    cluster
}

fn spec(bootstrap: &str, dir: &Path, job: ClientJob) -> ClientSpec {
    ClientSpec {
        run_id: RUN,
        parent_pid: std::process::id(),
        history_dir: dir.to_owned(),
        log_dir: dir.to_owned(),
        number: 0,
        incarnation: 0,
        load_begins_ns: monotonic_ns() + 200_000_000,
        driver: "kafka".to_owned(),
        bootstrap: bootstrap.to_owned(),
        settings: BTreeMap::new(),
        durability: Durability::Quorum,
        job,
    }
}

fn producer_plan(total: u64) -> ProducerPlan {
    ProducerPlan {
        role: "writer".to_owned(),
        instance: 0,
        instances: 1,
        topic: "orders".to_owned(),
        pace: Pace::Open { rate_per_s: 4_000.0 },
        total: Some(total),
        from_ns: 0,
        until_ns: u64::MAX / 2,
        keys: Keys::Zipf { count: 50, exponent: 1.0 },
        payload: Payload::Uniform { min: 64, max: 400 },
        in_flight: 5,
        idempotence: true,
        retries: 10,
        transactions: None,
        seed: 11,
    }
}

fn consumer_plan(settle: Settle) -> ConsumerPlan {
    ConsumerPlan {
        role: "reader".to_owned(),
        member: 0,
        group: format!("group-{settle:?}"),
        topic: "orders".to_owned(),
        settle,
        start: Start::Earliest,
        processing_ns: 0,
        from_ns: 0,
        crashes: Vec::new(),
        isolation: Isolation::default(),
    }
}

fn produce(bootstrap: &str, dir: &Path, plan: ProducerPlan) -> (Counters, i32) {
    Client::start(&spec(bootstrap, dir, ClientJob::Produce(plan))).finish()
}

fn history(dir: &Path) -> History {
    open_history(dir).unwrap()
}

fn of(history: &History, kind: JournalKind) -> &Journal {
    history.of_kind(kind).next().expect("there is such a journal")
}

fn events(journal: &Journal, kind: EventKind) -> impl Iterator<Item = Event> + '_ {
    journal.events().filter(move |event| event.kind == kind)
}

/// The ids of a kind of event, in order and once each.
fn ids(journal: &Journal, kind: EventKind) -> Vec<u64> {
    let mut ids: Vec<u64> = events(journal, kind).map(|event| event.msg).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[test]
fn what_is_produced_is_recorded_consumed_and_drained() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let bootstrap = cluster.bootstrap_servers();
    let (counters, status) = produce(&bootstrap, dir.path(), producer_plan(3_000));
    assert_eq!((counters.sent, counters.acked, counters.trouble, status), (3_000, 3_000, None, 0));

    let mut reader =
        Client::start(&spec(&bootstrap, dir.path(), ClientJob::Consume(consumer_plan(Settle::After))));
    reader.wait_for(|counters| counters.delivered >= 3_000);
    let (counters, status) = reader.stop();
    assert_eq!((counters.delivered, counters.trouble, status), (3_000, None, 0));

    let at_end = |partition| {
        let history = history(dir.path());
        let ends = events(of(&history, JournalKind::Producer), EventKind::SendEnd);
        ends.filter(|event| u32::from(event.partition()) == partition).count() as u64
    };
    let ends = (0..PARTITIONS)
        .map(|partition| PartitionEnd { partition, start: 0, end: at_end(partition) })
        .collect();
    let job = ClientJob::Drain { topic: "orders".to_owned(), ends, timeout_ms: 20_000, transactional: false };
    let (counters, status) =
        Client::start(&ClientSpec { number: 1, ..spec(&bootstrap, dir.path(), job) }).finish();
    assert_eq!((counters.delivered, counters.trouble, status), (3_000, None, 0));

    let history = history(dir.path());
    assert_eq!(history.journals().len(), 3);
    assert!(history.first_incomplete().is_none());
    let writer = of(&history, JournalKind::Producer);
    let reader = of(&history, JournalKind::Consumer);
    let drain = of(&history, JournalKind::Drain);
    let generator = Generator::new(&producer_plan(3_000), 0, 0, RUN);
    let all: Vec<u64> = generator.clone().map(|message| generator.id(&message).0).collect();
    for (journal, kind) in [
        (writer, EventKind::SendInvoke),
        (writer, EventKind::SendEnd),
        (reader, EventKind::Deliver),
        (drain, EventKind::Deliver),
    ] {
        assert_eq!(ids(journal, kind), all, "{kind:?} of {journal:?}");
    }
    for end in events(writer, EventKind::SendEnd) {
        assert_eq!((end.outcome(), end.level(), end.c), (Outcome::Ok, Level::Quorum, 0));
        let delivered =
            |journal| events(journal, EventKind::Deliver).find(|event| event.msg == end.msg).unwrap();
        let place = (end.partition(), end.a);
        assert_eq!(
            [reader, drain].map(|journal| (delivered(journal).partition(), delivered(journal).a)),
            [place; 2]
        );
    }
    let committed: u64 = (0..PARTITIONS as u16)
        .filter_map(|partition| {
            let ok = |event: &Event| event.partition() == partition && event.outcome() == Outcome::Ok;
            events(reader, EventKind::Commit).filter(ok).map(|event| event.a).max()
        })
        .sum();
    let commits: Vec<Event> = events(reader, EventKind::Commit).collect();
    assert_eq!(committed, 3_000, "{commits:?}");
    let changes =
        |change| events(reader, EventKind::Member).filter(|event| event.flags == change as u8).count();
    assert_eq!(changes(MemberChange::Assign), PARTITIONS as usize);
    assert_eq!(changes(MemberChange::Leave), 1);
    assert_eq!(events(drain, EventKind::Drain).map(|event| event.flags).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(events(drain, EventKind::LogBound).count(), 4 * PARTITIONS as usize);
}

#[test]
fn each_way_of_settling_delivers_everything_and_commits() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let bootstrap = cluster.bootstrap_servers();
    produce(&bootstrap, dir.path(), producer_plan(500));
    for (number, settle) in [Settle::Before, Settle::After, Settle::Auto].into_iter().enumerate() {
        let spec = spec(&bootstrap, dir.path(), ClientJob::Consume(consumer_plan(settle)));
        let mut reader = Client::start(&ClientSpec { number: number as u16, ..spec });
        reader.wait_for(|counters| counters.delivered >= 500);
        let (counters, status) = reader.stop();
        assert_eq!((counters.delivered, counters.trouble, status), (500, None, 0), "{settle:?}");
    }
    for journal in history(dir.path()).of_kind(JournalKind::Consumer) {
        let mut delivered = BTreeMap::<u16, u64>::new();
        let before = journal.meta().group.as_deref() == Some("group-Before");
        for event in journal.events() {
            match event.kind {
                EventKind::Deliver => {
                    delivered.insert(event.partition(), event.a + 1);
                }
                // Before: a commit is ahead of what was handed over; else it is never.
                EventKind::Commit if event.outcome() == Outcome::Ok => {
                    let handed = delivered.get(&event.partition()).copied().unwrap_or(0);
                    assert_eq!(event.a > handed, before, "{journal:?} {event:?}");
                }
                _ => {}
            }
        }
        assert_eq!(delivered.values().sum::<u64>(), 500, "{journal:?}");
        assert!(events(journal, EventKind::Commit).count() > 0, "{journal:?}");
    }
}

#[test]
fn a_killed_member_leaves_a_journal_from_which_its_successor_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let bootstrap = cluster.bootstrap_servers();
    produce(&bootstrap, dir.path(), producer_plan(1_000));
    let plan = ConsumerPlan { processing_ns: 1_000_000, ..consumer_plan(Settle::After) };
    let mut settings = BTreeMap::new();
    settings.insert("session.timeout.ms".to_owned(), "4000".to_owned());
    settings.insert("heartbeat.interval.ms".to_owned(), "200".to_owned());
    let first = ClientSpec { settings, ..spec(&bootstrap, dir.path(), ClientJob::Consume(plan)) };
    let mut killed = Client::start(&first);
    killed.wait_for(|counters| counters.delivered >= 300);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    seal_dead(&first.journal_path(), SealReason::Killed).unwrap();

    let mut second = Client::start(&ClientSpec { incarnation: 1, ..first });
    second.wait_for(|counters| counters.delivered >= 100);
    second.wait_for({
        let path = dir.path().to_owned();
        move |counters| {
            let killed = of(&history(&path), JournalKind::Consumer)
                .events()
                .filter(|e| e.kind == EventKind::Deliver)
                .count();
            counters.delivered + killed as u64 >= 1_000
        }
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(second.stop().1, 0);

    let history = history(dir.path());
    let journals: Vec<&Journal> = history.of_kind(JournalKind::Consumer).collect();
    assert_eq!(journals[0].completeness(), Completeness::Sealed(SealReason::Killed));
    assert_eq!(journals[1].completeness(), Completeness::Sealed(SealReason::Clean));
    let times: Vec<u64> = events(journals[0], EventKind::Deliver).map(|event| event.t_ns).collect();
    let worked_ns = times[times.len() - 1] - times[0];
    assert!(worked_ns >= (times.len() as u64 - 1) * 800_000, "{} messages in {worked_ns} ns", times.len());
    let mut seen: Vec<u64> = journals.iter().flat_map(|journal| ids(journal, EventKind::Deliver)).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn sends_that_a_broker_refuses_are_counted_as_what_they_are() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    // An error of the batch: one of the topic would make librdkafka forget its partitions for a moment.
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD; 1];
    cluster.request_errors(RDKafkaApiKey::Produce, &refused);
    let plan = ProducerPlan { idempotence: false, retries: 0, ..producer_plan(200) };
    let spec = ClientSpec {
        durability: Durability::Leader,
        ..spec(&cluster.bootstrap_servers(), dir.path(), ClientJob::Produce(plan))
    };
    let (counters, status) = Client::start(&spec).finish();
    assert_eq!((counters.sent, counters.acked + counters.failed, status), (200, 200, 0));
    assert!(counters.failed > 0);
    let history = history(dir.path());
    for end in events(of(&history, JournalKind::Producer), EventKind::SendEnd) {
        let refused = end.outcome() != Outcome::Ok;
        let expected = if refused { RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD as u16 } else { 0 };
        assert_eq!((end.c, end.a == Event::NO_OFFSET), (expected, refused), "{end:?}");
    }
}

#[test]
fn fire_and_forget_ends_as_sent_without_an_offset() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let spec = ClientSpec {
        durability: Durability::None,
        ..spec(&cluster.bootstrap_servers(), dir.path(), ClientJob::Produce(producer_plan(100)))
    };
    assert_eq!(Client::start(&spec).finish().1, 0);
    let history = history(dir.path());
    for end in events(of(&history, JournalKind::Producer), EventKind::SendEnd) {
        assert_eq!((end.outcome(), end.level(), end.a), (Outcome::Ok, Level::Sent, Event::NO_OFFSET));
    }
}

#[test]
fn a_closed_loop_never_has_more_outstanding_than_planned() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let plan = ProducerPlan { pace: Pace::Closed { outstanding: 7 }, ..producer_plan(500) };
    let (counters, status) = produce(&cluster.bootstrap_servers(), dir.path(), plan);
    assert_eq!((counters.acked, status), (500, 0));
    let history = history(dir.path());
    let mut outstanding = 0_i32;
    for event in of(&history, JournalKind::Producer).events() {
        match event.kind {
            EventKind::SendInvoke => outstanding += 1,
            EventKind::SendEnd => outstanding -= 1,
            _ => {}
        }
        assert!((0..=7).contains(&outstanding), "{outstanding}");
    }
}

#[test]
fn a_client_whose_parent_is_gone_seals_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let plan = ProducerPlan { total: None, ..producer_plan(0) };
    let mut client = Client::start(&spec(&cluster.bootstrap_servers(), dir.path(), ClientJob::Produce(plan)));
    client.wait_for(|counters| counters.sent > 100);
    drop(client.stdin);
    assert_eq!(client.child.wait().unwrap().code(), Some(client::ClientExit::Orphaned as i32));
    let history = history(dir.path());
    let journal = of(&history, JournalKind::Producer);
    assert_eq!(journal.completeness(), Completeness::Sealed(SealReason::Interrupted));
}

#[test]
fn a_specification_for_another_parent_is_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = spec("127.0.0.1:1", dir.path(), ClientJob::Produce(producer_plan(1)));
    spec.parent_pid = 1;
    let mut client = Client::start(&spec);
    assert_eq!(client.line(), None);
    assert_eq!(client.child.wait().unwrap().code(), Some(client::ClientExit::Orphaned as i32));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_specification_that_cannot_be_read_is_refused_with_a_reason() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "client_process", "--nocapture"])
        .env("MQPROOF_TEST_CLIENT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(client::ClientExit::BadSpec as i32));
    assert!(String::from_utf8_lossy(&output.stdout).contains("missing field `run_id`"));
}

#[test]
fn every_message_of_a_transactional_producer_is_sent_between_a_begin_and_an_end_that_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster("orders");
    let transactions = TransactionsPlan { messages: 20, abort: 0.3, timeout_ms: 10_000 };
    let plan = ProducerPlan { transactions: Some(transactions), ..producer_plan(210) };
    let (counters, status) = produce(&cluster.bootstrap_servers(), dir.path(), plan.clone());
    assert_eq!((counters.sent, counters.acked, counters.trouble, status), (210, 210, None, 0));

    let history = history(dir.path());
    let generator = Generator::new(&plan, 0, 0, RUN);
    let (mut begun, mut sent, mut ends) = (0, 0, Vec::new());
    for event in of(&history, JournalKind::Producer).events() {
        match (event.kind, event.transaction_phase()) {
            (EventKind::SendInvoke, _) => sent += 1,
            (EventKind::Transaction, Some(TransactionPhase::Begin)) => {
                assert_eq!(event.message().seq(), begun * 20);
                (begun, sent) = (begun + 1, 0);
            }
            (EventKind::Transaction, Some(TransactionPhase::CommitEnd | TransactionPhase::AbortEnd)) => {
                assert_eq!((event.outcome(), event.a), (Outcome::Ok, sent));
                ends.push(event.transaction_phase() == Some(TransactionPhase::AbortEnd));
            }
            _ => {}
        }
    }
    let aborts: Vec<bool> = (0..11).map(|number| generator.aborts(number, 0.3)).collect();
    assert!(aborts.contains(&true) && aborts.contains(&false));
    assert_eq!(ends, aborts);
}
