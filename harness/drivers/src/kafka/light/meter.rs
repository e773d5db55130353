//! What a load counts while it runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Shared by the threads of a load and by whoever watches them.
pub struct Meter {
    records: AtomicU64,
    is_over: AtomicBool,
    /// Latencies of what was to be sent from here on are kept, CLOCK_MONOTONIC.
    window_from_ns: AtomicU64,
    /// Those of what was to be sent from here on are not.
    window_until_ns: AtomicU64,
    latency: Mutex<Latency>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            records: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            window_from_ns: AtomicU64::new(u64::MAX),
            window_until_ns: AtomicU64::new(u64::MAX),
            latency: Mutex::default(),
        }
    }
}

impl Meter {
    /// Records that were acknowledged or read.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// So many more.
    pub fn add(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// Asks the threads to stop: nothing new is sent, and what is under way is waited for.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether they were asked to.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// From this moment on (CLOCK_MONOTONIC) latencies are kept.
    pub fn open_window(&self, from_ns: u64) {
        self.window_from_ns.store(from_ns, Ordering::Relaxed);
    }

    /// Until this moment.
    pub fn close_window(&self, until_ns: u64) {
        self.window_until_ns.store(until_ns, Ordering::Relaxed);
    }

    /// Whether the latency of what was to be sent at this moment counts.
    pub fn is_in_window(&self, due_ns: u64) -> bool {
        (self.window_from_ns.load(Ordering::Relaxed)..self.window_until_ns.load(Ordering::Relaxed))
            .contains(&due_ns)
    }

    /// Adds the latencies of one thread.
    pub fn add_latency(&self, of_thread: &Latency) {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).merge(of_thread);
    }

    /// Those of all threads that have ended.
    pub fn latency(&self) -> Latency {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A distribution of latencies.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    /// From a microsecond to a minute, to three digits.
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("the bounds are good"))
    }
}

impl Latency {
    /// One more, ns.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// All of another.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// So large a share of them (0 to 1) was not slower than this; None where there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(share)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_due_in_the_window_counts() {
        let meter = Meter::default();
        assert!(!meter.is_in_window(5), "no window is open yet");
        meter.open_window(5);
        assert!(!meter.is_in_window(4) && meter.is_in_window(5) && meter.is_in_window(100));
        meter.close_window(100);
        assert!(meter.is_in_window(99) && !meter.is_in_window(100));
    }

    #[test]
    fn quantiles_are_those_of_all_threads() {
        let meter = Meter::default();
        assert_eq!(meter.latency().quantile(0.5), None);
        for part in [1..=50_u64, 51..=100] {
            let mut latency = Latency::default();
            part.for_each(|ms| latency.record(ms * 1_000_000));
            meter.add_latency(&latency);
        }
        let latency = meter.latency();
        assert_eq!(latency.count(), 100);
        let ms = |share| latency.quantile(share).expect("there are some").as_millis();
        assert_eq!([ms(0.5), ms(0.99), ms(1.0)], [50, 99, 100]);
    }
}
