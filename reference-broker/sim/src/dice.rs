//! Random numbers, one stream per concern.
//!
//! A draw for the network does not shift the draws for the disk, so that a change in one part of a run leaves the
//! others as they were. ChaCha8 is pinned: its values are the same on every machine and in every version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What random numbers are for.
#[derive(Clone, Copy)]
pub(crate) enum Concern {
    Plan,
    Network,
    Disk,
    Workload,
    Faults,
}

/// One stream of random numbers.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, concern: Concern) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(concern as u64);
        Self(rng)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Inclusive at both ends.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }

    /// Like [`Self::between`], but every order of magnitude is equally likely.
    pub(crate) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let doublings = u64::from((high / low.max(1)).max(1).ilog2());
        let floor = low << self.between(0, doublings);
        self.between(floor, (floor * 2).min(high).max(floor))
    }

    /// True so many times out of a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.between(0, 99) < chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, concern| Dice::new(seed, concern).number();
        assert_eq!(draw(7, Concern::Disk), draw(7, Concern::Disk));
        assert_ne!(draw(7, Concern::Disk), draw(7, Concern::Network));
        assert_ne!(draw(7, Concern::Disk), draw(8, Concern::Disk));
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut dice = Dice::new(1, Concern::Plan);
        for _ in 0..1000 {
            assert!((3..=5).contains(&dice.between(3, 5)));
            assert!((50..=5000).contains(&dice.magnitude(50, 5000)));
        }
    }
}
