//! From paths on the command line to scenarios.

use std::fs;
use std::path::{Path, PathBuf};

use mqproof_core::claims::ClaimRegister;
use mqproof_core::scenario::Scenario;

use crate::failure::Failure;

/// The register that the binary was built with; used where none lies above a scenario.
const BUILT_IN_CLAIMS: &str = include_str!("../../../../scenarios/claims.yaml");

/// A scenario and the file it came from.
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// As given or found.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
}

/// Reads all scenarios under the paths; every file with errors is told.
pub fn load_scenarios(paths: &[PathBuf], overrides: &[String]) -> Result<Vec<Loaded>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        let places = paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ");
        return Err(Failure::input(format!(
            "no scenario in {places}\nhint: scenarios are files that end in `.yaml`"
        )));
    }
    let styled = crate::terminal::stderr_is_styled();
    let (mut loaded, mut errors) = (Vec::new(), Vec::new());
    for path in files {
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::input(format!("cannot read `{}`: {error}", path.display())))?;
        let claims = claims_for(&path)?;
        match Scenario::parse_with(&path.display().to_string(), &text, overrides, &claims) {
            Ok(scenario) => loaded.push(Loaded { scenario, path, text }),
            Err(diagnostics) => errors.push(diagnostics.render(styled)),
        }
    }
    if errors.is_empty() { Ok(loaded) } else { Err(Failure::rendered(errors.join("\n\n"))) }
}

/// The register of claims for a scenario: the nearest `claims.yaml` above it, else the built-in one.
fn claims_for(scenario: &Path) -> Result<ClaimRegister, Failure> {
    let absolute = scenario.canonicalize().unwrap_or_else(|_| scenario.to_owned());
    for dir in absolute.ancestors().skip(1) {
        let file = dir.join("claims.yaml");
        if let Ok(text) = fs::read_to_string(&file) {
            return parse_claims(&file.display().to_string(), &text);
        }
    }
    built_in_claims()
}

/// The register that the binary was built with.
pub fn built_in_claims() -> Result<ClaimRegister, Failure> {
    parse_claims("claims.yaml", BUILT_IN_CLAIMS)
}

fn parse_claims(name: &str, text: &str) -> Result<ClaimRegister, Failure> {
    ClaimRegister::parse(name, text)
        .map_err(|diagnostics| Failure::rendered(diagnostics.render(crate::terminal::stderr_is_styled())))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let missing = |error: std::io::Error| {
        Failure::input(format!(
            "cannot read `{}`: {error}\nhint: give a scenario file, or a directory of them such as `scenarios/smoke`",
            path.display()
        ))
    };
    let meta = fs::metadata(path).map_err(missing)?;
    if meta.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path).map_err(missing)?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if is_scenario(&entry) {
            files.push(entry);
        }
    }
    Ok(())
}

/// Registers lie beside scenarios and are none.
fn is_scenario(path: &Path) -> bool {
    let is_yaml = path.extension().is_some_and(|ending| ending == "yaml");
    is_yaml && !path.ends_with("claims.yaml") && !path.ends_with("defects.yaml")
}
