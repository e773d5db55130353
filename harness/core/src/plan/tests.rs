//! Plans of the committed scenarios: the same bytes for the same input, and what their data say.

use super::{Durability, Expectation, FaultKind, FaultTarget, Flush, Plan, Role, Trigger, render};
use crate::claims::ClaimRegister;
use crate::property::Property;
use crate::scenario::Scenario;

const CLAIMS: &str = include_str!("../../../../scenarios/claims.yaml");
const SMOKE: &str = include_str!("../../../../scenarios/smoke/acked-survives-leader-kill.yaml");
const DUPLICATES: &str = include_str!("../../../../scenarios/smoke/duplicates-and-idempotence.yaml");
const BACKLOG: &str = include_str!("../../../../scenarios/smoke/backlog-drain.yaml");

fn scenario(text: &str) -> Scenario {
    let claims = ClaimRegister::parse("claims.yaml", CLAIMS).unwrap();
    Scenario::parse("example.yaml", text, &claims).unwrap_or_else(|errors| panic!("{errors}"))
}

fn draw(text: &str, seed: u64) -> Plan {
    let scenario = scenario(text);
    Plan::draw(&scenario, &scenario.matrix_points()[0], seed)
}

/// A scenario whose only fault is the given one.
fn with_fault(fault: &str) -> String {
    let head = SMOKE.split("faults:").next().unwrap();
    format!("{head}faults:\n  - {fault}\nexpect: {{acked_loss: never}}\n")
}

fn fault_times(plan: &Plan) -> Vec<u64> {
    plan.faults
        .iter()
        .filter_map(|fault| match fault.trigger {
            Trigger::AtMs(at) => Some(at),
            Trigger::AfterAcked(_) => None,
        })
        .collect()
}

#[test]
fn the_plan_of_a_committed_scenario_does_not_change() {
    insta::assert_json_snapshot!(draw(SMOKE, 7));
}

#[test]
fn the_plan_reads_well() {
    insta::assert_snapshot!(render(&draw(SMOKE, 7)));
    insta::assert_snapshot!(render(&draw(DUPLICATES, 7)));
    insta::assert_snapshot!(render(&draw(BACKLOG, 7)));
}

#[test]
fn a_plan_survives_json() {
    let plan = draw(DUPLICATES, 7);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn another_seed_is_another_workload() {
    assert_ne!(draw(SMOKE, 1).workload_digest, draw(SMOKE, 2).workload_digest);
    assert_eq!(draw(SMOKE, 1), draw(SMOKE, 1));
}

#[test]
fn repetitions_are_spelt_out_until_the_end_of_load() {
    let plan = draw(&with_fault("kill: {target: controller, every: 1500ms, for: 100ms}"), 1);
    assert_eq!(fault_times(&plan), [1_500, 3_000, 4_500, 6_000]);
    let plan = draw(&with_fault("kill: {target: controller, every: 500ms, repeat: 3, for: 100ms}"), 1);
    assert_eq!(fault_times(&plan), [500, 1_000, 1_500]);
}

#[test]
fn random_targets_are_drawn_from_the_seed_and_differ_between_seeds() {
    let nodes = |seed| match &draw(&with_fault("kill: {target: {random: 2}, at: 1s, for: 1s}"), seed).faults
        [0]
    .target
    {
        FaultTarget::Nodes(Role::Nodes(nodes)) => nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(nodes(3), nodes(3));
    let drawn: std::collections::BTreeSet<_> = (0..32).map(nodes).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [[1, 2], [1, 3], [2, 3]]);
}

#[test]
fn a_bare_followers_means_those_of_the_other_side() {
    let plan = draw(&with_fault("stall: {link: [followers, {leader-of: orders/1}], at: 1s}"), 1);
    let (topic, partition) = ("orders".to_owned(), Some(1));
    let followers = Role::FollowersOf { topic: topic.clone(), partition };
    assert_eq!(plan.faults[0].target, FaultTarget::Link(followers, Role::LeaderOf { topic, partition }));
}

#[test]
fn replicas_are_clamped_to_the_live_brokers_and_it_is_said() {
    let mut plan = draw(BACKLOG, 1);
    let bytes = plan.bytes_expected.unwrap();
    let notes = plan.clamp_replicas(1);
    assert_eq!(notes, ["topic `orders`: 1 of 3 replicas, min in-sync 1 of 2: the cluster has 1 live broker"]);
    assert_eq!((plan.topology.topics["orders"].replicas, plan.topology.topics["orders"].min_in_sync), (1, 1));
    assert!(plan.bytes_expected.unwrap() < bytes);
    assert!(plan.clamp_replicas(1).is_empty());
}

#[test]
fn optional_faults_and_client_crashes_need_no_hand_on_the_nodes() {
    assert_eq!(draw(BACKLOG, 1).needs_hands(), None);
    assert_eq!(draw(DUPLICATES, 1).needs_hands(), None);
    assert_eq!(
        draw(SMOKE, 1).needs_hands().unwrap(),
        "kill, stall needs a hand on the nodes and their links"
    );
}

#[test]
fn a_total_is_shared_out_without_a_remainder_lost() {
    let text = SMOKE.replace("for: 7s", "total: 4001");
    let plan = draw(&text, 1);
    let totals: Vec<_> = plan.producers.iter().map(|producer| producer.total.unwrap()).collect();
    assert_eq!(totals, [2_001, 2_000]);
    assert_eq!(plan.messages_expected, Some(4_001));
}

#[test]
fn times_are_stretched_and_rates_and_windows_are_not() {
    let (plain, slow) = (draw(SMOKE, 7), draw(SMOKE, 7).stretched(10));
    assert_eq!(slow.load_ms, 10 * plain.load_ms);
    assert_eq!(slow.producers[0].until_ns, 10 * plain.producers[0].until_ns);
    assert_eq!(slow.producers[0].pace, plain.producers[0].pace);
    assert_eq!(fault_times(&slow), fault_times(&plain).iter().map(|at| 10 * at).collect::<Vec<_>>());
    assert_eq!(slow.faults[1].for_ms, plain.faults[1].for_ms.map(|ms| 10 * ms));
    assert_eq!(slow.messages_expected, plain.messages_expected.map(|messages| 10 * messages));
    assert_eq!(slow.rto_window_ms, plain.rto_window_ms);
    assert_eq!(slow.workload_digest, plain.workload_digest);
    let bound = |max| Expectation::Bound { min: None, max: Some(max) };
    assert_eq!(plain.expect[&Property::Rto], bound(5_000.0));
    assert_eq!(slow.expect[&Property::Rto], bound(50_000.0));
    assert_eq!(slow.stretch, 10);
}

#[test]
fn crashes_and_late_consumers_are_stretched_too() {
    let slow = draw(DUPLICATES, 7).stretched(2);
    assert_eq!((slow.consumers[0].crashes[0].at_ms, slow.consumers[0].crashes[0].for_ms), (4_400, 600));
    assert_eq!(draw(BACKLOG, 7).stretched(3).consumers[0].from_ns, 7_500_000_000);
    assert_eq!(draw(BACKLOG, 7).stretched(1), draw(BACKLOG, 7));
}

#[test]
fn a_kill_is_of_a_process_or_of_a_machine() {
    let text = SMOKE.replace(
        "durability: quorum\n",
        "durability: quorum\nmatrix: {faults.1.kill.how: [process, host]}\n",
    );
    let scenario = scenario(&text);
    let kinds: Vec<FaultKind> =
        scenario.matrix_points().iter().map(|point| Plan::draw(&scenario, point, 1).faults[1].kind).collect();
    assert_eq!(kinds, [FaultKind::Kill, FaultKind::KillHost]);
    let plan = Plan::draw(&scenario, &scenario.matrix_points()[1], 1);
    assert!(render(&plan).contains("kill host"));
    assert_eq!(plan.needs_hands().unwrap(), "kill host, stall needs a hand on the nodes and their links");
}

#[test]
fn a_loss_of_power_needs_a_disk_that_forgets_and_a_class_that_flushes_does() {
    let text = SMOKE.replace(
        "durability: quorum\n",
        "durability: quorum\nmatrix: {durability: [quorum, quorum-disk], faults.1.kill.how: [process, power]}\n",
    );
    let scenario = scenario(&text);
    for point in scenario.matrix_points() {
        let plan = Plan::draw(&scenario, point, 1);
        let flushes = plan.topology.topics.values().all(|topic| topic.flush == Flush::BeforeAck);
        assert_eq!(flushes, plan.durability == Durability::QuorumDisk);
        let loses_power = plan.faults[1].kind == FaultKind::KillPower;
        assert_eq!(plan.needs_forgetful_disks().is_some(), loses_power);
    }
}

#[test]
fn a_kill_of_a_process_is_written_as_it_always_was() {
    let plan = draw(SMOKE, 7);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains("\"kind\":\"kill\""), "older plans are read, too");
    let old = text.replace("\"stretch\":1,", "");
    assert_eq!(serde_json::from_str::<Plan>(&old).unwrap(), plan);
}
