//! From sent to effect: where the messages of a cell went.

use std::fmt::Write as _;

use mqproof_core::verdict::CellResult;

use super::canvas::{Anchor, Canvas};
use super::scale::Scale;
use crate::report::figure;
use crate::report::text::thousands;

const WIDTH: f64 = 540.0;
const LEFT: f64 = 128.0;
const RIGHT: f64 = 348.0;
const ROW: f64 = 28.0;

struct Row {
    label: &'static str,
    parts: Vec<(u64, &'static str)>,
    text: String,
}

/// One bar per step; None if nothing was counted. Lost is red, what is unknown stands apart.
pub fn flow(cell: &CellResult, id: &str) -> Option<String> {
    let rows = rows(cell);
    let most = rows
        .iter()
        .map(|row| row.parts.iter().map(|part| part.0).sum::<u64>())
        .max()
        .filter(|most| *most > 0)?;
    let x = Scale::linear(0.0, most as f64, 0.0, RIGHT - LEFT);
    let words: Vec<String> = rows.iter().map(|row| format!("{} {}", row.label, row.text)).collect();
    let title = format!("{} on {}: where the messages went", cell.scenario, cell.system.name);
    let mut canvas = Canvas::new(id, WIDTH, rows.len() as f64 * ROW + 4.0, &title, &words.join("; "));
    for (index, row) in rows.iter().enumerate() {
        let y = index as f64 * ROW + 4.0;
        canvas.text("label", LEFT - 12.0, y + 14.0, Anchor::End, row.label);
        let mut at = LEFT;
        for (count, class) in row.parts.iter().filter(|(count, _)| *count > 0) {
            let width = x.at(*count as f64);
            canvas.rect(class, at, y, (width, 18.0), "");
            at += width.max(0.5);
        }
        canvas.text("value", at + 9.0, y + 14.0, Anchor::Start, &row.text);
    }
    Some(canvas.finish())
}

fn rows(cell: &CellResult) -> Vec<Row> {
    let metrics = &cell.metrics;
    let mut rows = Vec::new();
    if let Some(sent) = metrics.sent {
        rows.push(Row { label: "sent", parts: vec![(sent, "flow")], text: thousands(sent) });
    }
    let unknown = metrics.unknown.unwrap_or(0);
    if let Some(acked) = metrics.acked {
        let mut text = thousands(acked);
        if unknown > 0 {
            let _ = write!(text, " · {} unknown", thousands(unknown));
        }
        if let Some(failed) = metrics.failed.filter(|failed| *failed > 0) {
            let _ = write!(text, " · {} refused", thousands(failed));
        }
        rows.push(Row {
            label: "acknowledged",
            parts: vec![(acked, "flow"), (unknown, "flow unknown")],
            text,
        });
        match metrics.lost {
            Some(lost) => rows.push(Row {
                label: "of these stored",
                parts: vec![(acked.saturating_sub(lost), "flow"), (lost, "flow lost")],
                text: format!("{} · {} lost", thousands(acked.saturating_sub(lost)), thousands(lost)),
            }),
            None => rows.push(Row {
                label: "of these stored",
                parts: Vec::new(),
                text: "unknown: no drain certificate".to_owned(),
            }),
        }
    }
    if let Some(missing) = metrics.sent_but_missing {
        let text = format!("{} (class none: nothing acknowledged)", thousands(missing));
        rows.push(Row { label: "missing", parts: vec![(missing, "flow lost")], text });
    }
    if let Some(delivered) = metrics.delivered {
        let mut text = thousands(delivered);
        if let Some(again) = metrics.duplicates.filter(|again| *again > 0) {
            let _ = write!(text, " · {} again", thousands(again));
        }
        rows.push(Row { label: "delivered", parts: vec![(delivered, "flow")], text });
    }
    if let Some(unreplicated) = figure::unreplicated(cell) {
        let text = format!("{} acknowledged, on the leader only", thousands(unreplicated));
        rows.push(Row { label: "at the kill", parts: vec![(unreplicated, "flow bite")], text });
    }
    rows
}
