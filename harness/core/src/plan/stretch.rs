//! The clock of a scenario, slowed down for products that notice the death of a node in seconds.

use super::types::{Expectation, Pace, Plan, Trigger};
use crate::property::Property;

impl Plan {
    /// The same plan, `factor` times slower: loads last longer at the same rate, faults come later and last longer, and
    /// durations that are asked for are that much longer. Rates, latencies and the window of recovery stay.
    #[must_use]
    pub fn stretched(mut self, factor: u32) -> Self {
        let times = u64::from(factor.max(1));
        for producer in &mut self.producers {
            producer.from_ns *= times;
            producer.until_ns = producer.until_ns.saturating_mul(times);
            if matches!(producer.pace, Pace::Open { .. }) {
                producer.total = producer.total.map(|total| total.saturating_mul(times));
            }
            if let Some(transactions) = &mut producer.transactions {
                transactions.timeout_ms *= times;
            }
        }
        for consumer in &mut self.consumers {
            consumer.from_ns *= times;
            for crash in &mut consumer.crashes {
                crash.at_ms *= times;
                crash.for_ms *= times;
            }
        }
        for fault in &mut self.faults {
            if let Trigger::AtMs(ms) = &mut fault.trigger {
                *ms *= times;
            }
            fault.for_ms = fault.for_ms.map(|ms| ms * times);
        }
        for (property, expectation) in &mut self.expect {
            if let (Property::Rto | Property::Drain, Expectation::Bound { min, max }) =
                (property, expectation)
            {
                *min = min.map(|bound| bound * times as f64);
                *max = max.map(|bound| bound * times as f64);
            }
        }
        self.load_ms *= times;
        self.stretch *= factor.max(1);
        self.count();
        self
    }
}
