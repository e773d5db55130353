use super::Scenario;
use crate::claims::ClaimRegister;

const CLAIMS: &str = include_str!("../../../../scenarios/claims.yaml");

fn register() -> ClaimRegister {
    ClaimRegister::parse("scenarios/claims.yaml", CLAIMS).unwrap()
}

#[test]
fn every_smoke_scenario_is_valid() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/smoke");
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = Scenario::parse(&path.display().to_string(), &text, &register());
        let scenario = parsed.unwrap_or_else(|errors| panic!("{errors}"));
        for point in scenario.matrix_points() {
            let plan = crate::plan::Plan::draw(&scenario, point, 7);
            println!("{}", serde_json::to_string_pretty(&plan).unwrap());
        }
    }
}
