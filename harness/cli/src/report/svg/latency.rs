//! Latency percentiles of many cells on one logarithmic axis: a row per cell, so that labels never collide.

use mqproof_core::verdict::Quantiles;

use super::canvas::{Anchor, Canvas};
use super::scale::Scale;
use crate::report::text::span;

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 380.0;
const RIGHT: f64 = 880.0;
const ROW: f64 = 24.0;
const TOP: f64 = 30.0;

/// One row.
pub struct Row {
    /// What it is about.
    pub label: String,
    /// The class of the system's colour.
    pub class: String,
    /// What was measured.
    pub quantiles: Quantiles,
}

/// Draws a row per cell: a bar from the median to p99, a thin line to p99.9, the numbers beside it.
pub fn latency(id: &str, title: &str, rows: &[Row]) -> String {
    let ms = |us: u64| us as f64 / 1000.0;
    let least = rows.iter().map(|row| ms(row.quantiles.p50)).fold(f64::INFINITY, f64::min);
    let most = rows.iter().map(|row| ms(row.quantiles.p999)).fold(0.001, f64::max);
    let x = Scale::log(least.min(most), most, LEFT, RIGHT);
    let bottom = TOP + rows.len() as f64 * ROW;
    let words: Vec<String> =
        rows.iter().take(20).map(|row| format!("{}: {}", row.label, in_words(&row.quantiles))).collect();
    let mut canvas = Canvas::new(id, WIDTH, bottom + 30.0, title, &words.join("; "));
    for (at, text) in [(RIGHT + 70.0, "p50"), (RIGHT + 150.0, "p99"), (RIGHT + 232.0, "p99.9")] {
        canvas.text("tick", at, TOP - 14.0, Anchor::End, text);
    }
    canvas.text("tick", LEFT, TOP - 14.0, Anchor::Start, "dot p50 · bar to p99 · line to p99.9");
    for tick in x.ticks(6) {
        let at = x.at(tick);
        canvas.line("grid", (at, TOP - 4.0), (at, bottom));
        canvas.text("tick", at, bottom + 18.0, Anchor::Middle, &axis_label(tick));
    }
    for (index, row) in rows.iter().enumerate() {
        let y = TOP + (index as f64 + 0.5) * ROW;
        let q = &row.quantiles;
        let at = |us| x.at(ms(us));
        canvas.text("label", LEFT - 14.0, y + 4.0, Anchor::End, &row.label);
        canvas.line(&format!("whisker {}", row.class), (at(q.p50), y), (at(q.p999), y));
        canvas.line(&format!("bar {}", row.class), (at(q.p50), y), (at(q.p99), y));
        canvas.dot(&format!("dot {}", row.class), at(q.p50), y, 4.0);
        canvas.line(&format!("whisker {}", row.class), (at(q.p999), y - 4.0), (at(q.p999), y + 4.0));
        for (place, us, share) in
            [(RIGHT + 70.0, q.p50, 0.5), (RIGHT + 150.0, q.p99, 0.99), (RIGHT + 232.0, q.p999, 0.999)]
        {
            canvas.text("value", place, y + 4.0, Anchor::End, &bounded(q, us, share));
        }
    }
    canvas.finish()
}

fn axis_label(ms: f64) -> String {
    if ms >= 1000.0 { format!("{} s", ms / 1000.0) } else { format!("{ms} ms") }
}

/// `≥` where samples that never completed reach down to the quantile.
pub fn bounded(quantiles: &Quantiles, us: u64, share: f64) -> String {
    let reached = quantiles.count as f64 * (1.0 - share);
    let sign = if quantiles.censored > 0 && quantiles.censored as f64 >= reached { "≥ " } else { "" };
    format!("{sign}{}", span(us as f64 / 1000.0))
}

fn in_words(q: &Quantiles) -> String {
    format!(
        "median {}, p99 {}, p99.9 {}",
        bounded(q, q.p50, 0.5),
        bounded(q, q.p99, 0.99),
        bounded(q, q.p999, 0.999)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quantiles_that_censored_samples_reach_are_bounds() {
        let quantiles =
            Quantiles { count: 1000, censored: 5, p50: 900, p99: 9000, p999: 50_000, ..Quantiles::default() };
        assert_eq!(bounded(&quantiles, quantiles.p99, 0.99), "9.0 ms");
        assert_eq!(bounded(&quantiles, quantiles.p999, 0.999), "≥ 50 ms");
    }
}
