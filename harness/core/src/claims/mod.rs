//! The register of claims: statements about brokers that scenarios decide.
//!
//! In:  the text of `scenarios/claims.yaml`.
//! Out: a [`ClaimRegister`] that scenarios are checked against and reports quote from.
//! Never: judges; the verdict of a claim is that of its scenarios.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::yaml::{self, Diagnostics};

/// A statement that a scenario can decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The id that scenarios name in `decides`.
    pub id: String,
    /// The statement.
    pub statement: String,
    /// The products that it speaks of.
    pub systems: Vec<String>,
    /// Where it is made or refuted.
    pub source: String,
}

/// All known claims, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimRegister {
    claims: BTreeMap<String, Claim>,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    schema: u32,
    claims: Vec<Claim>,
}

impl ClaimRegister {
    /// Reads the register, strictly: unknown keys, two claims with one id and empty statements are errors.
    pub fn parse(file_name: &str, text: &str) -> Result<Self, Diagnostics> {
        let mut out = Diagnostics::new(file_name, text);
        let Some(root) = yaml::read(0, text, &mut out) else { return Err(out) };
        let Some(register) = yaml::decode::<Register>(&root, |_| None, &mut out) else {
            return Err(out.sorted());
        };
        if register.schema != 1 {
            let message = format!("unknown schema version {}", register.schema);
            out.push(root.place_of(&["schema"]), message, "this build reads version 1");
        }
        let mut claims = BTreeMap::new();
        for (index, claim) in register.claims.into_iter().enumerate() {
            let index = index.to_string();
            if claim.statement.trim().is_empty() {
                let place = root.place_of(&["claims", &index, "statement"]);
                out.push(place, "an empty statement", "say what is claimed");
            }
            let place = root.place_of(&["claims", &index, "id"]);
            if let Some(earlier) = claims.insert(claim.id.clone(), claim) {
                let message = format!("claim `{}` stands in the register twice", earlier.id);
                out.push(place, message, "give it an id of its own");
            }
        }
        if out.is_empty() { Ok(Self { claims }) } else { Err(out.sorted()) }
    }

    /// The claim with this id.
    pub fn get(&self, id: &str) -> Option<&Claim> {
        self.claims.get(id)
    }

    /// All claims, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.claims.values()
    }
}
