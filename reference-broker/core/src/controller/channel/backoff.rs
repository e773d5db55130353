//! How long to wait before the next attempt.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const FIRST_NS: u64 = 20_000_000;
const LONGEST_NS: u64 = 500_000_000;

/// Doubles with each attempt, from 20 to 500 ms, less up to half of it, so that brokers do not come all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    random: ChaCha8Rng,
    next_ns: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), next_ns: FIRST_NS }
    }

    /// How long to wait now.
    pub(super) fn step(&mut self) -> u64 {
        let wait = self.next_ns;
        self.next_ns = (wait * 2).min(LONGEST_NS);
        self.less_some(wait)
    }

    /// How long to wait when it is known that something has changed.
    pub(super) fn least(&mut self) -> u64 {
        self.less_some(FIRST_NS)
    }

    fn less_some(&mut self, wait: u64) -> u64 {
        wait - self.random.next_u64() % (wait / 2)
    }

    /// An attempt has succeeded.
    pub(super) fn reset(&mut self) {
        self.next_ns = FIRST_NS;
    }
}
