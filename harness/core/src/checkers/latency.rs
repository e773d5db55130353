//! Latencies: a histogram over a run, and a sketch per slot.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// One hour, the largest latency that is told apart, µs.
const LATENCY_US_MAX: u64 = 3_600_000_000;

/// Latencies of operations, µs, three digits; operations that never completed stand at the least they can have taken.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    /// Operations that never completed.
    pub censored: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("these bounds are valid");
        Self { histogram, censored: 0 }
    }
}

impl Latency {
    /// An operation completed after so many nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record((ns / 1000).max(1));
    }

    /// An operation had not completed after so many nanoseconds, and never did.
    pub fn record_censored(&mut self, ns: u64) {
        self.record(ns);
        self.censored += 1;
    }

    /// Number of operations, censored ones included.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that this share of operations did not exceed, µs.
    pub fn quantile_us(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// The largest, µs.
    pub fn max_us(&self) -> u64 {
        self.histogram.max()
    }
}

/// Latencies of one slot, in buckets that are 1/16 of their value wide.
#[derive(Clone, Debug, Default)]
pub struct Sketch(BTreeMap<u16, u32>);

impl Sketch {
    /// Counts one.
    pub fn record(&mut self, ns: u64) {
        *self.0.entry(bucket(ns / 1000)).or_default() += 1;
    }

    /// The latency that this share did not exceed, µs; None without any.
    pub fn quantile_us(&self, quantile: f64) -> Option<u32> {
        let total: u64 = self.0.values().map(|&count| u64::from(count)).sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut below = 0;
        self.0.iter().find_map(|(&bucket, &count)| {
            below += u64::from(count);
            (below >= rank).then(|| value(bucket))
        })
    }
}

fn bucket(us: u64) -> u16 {
    if us < 16 {
        return us as u16;
    }
    let exponent = us.ilog2();
    (((exponent - 3) << 4) | (us >> (exponent - 4)) as u32 & 15) as u16
}

/// The upper end of a bucket.
fn value(bucket: u16) -> u32 {
    if bucket < 16 {
        return u32::from(bucket);
    }
    let exponent = u32::from(bucket >> 4) + 3;
    let low = (16 + u64::from(bucket & 15)) << (exponent - 4);
    (low + (1u64 << (exponent - 4)) - 1).min(u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_is_right_to_one_sixteenth() {
        for us in [0, 1, 15, 16, 17, 31, 32, 100, 999, 12_345, 7_000_000] {
            let mut sketch = Sketch::default();
            sketch.record(us * 1000);
            let seen = u64::from(sketch.quantile_us(0.5).unwrap());
            assert!(seen >= us && seen <= us + us / 16, "{us} became {seen}");
        }
    }

    #[test]
    fn an_empty_sketch_has_no_quantile() {
        assert_eq!(Sketch::default().quantile_us(0.99), None);
    }
}
