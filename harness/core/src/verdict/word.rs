//! The closed vocabulary.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is said of a check or of a cell. Never "proved", never "safe".
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum VerdictWord {
    /// Seen, claimed, and not allowed: there is a witness.
    Violated,
    /// Not seen, in as many comparisons as `exercised` says.
    NotObserved,
    /// The evidence does not suffice to say.
    #[default]
    Inconclusive,
    /// Nothing happened that could have shown it.
    NotExercised,
    /// The configuration promises nothing here; the number is shown all the same.
    NotClaimed,
    /// The product has no such thing, or it cannot be done to it here.
    NotOffered,
    /// Trouble of ours.
    HarnessFailure,
}

impl VerdictWord {
    /// As serialised.
    pub fn name(self) -> &'static str {
        match self {
            Self::Violated => "violated",
            Self::NotObserved => "not_observed",
            Self::Inconclusive => "inconclusive",
            Self::NotExercised => "not_exercised",
            Self::NotClaimed => "not_claimed",
            Self::NotOffered => "not_offered",
            Self::HarnessFailure => "harness_failure",
        }
    }

    /// How bad it is: the worst of several stands for all of them.
    pub fn severity(self) -> u8 {
        match self {
            Self::Violated => 6,
            Self::HarnessFailure => 5,
            Self::Inconclusive => 4,
            Self::NotExercised => 3,
            Self::NotObserved => 2,
            Self::NotClaimed => 1,
            Self::NotOffered => 0,
        }
    }

    /// A sign that stands before the word, so that colour never stands alone.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Violated => "✕",
            Self::NotObserved => "✓",
            Self::Inconclusive => "?",
            Self::NotExercised => "○",
            Self::NotClaimed => "–",
            Self::NotOffered => "·",
            Self::HarnessFailure => "!",
        }
    }
}

impl fmt::Display for VerdictWord {
    /// For people: with spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name().replace('_', " "))
    }
}
