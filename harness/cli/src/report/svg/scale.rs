//! From values to places.

/// A linear or logarithmic axis.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// `low..high` onto `from..to`.
    pub fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, from, to, log: false }
    }

    /// The same by logarithm; bounds are widened to 1, 2 or 5 times a power of ten.
    pub fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        let low = step_below(low.max(1e-9));
        let high = step_above(high.max(low * 2.0));
        Self { low, high, from, to, log: true }
    }

    /// From zero to a round number not below `high`.
    pub fn from_zero(high: f64, from: f64, to: f64) -> Self {
        let step = step_above(high.max(1e-9) / 4.0);
        Self::linear(0.0, (high / step).ceil().max(1.0) * step, from, to)
    }

    /// Where a value stands; values outside are held at the edge.
    pub fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values, at most about `most` of them.
    pub fn ticks(&self, most: usize) -> Vec<f64> {
        if self.log {
            return self.powers();
        }
        let step = step_above((self.high - self.low) / most.max(1) as f64);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn powers(&self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let inside = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
        let tens: Vec<f64> = (first..=last).map(|power| 10_f64.powi(power)).filter(inside).collect();
        if tens.len() > 1 {
            return tens;
        }
        (first..=last)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10_f64.powi(power)))
            .filter(inside)
            .collect()
    }
}

/// The least of 1, 2, 5 × 10ⁿ that is not below a value.
fn step_above(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    steps.into_iter().find(|step| *step >= value * 0.999_999).unwrap_or(10.0 * power)
}

/// The greatest that is not above.
fn step_below(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|m| m * power);
    steps.into_iter().find(|step| *step <= value * 1.000_001).unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn an_axis_from_zero_ends_at_a_round_number() {
        let scale = Scale::from_zero(3521.0, 100.0, 0.0);
        assert!((scale.at(4000.0) - 0.0).abs() < 1e-9);
        assert!((scale.at(0.0) - 100.0).abs() < 1e-9);
        assert_eq!(scale.ticks(2), [0.0, 2000.0, 4000.0]);
    }

    #[test]
    fn a_logarithmic_axis_has_a_tick_at_each_power_of_ten() {
        let scale = Scale::log(0.4, 212.0, 0.0, 300.0);
        assert_eq!(scale.ticks(5), [1.0, 10.0, 100.0]);
        assert!(scale.at(10.0) > scale.at(1.0));
        assert!((scale.at(1e9) - 300.0).abs() < 1e-9);
    }

    #[test]
    fn a_flat_axis_does_not_divide_by_zero() {
        assert!(Scale::linear(5.0, 5.0, 0.0, 10.0).at(5.0).is_finite());
        assert!(Scale::from_zero(0.0, 0.0, 10.0).at(0.0).is_finite());
    }
}
