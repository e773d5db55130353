//! The language as its users meet it: valid files, and every kind of mistake with the message it gets.

use proptest::prelude::*;

use super::{DefectCase, Expect, Scenario, Word};
use crate::claims::ClaimRegister;
use crate::plan::{Durability, Plan};

const CLAIMS: &str = include_str!("../../../../scenarios/claims.yaml");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A valid scenario, which each case below spoils by replacing one text by another.
const VALID: &str = "\
schema: 1
name: example
about: An example.
decides: [C054]
topology:
  brokers: 3
  topics:
    orders: {partitions: 3, replicas: 3, min_in_sync: 2}
durability: quorum
producers:
  writer: {topic: orders, rate: 2000/s, for: 4s, keys: {uniform: {count: 100}}, payload: {fixed: 256B}}
consumers:
  reader: {topic: orders, members: 2}
faults:
  - stall: {link: [{leader-of: orders}, followers], at: 1s, for: 2s}
  - kill: {target: {leader-of: orders}, at: 2s, for: 1s}
expect: {acked_loss: never, rto: {max: 5s}}
matrix: {durability: [leader, quorum]}
";

fn register() -> ClaimRegister {
    ClaimRegister::parse("scenarios/claims.yaml", CLAIMS).unwrap()
}

fn parse(text: &str, overrides: &[&str]) -> Result<Scenario, String> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Scenario::parse_with("example.yaml", text, &overrides, &register()).map_err(|errors| errors.to_string())
}

/// The messages for the example with `from` replaced by `to`.
fn spoilt(from: &str, to: &str) -> String {
    assert!(VALID.contains(from), "the example has no `{from}`");
    parse(&VALID.replace(from, to), &[]).expect_err("the mistake must be found")
}

macro_rules! mistakes {
    ($($name:ident: $from:expr => $to:expr;)*) => {
        $(#[test] fn $name() { insta::assert_snapshot!(spoilt($from, $to)); })*
    };
}

mistakes! {
    unknown_key: "producers:" => "prodcers:";
    misplaced_key: "members: 2" => "members: 2, partitions: 3";
    wrong_unit: "for: 4s" => "for: 4h";
    missing_unit: "rate: 2000/s" => "rate: 2000";
    duplicate_key: "durability: quorum" => "durability: quorum\nname: again";
    unknown_fault: "kill:" => "partiton:";
    unknown_property: "acked_loss" => "acked_los";
    unknown_assertion: "acked_loss: never" => "acked_loss: sometimes";
    unknown_durability: "durability: quorum" => "durability: quorum-disc";
    unknown_claim: "[C054]" => "[C055, C954]";
    unknown_topic_of_a_fault: "target: {leader-of: orders}" => "target: {leader-of: order}";
    unknown_partition_of_a_fault: "target: {leader-of: orders}" => "target: {leader-of: orders/3}";
    unknown_node_of_a_fault: "target: {leader-of: orders}" => "target: {node: 7}";
    unknown_target: "target: {leader-of: orders}" => "target: {leeder-of: orders}";
    unknown_topic_of_a_consumer: "reader: {topic: orders" => "reader: {topic: ordres";
    clients_cannot_be_killed: "target: {leader-of: orders}" => "target: clients";
    a_minority_of_one_broker: "brokers: 3" => "brokers: 1";
    more_replicas_than_brokers: "replicas: 3" => "replicas: 4";
    more_in_sync_than_replicas: "min_in_sync: 2" => "min_in_sync: 4";
    payload_below_the_header: "fixed: 256B" => "fixed: 63B";
    open_and_closed_loop: "rate: 2000/s" => "rate: 2000/s, outstanding: 10";
    no_pace_and_no_end: "rate: 2000/s, for: 4s, " => "";
    zero_count: "rate: 2000/s" => "rate: 2000/s, count: 0";
    fewer_keys_than_instances: "rate: 2000/s" => "rate: 2000/s, count: 101";
    fault_after_the_end_of_load: "at: 2s" => "at: 4s";
    fault_that_never_starts: "at: 2s, " => "";
    fault_that_starts_twice: "at: 2s" => "at: 2s, every: 1s";
    repeat_without_every: "at: 2s" => "at: 2s, repeat: 3";
    link_of_one: "[{leader-of: orders}, followers]" => "[followers]";
    followers_of_nobody: "[{leader-of: orders}, followers]" => "[clients, followers]";
    metric_without_bounds: "rto: {max: 5s}" => "rto: never";
    bounds_without_a_metric: "acked_loss: never" => "acked_loss: {max: 5}";
    bound_without_its_unit: "rto: {max: 5s}" => "rto: {max: 5}";
    crash_of_a_missing_member: "members: 2" => "members: 2, crashes: [{at: 1s, for: 1s, member: 2}]";
    bad_matrix_path: "matrix: {durability:" => "matrix: {topology.topics.order.partitions:";
    bad_matrix_key: "matrix: {durability:" => "matrix: {durabilty:";
    bad_matrix_value: "[leader, quorum]" => "[leader, most]";
    matrix_that_breaks_a_rule: "matrix: {durability: [leader, quorum]}" => "matrix: {topology.brokers: [3, 2]}";
    no_yaml: "decides: [C054]" => "decides: [C054";
    missing_name: "name: example\n" => "";
    wrong_type: "brokers: 3" => "brokers: three";
    wrong_shape: "consumers:\n  reader: {topic: orders, members: 2}" => "consumers: [reader]";
    unknown_schema_version: "schema: 1" => "schema: 2";
    name_that_is_no_name: "name: example" => "name: My Example";
}

#[test]
fn explicit_idempotence_needs_a_strong_class() {
    let text = VALID.replace("matrix: {durability: [leader, quorum]}\n", "");
    let text = text.replace("durability: quorum", "durability: leader");
    let text = text.replace("rate: 2000/s", "rate: 2000/s, idempotence: true");
    insta::assert_snapshot!(parse(&text, &[]).unwrap_err());
}

#[test]
fn a_matrix_of_classes_switches_idempotence_off_where_it_must() {
    let scenario = parse(&VALID.replace("rate: 2000/s", "rate: 2000/s, idempotence: true"), &[]).unwrap();
    let idempotent = scenario.matrix_points().iter().map(|point| {
        let plan = Plan::draw(&scenario, point, 1);
        (plan.durability, plan.producers[0].idempotence)
    });
    assert_eq!(idempotent.collect::<Vec<_>>(), [(Durability::Leader, false), (Durability::Quorum, true)]);
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let text = VALID
        .replace("durability: quorum", "durability: quorm")
        .replace("members: 2", "member: 2")
        .replace("rate: 2000/s", "rate: 2000")
        .replace("kill: {target: {leader-of: orders}, at", "kill: {at")
        .replace("rto:", "rot:");
    insta::assert_snapshot!(parse(&text, &[]).unwrap_err());
}

#[test]
fn colour_adds_only_escapes() {
    let errors = Scenario::parse("example.yaml", &VALID.replace("kill:", "kil:"), &register()).unwrap_err();
    let styled = errors.render(true);
    assert!(styled.contains('\u{1b}') && styled.contains("did you mean `kill`?"));
    assert!(!errors.render(false).contains('\u{1b}'));
    let error = &errors.items()[0];
    assert_eq!((error.line, error.column), (16, 5));
}

#[test]
fn an_override_is_checked_like_the_file_and_shown_when_it_is_wrong() {
    let scenario = parse(VALID, &["producers.writer.rate=50/s", "rto.window=1s"]).unwrap();
    let document = &scenario.matrix_points()[0].document;
    assert_eq!(document.producers["writer"].rate.unwrap().to_string(), "50/s");
    assert_eq!(document.rto.window.ms(), 1_000);
    insta::assert_snapshot!(
        parse(VALID, &["producers.writer.rate=fast", "producer.writer.count=2"]).unwrap_err()
    );
}

#[test]
fn an_override_of_a_matrix_path_narrows_the_matrix() {
    for text in ["durability=quorum", "matrix.durability=quorum"] {
        let scenario = parse(VALID, &[text]).unwrap();
        let [point] = scenario.matrix_points() else { panic!("one point is left") };
        assert_eq!(point.values["durability"], "quorum");
        assert_eq!(point.document.durability, Durability::Quorum);
    }
}

#[test]
fn a_matrix_has_a_point_for_each_combination() {
    let text = VALID.replace(
        "matrix: {durability: [leader, quorum]}",
        "matrix: {durability: [leader, quorum], topology.topics.orders.partitions: [1, 6]}",
    );
    let scenario = parse(&text, &[]).unwrap();
    let points = scenario
        .matrix_points()
        .iter()
        .map(|point| (point.document.durability.name(), point.document.topology.topics["orders"].partitions));
    assert_eq!(points.collect::<Vec<_>>(), [("leader", 1), ("leader", 6), ("quorum", 1), ("quorum", 6)]);
}

#[test]
fn anchors_and_merge_keys_are_plain_yaml() {
    let text = VALID.replace(
        "reader: {topic: orders, members: 2}",
        "a: &a {topic: orders, members: 2}\n  b: {<<: *a, members: 3}",
    );
    let scenario = parse(&text, &[]).unwrap();
    assert_eq!(scenario.matrix_points()[0].document.consumers["b"].members, 3);
}

proptest! {
    /// Whatever a slip of the finger makes of a file: a scenario whose plan can be drawn and shown, or errors that can.
    #[test]
    fn a_spoilt_file_is_read_or_refused_and_never_panics(
        at in 0..VALID.len(),
        cut in 0..30_usize,
        put in prop_oneof![
            "[a-z0-9:,{}\\[\\]# \n\"'&*!|>%@-]{0,8}",
            prop::sample::select(vec![
                "18446744073709551615", "-1", "0", "1e400", "4294967295", "99999999999999s", "~", "{}", "[]", "é", "\t",
                "all", "clients", "minority", "every: 1ms, ", "quorum-disk", "true", "null",
            ]).prop_map(str::to_owned),
        ],
    ) {
        let end = (at + cut).min(VALID.len());
        let text = format!("{}{put}{}", &VALID[..at], &VALID[end..]);
        match Scenario::parse("example.yaml", &text, &register()) {
            Ok(scenario) => {
                for point in scenario.matrix_points() {
                    prop_assert!(!crate::plan::render(&Plan::draw(&scenario, point, 1)).is_empty());
                }
            }
            Err(errors) => {
                prop_assert!(!errors.items().is_empty());
                prop_assert!(errors.items().iter().all(|error| !error.message.is_empty() && error.line > 0));
                prop_assert!(!errors.render(false).is_empty());
            }
        }
    }
}

#[test]
fn numbers_beyond_all_reason_are_refused() {
    for (from, to) in [
        ("brokers: 3", "brokers: 4000000000"),
        ("count: 100", "count: 4000000000"),
        ("members: 2", "members: 4000000000"),
        ("rate: 2000/s", "rate: 99999999999/s"),
        ("for: 4s", "for: 999999999m"),
    ] {
        assert!(parse(&VALID.replacen(from, to, 1), &[]).is_err(), "{to}");
    }
}

#[test]
fn the_register_of_claims_is_strict() {
    let text = CLAIMS.replacen("statement:", "statment:", 1).replace("id: C005", "id: C003");
    insta::assert_snapshot!(ClaimRegister::parse("claims.yaml", &text).unwrap_err().to_string());
    let twice = CLAIMS.replace("id: C005", "id: C003");
    insta::assert_snapshot!(ClaimRegister::parse("claims.yaml", &twice).unwrap_err().to_string());
}

#[test]
fn every_committed_scenario_is_valid_and_draws_the_same_plan_twice() {
    for folder in ["smoke", "defects"] {
        for entry in std::fs::read_dir(format!("{ROOT}/scenarios/{folder}")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if name == "defects" {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario = Scenario::parse(&path.display().to_string(), &text, &register());
            let scenario = scenario.unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(scenario.name, name, "the name is that of the file");
            assert!(text.starts_with("# yaml-language-server: $schema=../scenario.schema.json\n"), "{name}");
            for point in scenario.matrix_points() {
                let draw = || serde_json::to_string(&Plan::draw(&scenario, point, 7)).unwrap();
                assert_eq!(draw(), draw());
            }
        }
    }
}

#[test]
fn the_table_of_defects_names_scenarios_that_judge_what_must_trip() {
    let read = |name: &str| std::fs::read_to_string(format!("{ROOT}/scenarios/defects/{name}.yaml")).unwrap();
    let table =
        DefectCase::parse_table("defects.yaml", &read("defects")).unwrap_or_else(|errors| panic!("{errors}"));
    for case in table {
        let scenario = Scenario::parse(&case.scenario, &read(&case.scenario), &register()).unwrap();
        let [point] = scenario.matrix_points() else { panic!("{} has a matrix", case.scenario) };
        for property in &case.trips {
            let never = point.document.expect.get(property) == Some(&Expect::Word(Word::Never));
            assert!(never || property.always_runs(), "{} does not judge {property}", case.scenario);
            assert!(!case.may_trip.contains(property), "{}: {property} must or may, not both", case.defect);
        }
    }
}

/// Compares a generated file with its committed copy, which `MQPROOF_UPDATE=1` writes anew.
fn assert_current(path: &str, generated: &str) {
    let path = format!("{ROOT}/{path}");
    if std::env::var_os("MQPROOF_UPDATE").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test that renews what is committed")]
        std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "`MQPROOF_UPDATE=1 cargo test -p mqproof-core current` writes {path} anew"
    );
}

#[test]
fn the_committed_schema_is_current() {
    assert_current("scenarios/scenario.schema.json", &super::json_schema());
}

#[test]
fn the_committed_reference_page_is_current() {
    let example =
        std::fs::read_to_string(format!("{ROOT}/scenarios/smoke/acked-survives-leader-kill.yaml")).unwrap();
    assert_current("docs/scenarios.md", &super::reference_page(&example));
}

#[test]
fn the_committed_page_of_defects_is_current() {
    let text = std::fs::read_to_string(format!("{ROOT}/scenarios/defects/defects.yaml")).unwrap();
    let table = DefectCase::parse_table("defects.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    let in_simulation = std::fs::read_to_string(format!("{ROOT}/docs/defects-in-simulation.md")).unwrap();
    assert_current("docs/defects.md", &DefectCase::page(&table, &in_simulation));
}

/// The example with transactions, in one class.
fn transactional(durability: &str, transactions: &str) -> Result<Scenario, String> {
    let text = VALID.replace("matrix: {durability: [leader, quorum]}\n", "");
    let text = text.replace("durability: quorum", &format!("durability: {durability}"));
    parse(&text.replace("rate: 2000/s", &format!("rate: 2000/s, transactions: {transactions}")), &[])
}

#[test]
fn transactions_are_planned_as_they_are_written() {
    let scenario = transactional("quorum", "{messages: 20, abort: 12.5%}").unwrap();
    let plan = Plan::draw(&scenario, &scenario.matrix_points()[0], 1);
    let planned = plan.producers[0].transactions.unwrap();
    assert_eq!((planned.messages, planned.abort, planned.timeout_ms), (20, 0.125, 60_000));
    assert_eq!(plan.clone().stretched(12).producers[0].transactions.unwrap().timeout_ms, 720_000);
    let rendered = crate::plan::render(&plan);
    assert!(rendered.contains("transactions of 20 messages within ") && rendered.contains("12 % aborted"));
}

#[test]
fn transactions_that_cannot_be_are_refused_with_a_hint() {
    let refused = |durability, transactions| transactional(durability, transactions).unwrap_err();
    let weak = refused("leader", "{messages: 20}");
    assert!(
        weak.contains("need more than durability `leader`") && weak.contains("durability: quorum"),
        "{weak}"
    );
    assert!(refused("quorum", "{messages: 0}").contains("`messages` is zero"));
    assert!(refused("quorum", "{messages: 2, abort: 20}").contains("lacks a unit"));
    assert!(refused("quorum", "{messages: 2, abort: 200%}").contains("a share such as `20%`"));
    assert!(refused("quorum", "{messages: 2, timeout: 10ms}").contains("write at least `1s`"));
    let text = VALID.replace("acked_loss: never", "torn_transaction: never");
    assert!(parse(&text, &[]).unwrap_err().contains("needs a producer with transactions"));
}
