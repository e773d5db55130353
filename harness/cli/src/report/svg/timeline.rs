//! The course of a cell: panels on one time axis, with the faults through all of them.

use std::fmt::Write as _;

use mqproof_core::verdict::{CellResult, FaultBand, Slot, Timeline};

use super::canvas::{Anchor, Canvas, text_width};
use super::scale::Scale;
use crate::report::text::{span, thousands};

const WIDTH: f64 = 1120.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 1112.0;
const LABEL_ROW: f64 = 15.0;
/// Room above a panel for its title.
const GAP: f64 = 30.0;
const LANE: f64 = 16.0;
/// More points than this are folded: a screen shows no more.
const POINTS_MAX: usize = 260;
/// More rows of fault labels than this would push the chart off the page; the faults table has them all.
const LABEL_ROWS_MAX: usize = 5;
const OUTAGE_ROWS_MAX: usize = 3;
/// Deliveries are drawn up to this many times the fastest rate of acknowledgement; what is cut is said.
const PEAK_SHOWN: f64 = 2.0;

/// Draws the timeline of a cell. `id` is unique on the page.
pub fn timeline(cell: &CellResult, timeline: &Timeline, id: &str) -> String {
    let mut timeline = timeline.clone();
    // Where nothing is acknowledged, no outage of acknowledgements can be seen.
    if cell.metrics.acked.is_none() {
        timeline.outages.clear();
    }
    draw(cell, &timeline, id)
}

fn draw(cell: &CellResult, timeline: &Timeline, id: &str) -> String {
    let points = fold(timeline);
    let end_ms = (timeline.slots.len() as f64 * timeline.slot_ms as f64).max(timeline.load_end_ms);
    let x = Scale::linear(0.0, end_ms, LEFT, RIGHT);
    let labels = place_labels(&timeline.faults, &x);
    let rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
    let top = rows as f64 * LABEL_ROW + 4.0;
    let panels = [(top + GAP, 104.0), (top + 2.0 * GAP + 104.0, 72.0), (top + 3.0 * GAP + 176.0, 56.0)];
    let outages = timeline.outages.len().min(OUTAGE_ROWS_MAX);
    let lanes = top + 3.0 * GAP + 232.0 + 14.0;
    let leader_at = lanes + outages as f64 * (LANE + 3.0);
    let bottom = leader_at + if timeline.leaders.is_empty() { 0.0 } else { LANE + 3.0 };
    let title = format!("{} on {}: the course of events", cell.scenario, cell.system.name);
    let mut canvas = Canvas::new(id, WIDTH, bottom + 24.0, &title, &described(cell, timeline));

    for fault in &timeline.faults {
        let from = x.at(fault.from_ms);
        let size = ((x.at(fault.until_ms) - from).max(1.0), bottom - top - 8.0);
        canvas.rect("fault", from, top + 8.0, size, &fault.label);
        canvas.line("fault-edge", (from, top + 8.0), (from, bottom));
    }
    for label in &labels {
        canvas.text(
            "fault-label",
            label.x,
            (label.row as f64 + 1.0) * LABEL_ROW - 3.0,
            Anchor::Start,
            &label.text,
        );
    }
    rate_panel(&mut canvas, &points, panels[0], &x);
    latency_panel(&mut canvas, &points, panels[1], &x);
    backlog_panel(&mut canvas, &points, panels[2], &x);
    outage_lane(&mut canvas, timeline, lanes, end_ms, &x);
    leader_lane(&mut canvas, timeline, leader_at, end_ms, &x);
    time_axis(&mut canvas, timeline, (top + 8.0, bottom), end_ms, &x);
    canvas.finish()
}

/// One or several slots as one point.
struct Point {
    at_ms: f64,
    acked_per_s: f64,
    delivered_per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    backlog: u64,
}

/// Folds slots so that no more than `POINTS_MAX` points remain: rates are means, p99 and backlog the maximum.
fn fold(timeline: &Timeline) -> Vec<Point> {
    let fold = timeline.slots.len().div_ceil(POINTS_MAX).max(1);
    let chunk_ms = (fold as u64 * timeline.slot_ms) as f64;
    let point = |(index, slots): (usize, &[Slot])| {
        let width_s = slots.len() as f64 * timeline.slot_ms as f64 / 1000.0;
        let sum = |field: fn(&Slot) -> u32| slots.iter().map(|slot| f64::from(field(slot))).sum::<f64>();
        let acks = slots.iter().filter(|slot| slot.ack_p50_us.is_some());
        let weight: f64 = acks.clone().map(|slot| f64::from(slot.acked)).sum();
        let median: f64 =
            acks.map(|slot| f64::from(slot.acked) * f64::from(slot.ack_p50_us.unwrap_or_default())).sum();
        Point {
            at_ms: (index as f64 + 0.5) * chunk_ms,
            acked_per_s: sum(|slot| slot.acked) / width_s,
            delivered_per_s: sum(|slot| slot.delivered) / width_s,
            p50_ms: (weight > 0.0).then(|| median / weight / 1000.0),
            p99_ms: slots.iter().filter_map(|slot| slot.ack_p99_us).max().map(|us| f64::from(us) / 1000.0),
            backlog: slots.iter().map(|slot| slot.backlog).max().unwrap_or(0),
        }
    };
    timeline.slots.chunks(fold).enumerate().map(point).collect()
}

fn grid(canvas: &mut Canvas, y: &Scale, most: usize, text: impl Fn(f64) -> String) {
    for tick in y.ticks(most) {
        let at = y.at(tick);
        canvas.line("grid", (LEFT, at), (RIGHT, at));
        canvas.text("tick", LEFT - 8.0, at + 4.0, Anchor::End, &text(tick));
    }
}

fn rate_panel(canvas: &mut Canvas, points: &[Point], (top, height): (f64, f64), x: &Scale) {
    let acked = points.iter().map(|point| point.acked_per_s).fold(0.0, f64::max);
    let delivered = points.iter().map(|point| point.delivered_per_s).fold(0.0, f64::max);
    // A consumer that catches up is ten times as fast for a moment; drawn whole, it would flatten everything else.
    let cut = acked > 0.0 && delivered > PEAK_SHOWN * acked;
    let most = if cut { PEAK_SHOWN * acked } else { acked.max(delivered).max(1.0) };
    let peak =
        if cut { format!("· delivered peaks at {}", thousands(delivered as u64)) } else { String::new() };
    let y = Scale::from_zero(most, top + height, top);
    canvas.words(
        LEFT,
        top - 9.0,
        &[
            ("name acked", "acknowledged"),
            ("unit", "and"),
            ("name delivered", "delivered"),
            ("unit", "messages/s"),
            ("unit", &peak),
        ],
    );
    grid(canvas, &y, 3, |tick| thousands(tick as u64));
    let line = |value: fn(&Point) -> f64| -> Vec<_> {
        points.iter().map(|point| Some((x.at(point.at_ms), y.at(value(point))))).collect()
    };
    canvas.path("line delivered", &line(|point| point.delivered_per_s));
    canvas.path("line acked", &line(|point| point.acked_per_s));
}

fn latency_panel(canvas: &mut Canvas, points: &[Point], (top, height): (f64, f64), x: &Scale) {
    let least = points.iter().filter_map(|point| point.p50_ms).fold(f64::INFINITY, f64::min);
    let most = points.iter().filter_map(|point| point.p99_ms.or(point.p50_ms)).fold(0.0, f64::max);
    if most <= 0.0 {
        canvas.words(LEFT, top - 9.0, &[("name", "ack latency"), ("unit", "no acknowledgements to measure")]);
        canvas.line("grid", (LEFT, top + height), (RIGHT, top + height));
        return;
    }
    // Both the calm and the storm must be legible, so a wide range is drawn by logarithm, and says so.
    let wide = most > 20.0 * least;
    let y = if wide {
        Scale::log(least, most, top + height, top)
    } else {
        Scale::from_zero(most, top + height, top)
    };
    let unit = if wide { "ms, logarithmic" } else { "ms" };
    canvas.words(
        LEFT,
        top - 9.0,
        &[
            ("name", "ack latency"),
            ("name acked", "p50"),
            ("unit", "to"),
            ("name p99", "p99"),
            ("unit", unit),
        ],
    );
    grid(canvas, &y, 3, number);
    let band: Vec<_> = points
        .iter()
        .map(|point| Some((x.at(point.at_ms), y.at(point.p50_ms?), y.at(point.p99_ms?))))
        .collect();
    canvas.band("p99-band", &band);
    let upper: Vec<_> = points.iter().map(|point| Some((x.at(point.at_ms), y.at(point.p99_ms?)))).collect();
    canvas.path("line p99", &upper);
    let median: Vec<_> = points.iter().map(|point| Some((x.at(point.at_ms), y.at(point.p50_ms?)))).collect();
    canvas.path("line acked", &median);
}

fn backlog_panel(canvas: &mut Canvas, points: &[Point], (top, height): (f64, f64), x: &Scale) {
    let most = points.iter().map(|point| point.backlog).max().unwrap_or(0);
    let y = Scale::from_zero((most as f64).max(10.0), top + height, top);
    canvas.words(
        LEFT,
        top - 9.0,
        &[("name", "backlog"), ("unit", "messages acknowledged, not yet delivered")],
    );
    grid(canvas, &y, 3, |tick| thousands(tick as u64));
    let line: Vec<_> =
        points.iter().map(|point| Some((x.at(point.at_ms), y.at(point.backlog as f64)))).collect();
    let area: Vec<_> = line.iter().map(|point| point.map(|(px, py)| (px, y.at(0.0), py))).collect();
    canvas.band("backlog-band", &area);
    canvas.path("line backlog", &line);
}

fn outage_lane(canvas: &mut Canvas, timeline: &Timeline, top: f64, end_ms: f64, x: &Scale) {
    for (row, outage) in timeline.outages.iter().take(OUTAGE_ROWS_MAX).enumerate() {
        let y = top + row as f64 * (LANE + 3.0);
        if row == 0 {
            canvas.text("tick", LEFT - 8.0, y + 12.0, Anchor::End, "outage");
        }
        let (from, until) = (x.at(outage.from_ms), x.at(outage.until_ms.unwrap_or(end_ms)));
        let long = match outage.until_ms {
            Some(until_ms) => span(until_ms - outage.from_ms),
            None => format!("not over after {}", span(end_ms - outage.from_ms)),
        };
        let mut text = format!("{} {long}", outage.partition);
        let hidden = timeline.outages.len() - OUTAGE_ROWS_MAX.min(timeline.outages.len());
        if row + 1 == OUTAGE_ROWS_MAX && hidden > 0 {
            let _ = write!(text, " · {hidden} more");
        }
        let hint = format!("outage of {text}");
        let width = text_width(&text) * 1.06;
        let (at, anchor) = if until + 8.0 + width < RIGHT {
            (until + 6.0, Anchor::Start)
        } else if from - 8.0 - width > LEFT {
            (from - 6.0, Anchor::End)
        } else {
            // No room on either side: the bar is long, and its name stands in it.
            canvas.rect("outage", from, y + 1.0, (until - from, 14.0), &hint);
            canvas.text("outage-inside", f64::midpoint(from, until), y + 12.0, Anchor::Middle, &text);
            continue;
        };
        canvas.rect("outage", from, y + 4.0, (until - from, 8.0), &hint);
        canvas.text("outage-label", at, y + 12.0, anchor, &text);
    }
}

fn leader_lane(canvas: &mut Canvas, timeline: &Timeline, top: f64, end_ms: f64, x: &Scale) {
    if timeline.leaders.is_empty() {
        return;
    }
    canvas.text("tick", LEFT - 8.0, top + 12.0, Anchor::End, "leader");
    let partition = timeline.leader_partition.as_deref().unwrap_or_default();
    for (index, leader) in timeline.leaders.iter().enumerate() {
        let (from, until) = (x.at(leader.from_ms), x.at(leader.until_ms.min(end_ms)));
        let (long, short) = match leader.node {
            Some(node) if leader.epoch >= 0 => {
                (format!("node {node}, epoch {}", leader.epoch), node.to_string())
            }
            Some(node) => (format!("node {node}"), node.to_string()),
            None => ("no leader".to_owned(), String::new()),
        };
        let hint = format!("{partition} {long}, {} to {}", span(leader.from_ms), span(leader.until_ms));
        let class = match leader.node {
            Some(_) if index % 2 == 0 => "leader",
            Some(_) => "leader other",
            None => "leader nobody",
        };
        canvas.rect(class, from, top, (until - from - 1.0, LANE), hint.trim());
        let named =
            if index == 0 && !partition.is_empty() { format!("{partition}: {long}") } else { long.clone() };
        let fits = |text: &String| text_width(text) + 8.0 < until - from;
        if let Some(text) = [named, long, short].into_iter().find(fits) {
            canvas.text("leader-label", f64::midpoint(from, until), top + 12.0, Anchor::Middle, &text);
        }
    }
}

fn time_axis(canvas: &mut Canvas, timeline: &Timeline, (top, bottom): (f64, f64), end_ms: f64, x: &Scale) {
    let end = x.at(timeline.load_end_ms);
    if timeline.load_end_ms < end_ms * 0.99 {
        canvas.line("load-end", (end, top), (end, bottom));
        let (at, anchor) =
            if end + 64.0 < RIGHT { (end + 5.0, Anchor::Start) } else { (end - 5.0, Anchor::End) };
        canvas.text("tick", at, top + 9.0, anchor, "load ends");
    }
    canvas.line("axis", (LEFT, bottom + 2.0), (RIGHT, bottom + 2.0));
    for tick in x.ticks(10) {
        let at = x.at(tick);
        canvas.line("axis", (at, bottom + 2.0), (at, bottom + 6.0));
        let anchor = if at > RIGHT - 16.0 { Anchor::End } else { Anchor::Middle };
        canvas.text("tick", at, bottom + 19.0, anchor, &format!("{} s", number(tick / 1000.0)));
    }
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        thousands(value.round() as u64)
    } else {
        format!("{}", (value * 1000.0).round() / 1000.0)
    }
}

struct Label {
    text: String,
    x: f64,
    row: usize,
}

/// Labels of faults above the panels: each at the start of its band, in the first row where it touches no other. Faults of
/// the same name share one label.
fn place_labels(faults: &[FaultBand], x: &Scale) -> Vec<Label> {
    let mut names: Vec<(&str, f64, usize)> = Vec::new();
    for fault in faults {
        match names.iter_mut().find(|(name, ..)| *name == fault.label) {
            Some((_, _, count)) => *count += 1,
            None => names.push((&fault.label, fault.from_ms, 1)),
        }
    }
    names.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut labels: Vec<Label> = Vec::new();
    // Rows fill from the bottom: the last fault to begin stands nearest to the panels.
    let mut ends: Vec<f64> = Vec::new();
    for (name, from_ms, count) in names {
        let text = if count > 1 { format!("{name} ×{count}") } else { name.to_owned() };
        let width = text_width(&text) * 1.06;
        let at = x.at(from_ms).min(RIGHT - width).max(LEFT);
        let free = ends.iter().position(|end| end + 12.0 < at);
        let row = free.unwrap_or(ends.len());
        if row >= LABEL_ROWS_MAX {
            continue;
        }
        if row == ends.len() {
            ends.push(0.0);
        }
        ends[row] = at + width;
        labels.push(Label { text, x: at, row });
    }
    labels
}

/// What the picture shows, in words.
fn described(cell: &CellResult, timeline: &Timeline) -> String {
    let mut sentences = vec![format!(
        "Acknowledged and delivered messages per second, acknowledgement latency and backlog over {}.",
        span(timeline.slots.len() as f64 * timeline.slot_ms as f64)
    )];
    for fault in timeline.faults.iter().take(8) {
        sentences.push(format!("{} from {} to {}.", fault.label, span(fault.from_ms), span(fault.until_ms)));
    }
    for outage in timeline.outages.iter().take(8) {
        let until = outage.until_ms.map_or_else(
            || "not over within the run".to_owned(),
            |until| format!("lasting {}", span(until - outage.from_ms)),
        );
        sentences.push(format!("Outage of {} at {}, {until}.", outage.partition, span(outage.from_ms)));
    }
    if let Some(most) = timeline.slots.iter().map(|slot| slot.backlog).max() {
        sentences.push(format!("Largest backlog {}.", thousands(most)));
    }
    sentences.push(format!("Verdict: {}.", cell.verdict));
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(label: &str, from_ms: f64) -> FaultBand {
        FaultBand { label: label.to_owned(), from_ms, until_ms: from_ms + 100.0 }
    }

    #[test]
    fn labels_that_would_touch_stand_in_rows() {
        let x = Scale::linear(0.0, 10_000.0, LEFT, RIGHT);
        let faults = [
            band("kill leader of orders/1 (node 3)", 4000.0),
            band("stall followers", 4100.0),
            band("cut", 9000.0),
        ];
        let rows: Vec<usize> = place_labels(&faults, &x).iter().map(|label| label.row).collect();
        assert_eq!(rows, [0, 1, 0]);
    }

    #[test]
    fn a_label_at_the_edge_stays_inside() {
        let x = Scale::linear(0.0, 10_000.0, LEFT, RIGHT);
        let labels = place_labels(&[band("kill leader of orders/1 (node 3)", 9990.0)], &x);
        assert!(labels[0].x + text_width(&labels[0].text) <= RIGHT);
    }

    #[test]
    fn repeated_faults_share_a_label() {
        let x = Scale::linear(0.0, 10_000.0, LEFT, RIGHT);
        let faults: Vec<_> = (0..40).map(|index| band("pause node 2", f64::from(index) * 200.0)).collect();
        let labels = place_labels(&faults, &x);
        assert_eq!(labels.iter().map(|label| label.text.as_str()).collect::<Vec<_>>(), ["pause node 2 ×40"]);
    }

    #[test]
    fn a_long_run_is_folded_and_keeps_its_peaks() {
        let mut slots =
            vec![Slot { acked: 10, ack_p50_us: Some(1000), ack_p99_us: Some(2000), ..Slot::default() }; 5000];
        slots[4321].ack_p99_us = Some(900_000);
        slots[1234].backlog = 77;
        let points = fold(&Timeline { slot_ms: 10, slots, ..Timeline::default() });
        assert!(points.len() <= POINTS_MAX);
        let peak = points.iter().filter_map(|point| point.p99_ms).fold(0.0, f64::max);
        assert!((peak - 900.0).abs() < 1e-9);
        assert_eq!(points.iter().map(|point| point.backlog).max(), Some(77));
        assert!(points.iter().all(|point| (point.acked_per_s - 1000.0).abs() < 1e-6));
    }
}
