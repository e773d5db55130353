//! Contracts: what each product promises at each class, and how classes compare.

use super::*;
use crate::claims::ClaimRegister;
use crate::history::Level;
use crate::plan::{Durability, FaultKind, FaultPlan, FaultTarget, Flush, Plan, Role, Trigger};
use crate::property::Property;
use crate::scenario::Scenario;

const PRODUCTS: [&str; 4] = ["reference", "kafka", "rabbitmq", "rocketmq"];

fn plan(consumers: &str, durability: Durability) -> Plan {
    let text = format!(
        "
schema: 1
name: contract
about: A contract.
topology: {{brokers: 3, topics: {{t: {{partitions: 2, replicas: 3, min_in_sync: 2}}}}}}
durability: {}
producers: {{w: {{topic: t, rate: 1000/s, for: 1s, in_flight: 5}}}}
consumers: {{{consumers}}}
expect: {{acked_loss: never, order_log: never}}
",
        durability.name()
    );
    let claims = ClaimRegister::parse("claims.yaml", "schema: 1\nclaims: []\n").unwrap();
    let scenario =
        Scenario::parse("contract.yaml", &text, &claims).unwrap_or_else(|errors| panic!("{errors}"));
    Plan::draw(&scenario, &scenario.matrix_points()[0], 1)
}

fn work(durability: Durability) -> Plan {
    plan("g: {topic: t, members: 2}", durability)
}

fn log(durability: Durability) -> Plan {
    plan("", durability)
}

fn claim(system: &str, plan: &Plan, dead: u32, property: Property) -> Claim {
    let envelope = Envelope { brokers_dead_at_once: dead, consumer_crashed: false };
    Contract::of(system, plan, envelope).claim(property).clone()
}

#[test]
fn acknowledged_loss_is_claimed_as_far_as_copies_outlive_the_dead() {
    use Durability::{Leader, None, Quorum};
    for (system, durability, dead, claimed) in [
        ("kafka", Leader, 0, false),
        ("kafka", Quorum, 1, true),
        ("kafka", Quorum, 2, false),
        ("rocketmq", None, 0, false),
        ("rocketmq", Leader, 0, false),
        ("rocketmq", Quorum, 1, true),
        ("rocketmq", Quorum, 2, false),
        ("rabbitmq", None, 0, false),
        // A classic queue is on one disk: away with its node, and back with it. A quorum queue is flushed.
        ("rabbitmq", Leader, 1, true),
        ("rabbitmq", Quorum, 3, true),
    ] {
        let found = claim(system, &work(durability), dead, Property::AckedLoss);
        assert_eq!(found.is_claimed(), claimed, "{system} {durability:?} {dead}: {found:?}");
    }
    assert!(claim("rabbitmq", &log(Quorum), 1, Property::AckedLoss).is_claimed());
    assert!(!claim("rabbitmq", &log(Quorum), 2, Property::AckedLoss).is_claimed(), "a stream is in memory");
}

#[test]
fn what_a_queue_cannot_show_is_not_offered_and_a_stream_can() {
    for property in [Property::OrderLog, Property::OrderConsumer, Property::Divergence] {
        assert!(matches!(claim("rabbitmq", &work(Durability::Quorum), 0, property), Claim::NotOffered(_)));
        assert!(claim("rabbitmq", &log(Durability::Quorum), 0, property).is_claimed(), "{property}");
    }
    for system in ["rabbitmq", "rocketmq"] {
        let found = claim(system, &log(Durability::Quorum), 0, Property::DuplicateAppend);
        assert!(matches!(found, Claim::NotOffered(_)), "{system}: no producer dedupe");
    }
}

#[test]
fn a_classic_queue_has_an_outage_and_no_recovery_time() {
    let found = claim("rabbitmq", &work(Durability::Leader), 0, Property::Rto);
    assert!(found.why_not().is_some_and(|why| why.contains("outage instead of loss")), "{found:?}");
    assert!(claim("rabbitmq", &work(Durability::Quorum), 0, Property::Rto).is_claimed());
}

/// Followers of t/0 cut off at a time and for so long, and its leader killed.
fn stall_and_kill(durability: Durability, stall: (u64, u64), kill_ms: u64) -> Plan {
    let mut plan = work(durability);
    let leader = || Role::LeaderOf { topic: "t".into(), partition: Some(0) };
    let followers = Role::FollowersOf { topic: "t".into(), partition: Some(0) };
    let fault = |kind, target, ms, lasts| FaultPlan {
        kind,
        target,
        trigger: Trigger::AtMs(ms),
        for_ms: Some(lasts),
        optional: false,
    };
    plan.faults = vec![
        fault(FaultKind::Stall, FaultTarget::Link(leader(), followers), stall.0, stall.1),
        fault(FaultKind::Kill, FaultTarget::Nodes(leader()), kill_ms, 9_000),
    ];
    plan
}

#[test]
fn a_fault_on_the_followers_of_a_classic_queue_is_no_reason_not_to_judge_the_rest() {
    let adapted = |durability| {
        let mut plan = stall_and_kill(durability, (1_000, 2_000), 2_000);
        let notes = adapt("rabbitmq", &mut plan).join(" ");
        (plan.faults.iter().map(|fault| fault.optional).collect::<Vec<_>>(), notes)
    };
    let (optional, notes) = adapted(Durability::Leader);
    assert_eq!(optional, [true, false]);
    assert!(notes.contains("outage instead of loss"), "{notes}");
    assert_eq!(adapted(Durability::Quorum).0, [false, false]);
}

#[test]
fn followers_of_a_quorum_queue_are_cut_off_so_briefly_that_the_leader_that_is_killed_still_leads() {
    let stalled = |system: &str, stall, kill_ms| {
        let mut plan = stall_and_kill(Durability::Quorum, stall, kill_ms);
        for producer in &mut plan.producers {
            (producer.idempotence, producer.in_flight) = (false, 1);
        }
        let notes = adapt(system, &mut plan).len();
        (plan.faults[0].trigger, plan.faults[0].for_ms, notes)
    };
    let at = |ms, lasts, notes| (Trigger::AtMs(ms), Some(lasts), notes);
    assert_eq!(stalled("rabbitmq", (14_400, 14_400), 21_600), at(18_600, 10_200, 1));
    assert_eq!(stalled("rabbitmq", (1_000, 5_000), 3_000), at(1_000, 5_000, 0), "it still leads");
    assert_eq!(stalled("rabbitmq", (1_000, 5_000), 9_000), at(1_000, 5_000, 0), "it is over by then");
    assert_eq!(stalled("rocketmq", (14_400, 14_400), 21_600), at(14_400, 14_400, 0));
}

#[test]
fn order_needs_one_request_in_flight_on_rocketmq_and_one_consumer_a_queue_on_rabbitmq() {
    let mut plan = work(Durability::Quorum);
    assert!(!claim("rocketmq", &plan, 0, Property::OrderPerKey).is_claimed());
    assert!(!claim("rabbitmq", &plan, 0, Property::OrderPerKey).is_claimed(), "members compete");
    let notes = adapt("rocketmq", &mut plan);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(!plan.producers[0].idempotence && plan.producers[0].in_flight == 1);
    assert!(claim("rocketmq", &plan, 0, Property::OrderLog).is_claimed());
    assert!(!claim("rocketmq", &plan, 0, Property::OrderPerKey).is_claimed(), "queues are not locked");
    plan.expect.insert(Property::OrderPerKey, crate::plan::Expectation::Never);
    assert!(claim("rocketmq", &plan, 0, Property::OrderPerKey).is_claimed());
    assert_eq!(client_settings("rocketmq", &plan)["consume"], "orderly");
    assert!(claim("rabbitmq", &plan, 0, Property::OrderPerKey).is_claimed());
    let topic = plan.topology.topics["t"].clone();
    let settings = topic_settings("rabbitmq", &plan, &topic);
    assert_eq!(settings["x-single-active-consumer"], "true");
    assert_eq!(adapt("kafka", &mut plan), Vec::<String>::new());
}

#[test]
fn classes_that_differ_are_marked_and_classes_that_are_lacking_are_not_offered() {
    let mark = |system: &str, plan: &Plan| equality(system, plan).unwrap().mark().map(str::to_owned);
    let quorum = work(Durability::Quorum);
    assert_eq!(mark("kafka", &quorum), None);
    assert!(mark("rabbitmq", &quorum).unwrap().starts_with("stronger than asked"));
    assert_eq!(mark("rabbitmq", &log(Durability::Quorum)), None);
    assert!(mark("rabbitmq", &work(Durability::Leader)).unwrap().starts_with("no failover"));
    let mut flushed = quorum.clone();
    flushed.topology.topics.values_mut().for_each(|topic| topic.flush = Flush::BeforeAck);
    assert!(mark("rocketmq", &flushed).unwrap().starts_with("quorum + leader disk"));
    assert_eq!(equality("sqs", &quorum), None);

    for system in PRODUCTS {
        assert_eq!(not_offered(system, &quorum), None, "{system}");
        let disk = not_offered(system, &work(Durability::QuorumDisk));
        assert_eq!(disk.is_some(), system == "rocketmq", "{system}: {disk:?}");
        assert_eq!(class_in_words(system, Durability::QuorumDisk).is_none(), system == "rocketmq");
    }
    assert!(not_offered("rabbitmq", &log(Durability::Leader)).is_some(), "a classic queue is read once");
}

#[test]
fn a_scenario_about_nothing_but_what_is_lacking_is_not_offered() {
    let mut plan = work(Durability::Quorum);
    plan.expect = [(Property::DuplicateAppend, crate::plan::Expectation::Never)].into();
    assert_eq!(not_offered("kafka", &plan), None);
    assert!(not_offered("rocketmq", &plan).unwrap().contains("removes no copies"));
    plan.expect.insert(Property::AckedLoss, crate::plan::Expectation::Never);
    assert_eq!(not_offered("rocketmq", &plan), None);
}

#[test]
fn it_is_said_whose_answers_an_acknowledgement_waits_for() {
    let quorum = work(Durability::Quorum);
    let who = PRODUCTS.map(|system| ack_waits_for(system, &quorum).unwrap());
    assert_eq!(who, ["all in sync", "all in sync", "a majority", "all in sync"]);
    assert_eq!(ack_waits_for("kafka", &work(Durability::None)), None);
    assert_eq!(ack_waits_for("kafka", &work(Durability::Leader)), Some("one node"));
}

#[test]
fn settings_that_must_not_have_a_value_accept_any_other() {
    let settings = expected_settings("rabbitmq", &[], &work(Durability::Quorum));
    let one = |name: &str| settings.iter().find(|setting| setting.name == name).unwrap();
    let sync = one("wal_sync_method");
    assert!(sync.accepts("datasync") && !sync.accepts("none"));
    assert_eq!(sync.needed(), "anything but none");
    assert!(one("online").accepts("3") && !one("online").accepts("2"));
    assert!(one("type").accepts("quorum"));
}

#[test]
fn the_classic_mode_of_rocketmq_is_asked_for_other_settings() {
    let value = |profile: &[&str], durability, name: &str| {
        let settings = expected_settings("rocketmq", profile, &work(durability));
        settings.into_iter().find(|setting| setting.name == name).map(|setting| setting.value)
    };
    let of = |profile: &[&str], durability| {
        let names = ["enableControllerMode", "inSyncReplicas", "minInSyncReplicas", "allAckInSyncStateSet"];
        names.map(|name| value(profile, durability, name).unwrap_or("-".into())).join(" ")
    };
    assert_eq!(of(&[], Durability::Leader), "true 1 1 false");
    assert_eq!(of(&["tuned"], Durability::Quorum), "true - 2 true");
    assert_eq!(of(&["classic"], Durability::Leader), "false 1 - -");
    assert_eq!(of(&["classic", "tuned"], Durability::Quorum), "false 2 - -");
}

#[test]
fn an_unknown_system_offers_nothing() {
    let found = claim("sqs", &work(Durability::Quorum), 0, Property::AckedLoss);
    assert!(matches!(found, Claim::NotOffered(_)));
    assert_eq!(required_level(Durability::Quorum), Some(Level::Quorum));
    assert!(expected_settings("sqs", &[], &work(Durability::Quorum)).is_empty());
}
