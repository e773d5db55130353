//! How much of what was not flushed has reached the platters when the power fails.
//!
//! One power loss is of one kind for all files of a disk, so that the kinds in which nearly all is left come up as well as those
//! in which nearly nothing is.

use crate::dice::Dice;

/// What becomes of one change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Kept,
    Dropped,
    /// Some sectors of it.
    Torn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The disk had just written everything.
    Everything,
    /// The disk had written nothing for a long time.
    Nothing,
    /// The oldest changes of each file; the next one was being written.
    Oldest,
    /// Each change by itself, with so many chances out of a hundred.
    Scattered(u64),
}

/// The manner of one power loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tear {
    kind: Kind,
    /// What the disk writes at once, in bytes.
    pub(super) sector: usize,
    /// Where a file has grown but its bytes were not written there is what was in those sectors before, instead of zeros.
    pub(super) stale: bool,
}

impl Tear {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let kind = match dice.between(0, 9) {
            0 => Kind::Everything,
            1..=2 => Kind::Nothing,
            3..=6 => Kind::Oldest,
            _ => Kind::Scattered(dice.between(5, 99)),
        };
        Self { kind, sector: if dice.percent(50) { 512 } else { 4096 }, stale: dice.percent(30) }
    }

    /// The fates of so many changes of one file or directory, in order.
    pub(super) fn fates(self, count: usize, dice: &mut Dice) -> Vec<Fate> {
        match self.kind {
            Kind::Everything => vec![Fate::Kept; count],
            Kind::Nothing => vec![Fate::Dropped; count],
            Kind::Oldest => {
                let written = dice.between(0, count as u64) as usize;
                let fate = |index: usize| match index.cmp(&written) {
                    std::cmp::Ordering::Less => Fate::Kept,
                    std::cmp::Ordering::Equal => Fate::Torn,
                    std::cmp::Ordering::Greater => Fate::Dropped,
                };
                (0..count).map(fate).collect()
            }
            Kind::Scattered(chance) => (0..count).map(|_| scattered(chance, dice)).collect(),
        }
    }
}

fn scattered(chance: u64, dice: &mut Dice) -> Fate {
    if dice.percent(chance) {
        Fate::Kept
    } else if dice.percent(30) {
        Fate::Torn
    } else {
        Fate::Dropped
    }
}

#[cfg(test)]
impl Tear {
    pub(super) fn everything() -> Self {
        Self { kind: Kind::Everything, sector: 512, stale: false }
    }

    pub(super) fn nothing() -> Self {
        Self { kind: Kind::Nothing, sector: 512, stale: false }
    }
}
