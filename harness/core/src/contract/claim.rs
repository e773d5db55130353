//! Whether a product promises something.

/// The answer of a contract for one property.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// It is promised: seeing the opposite is a violation.
    Claimed,
    /// These settings, or what was done to the cluster, promise nothing: the number is shown all the same.
    NotClaimed(String),
    /// The product has no such thing.
    NotOffered(String),
}

impl Claim {
    /// Whether it is promised.
    pub fn is_claimed(&self) -> bool {
        *self == Self::Claimed
    }

    /// Why it is not promised.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Claimed => None,
            Self::NotClaimed(why) | Self::NotOffered(why) => Some(why),
        }
    }

    /// Promised, unless there is a reason why not.
    pub(super) fn unless(reason: Option<String>) -> Self {
        reason.map_or(Self::Claimed, Self::NotClaimed)
    }
}
