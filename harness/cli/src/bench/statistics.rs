//! The median of paired measurements and how far it can be trusted. Pure functions.
//!
//! The interval is that of the sign test: it assumes nothing of the distribution, only that pairs are independent. Each
//! paired ratio lies above the true median with probability one half, so that the k-th smallest and the k-th largest of n
//! enclose it with a probability that can be counted. Six pairs are the fewest whose extremes do so in 95 of 100 cases.

use serde::Serialize;

/// How sure an interval should be, where there are enough pairs for it.
const WANTED: f64 = 0.95;

/// One system against the other, over all rounds in which both were measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// The median of the ratios of the pairs.
    pub median: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// With which probability the interval holds the true median; below 0.95 where there are fewer than six pairs.
    pub coverage: f64,
    /// The ratio of each round.
    pub pairs: Vec<f64>,
}

/// The middle value; the mean of the two in the middle of an even number of them. None of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The ratio of two systems, round by round; None where no round has both, or where it is divided by nothing.
pub fn ratio(above: &[Option<f64>], below: &[Option<f64>]) -> Option<Ratio> {
    let pairs: Vec<f64> = above
        .iter()
        .zip(below)
        .filter_map(|(above, below)| Some(((*above)?, (*below)?)))
        .filter(|(_, below)| *below > 0.0)
        .map(|(above, below)| above / below)
        .collect();
    let (low, high, coverage) = interval(&pairs)?;
    Some(Ratio { median: median(&pairs)?, low, high, coverage, pairs })
}

/// The narrowest pair of order statistics that covers the median as surely as is wanted, else the extremes.
fn interval(values: &[f64]) -> Option<(f64, f64, f64)> {
    let sorted = sorted(values);
    let count = sorted.len();
    let from_end =
        (0..count.div_ceil(2)).rev().find(|skipped| coverage(count, *skipped) >= WANTED).unwrap_or(0);
    let (low, high) = (*sorted.get(from_end)?, sorted[count - 1 - from_end]);
    Some((low, high, coverage(count, from_end)))
}

/// The probability that the true median lies between the values that remain when so many are left out at each end: no more
/// than that many heads, and no more than that many tails, in so many tosses.
fn coverage(count: usize, left_out: usize) -> f64 {
    let mut ways = 1.0;
    let mut outside = 0.0;
    for heads in 0..=left_out {
        outside += ways;
        ways *= (count - heads) as f64 / (heads + 1) as f64;
    }
    (1.0 - 2.0 * outside / 2_f64.powi(count as i32)).max(0.0)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn the_ratio_is_that_of_the_pairs_and_not_of_the_medians() {
        // The third round was slow for both: the ratio of the medians would be 2.5.
        let ratio = ratio(&all(&[200.0, 250.0, 20.0]), &all(&[100.0, 125.0, 10.0])).expect("three pairs");
        assert_eq!((ratio.median, ratio.low, ratio.high), (2.0, 2.0, 2.0));
        assert_eq!(ratio.pairs, [2.0, 2.0, 2.0]);
    }

    #[test]
    fn six_pairs_are_the_fewest_whose_extremes_cover_95_percent() {
        let six = ratio(&all(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), &all(&[1.0; 6])).expect("six pairs");
        assert_eq!((six.low, six.median, six.high, six.coverage), (1.0, 3.5, 6.0, 1.0 - 2.0 / 64.0));
        let five = ratio(&all(&[1.0, 2.0, 3.0, 4.0, 5.0]), &all(&[1.0; 5])).expect("five pairs");
        assert_eq!((five.low, five.high, five.coverage), (1.0, 5.0, 1.0 - 2.0 / 32.0));
    }

    #[test]
    fn with_more_pairs_the_extremes_are_left_out() {
        // Binomial with 12 tosses: 1 + 12 + 66 of 4096 at each end.
        let values: Vec<f64> = (1..=12).map(f64::from).collect();
        let twelve = ratio(&all(&values), &all(&[1.0; 12])).expect("twelve pairs");
        assert_eq!((twelve.low, twelve.high), (3.0, 10.0));
        assert!((twelve.coverage - (1.0 - 2.0 * 79.0 / 4096.0)).abs() < 1e-12);
        // Of ten: 1 + 10 of 1024, where one more at each end would leave 89 %.
        let ten = ratio(&all(&values[..10]), &all(&[1.0; 10])).expect("ten pairs");
        assert_eq!((ten.low, ten.high), (2.0, 9.0));
    }

    #[test]
    fn rounds_without_both_and_divisions_by_nothing_are_no_pairs() {
        let ratio = ratio(&[Some(4.0), None, Some(6.0), Some(5.0)], &[Some(2.0), Some(1.0), None, Some(0.0)]);
        assert_eq!(ratio.expect("one pair").pairs, [2.0]);
        assert_eq!(super::ratio(&[None], &[Some(1.0)]), None);
        assert_eq!(super::ratio(&[], &[]), None);
    }

    #[test]
    fn one_pair_covers_nothing() {
        let one = ratio(&all(&[3.0]), &all(&[2.0])).expect("one pair");
        assert_eq!((one.median, one.low, one.high, one.coverage), (1.5, 1.5, 1.5, 0.0));
    }
}
