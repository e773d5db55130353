//! Which key a message has.

use super::draw::{Purpose, below, draw};
use crate::plan::Keys;

/// Cumulative weights are scaled to this many.
const SCALE_BITS: u32 = 53;

/// Draws keys of one producer instance: those of `count` whose index is ≡ instance modulo instances.
#[derive(Clone, Debug)]
pub(super) struct KeySampler {
    instance: u32,
    instances: u32,
    owned: u32,
    /// Zipf: for each owned key the cumulative weight up to and with it, of 2^53.
    cumulative: Option<Box<[u64]>>,
}

impl KeySampler {
    pub(super) fn new(keys: &Keys, instance: u16, instances: u16) -> Self {
        let (instance, instances) = (u32::from(instance), u32::from(instances.max(1)));
        let owned = |count: u32| count.saturating_sub(instance).div_ceil(instances);
        let (owned, cumulative) = match *keys {
            Keys::None => (0, None),
            Keys::Uniform { count } => (owned(count), None),
            Keys::Zipf { count, exponent } => {
                let owned = owned(count);
                (owned, Some(zipf(owned, exponent, instance, instances)))
            }
        };
        Self { instance, instances, owned, cumulative }
    }

    /// How many keys there are to draw from; 0: messages have no key.
    pub(super) fn owned(&self) -> u32 {
        self.owned
    }

    /// Which of the owned keys message `seq` has, from 0.
    #[inline]
    pub(super) fn slot(&self, seed: u64, seq: u32) -> Option<u32> {
        if self.owned == 0 {
            return None;
        }
        let bits = draw(seed, Purpose::Key, seq);
        Some(match &self.cumulative {
            None => below(bits, u64::from(self.owned)) as u32,
            Some(cumulative) => {
                let point = bits >> (64 - SCALE_BITS);
                cumulative.partition_point(|&weight| weight <= point) as u32
            }
        })
    }

    /// The index of an owned key among all.
    #[inline]
    pub(super) fn key(&self, slot: u32) -> u32 {
        slot * self.instances + self.instance
    }
}

/// Cumulative weights 1 / (k+1)^exponent, scaled so that the last is 2^53.
fn zipf(owned: u32, exponent: f64, instance: u32, instances: u32) -> Box<[u64]> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (0..owned)
        .map(|slot| {
            let rank = f64::from(slot) * f64::from(instances) + f64::from(instance) + 1.0;
            sum += exp(-exponent * ln(rank));
            sum
        })
        .collect();
    let scale = (1_u64 << SCALE_BITS) as f64;
    let mut cumulative: Box<[u64]> = sums.iter().map(|part| (part / sum * scale) as u64).collect();
    if let Some(last) = cumulative.last_mut() {
        *last = 1 << SCALE_BITS;
    }
    cumulative
}

// `f64::ln` and `f64::exp` are whatever the platform's library says, to the last bit. A plan must be the same
// everywhere, so both are built here from operations whose rounding IEEE 754 fixes.

/// The natural logarithm of a number ≥ 1, by ln(m) = 2 artanh((m-1)/(m+1)) for a mantissa m in [1, 2).
fn ln(value: f64) -> f64 {
    let exponent = (value.to_bits() >> 52) as i32 - 1023;
    let mantissa = f64::from_bits(value.to_bits() & ((1 << 52) - 1) | 1023 << 52);
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let mut term = z;
    let mut sum = 0.0;
    for n in 0..24 {
        sum += term / f64::from(2 * n + 1);
        term *= z * z;
    }
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * sum
}

/// The exponential of a number in [-700, 0].
fn exp(value: f64) -> f64 {
    let value = value.max(-700.0);
    let halvings = (value / -std::f64::consts::LN_2) as i32;
    let rest = value + f64::from(halvings) * std::f64::consts::LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..22 {
        term *= rest / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((1023 - halvings) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_logarithm_and_exponential_agree_with_the_library_to_many_digits() {
        for rank in [1.0, 1.5, 2.0, 3.0, 7.0, 500.0, 123_456.0, 4e9] {
            assert!((ln(rank) - f64::ln(rank)).abs() < 1e-13, "ln {rank}");
        }
        for value in [0.0, -0.1, -1.0, -5.5, -22.0, -300.0] {
            assert!((exp(value) / f64::exp(value) - 1.0).abs() < 1e-12, "exp {value}");
        }
    }

    #[test]
    fn a_low_rank_is_drawn_as_often_as_its_weight_says() {
        let sampler = KeySampler::new(&Keys::Zipf { count: 100, exponent: 1.0 }, 0, 1);
        let mut counts = [0_u32; 100];
        for seq in 0..100_000 {
            counts[sampler.slot(9, seq).unwrap() as usize] += 1;
        }
        let harmonic: f64 = (1..=100).map(|k| 1.0 / f64::from(k)).sum();
        for rank in [1, 2, 10] {
            let expected = 100_000.0 / f64::from(rank) / harmonic;
            let seen = f64::from(counts[rank as usize - 1]);
            assert!((seen / expected - 1.0).abs() < 0.1, "rank {rank}: {seen} of {expected}");
        }
    }

    #[test]
    fn instances_own_disjoint_keys_that_together_are_all() {
        let mut seen = [0; 10];
        for instance in 0..3 {
            let sampler = KeySampler::new(&Keys::Uniform { count: 10 }, instance, 3);
            (0..sampler.owned()).for_each(|slot| seen[sampler.key(slot) as usize] += 1);
        }
        assert_eq!(seen, [1; 10]);
    }
}
