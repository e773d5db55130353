//! The table on the terminal, and the words that it shares with the other formats.

use super::report::{Metric, Report, Row};
use super::settings::ClientKind;
use super::statistics::Ratio;
use crate::report::{Look, columns, padded, push_line, right, span, thousands, wrapped_list};

const INDENT: &str = "  ";
/// What stands where nothing was measured.
pub const NOT_MEASURED: &str = "not measured";
/// Between columns.
const GAP: &str = "  ";

/// The whole report: where and how, a line per workload and metric, and what must be known.
pub fn render(report: &Report, look: Look) -> String {
    let mut out = String::new();
    for line in facts(report) {
        for part in wrapped_list(&line, look.width.saturating_sub(INDENT.len())) {
            push_line(&mut out, &format!("{INDENT}{}", look.dim(&part)));
        }
    }
    out.push('\n');
    let lines = lines(report);
    let widths: Vec<usize> = (0..lines[0].cells.len())
        .map(|column| lines.iter().map(|line| columns(&line.cells[column])).max().unwrap_or(0))
        .collect();
    for (index, line) in lines.iter().enumerate() {
        if index > 1 && !line.cells[0].is_empty() {
            out.push('\n');
        }
        let cells = line.cells.iter().zip(&widths).enumerate();
        let text: Vec<String> = cells
            .map(
                |(column, (cell, width))| if column < 2 { padded(cell, *width) } else { right(cell, *width) },
            )
            .collect();
        let text = format!("{INDENT}{}", text.join(GAP));
        push_line(&mut out, &if line.is_aside { look.dim(&text) } else { text });
    }
    for note in &report.notes {
        push_line(&mut out, &format!("\n{INDENT}note  {note}"));
    }
    if report.interrupted {
        push_line(&mut out, &format!("\n{INDENT}interrupted: this is what was measured until then"));
    }
    out
}

/// A line of the table.
pub struct Line {
    /// Workload (only in its first line), metric, one value per system, and with two systems ratio and interval.
    pub cells: Vec<String>,
    /// Whether it tells of the measurement, and not of the systems.
    pub is_aside: bool,
}

/// All lines, the head first.
pub fn lines(report: &Report) -> Vec<Line> {
    let mut head = vec!["workload".to_owned(), String::new()];
    head.extend(report.systems.iter().map(|system| system.name.clone()));
    if let Some([above, below]) = report.ratio_of {
        head.push(format!("{}/{}", report.systems[above].name, report.systems[below].name));
        head.push(format!("{} interval", interval_name(report)));
    }
    let mut lines = vec![Line { cells: head, is_aside: false }];
    let mut last = "";
    for row in &report.rows {
        let name = if row.workload == last { String::new() } else { row.workload.to_owned() };
        last = row.workload;
        lines.push(Line { cells: cells(report, row, name), is_aside: row.better.is_none() });
    }
    lines
}

fn cells(report: &Report, row: &Row, name: String) -> Vec<String> {
    let mut cells = vec![name, row.metric.title().to_owned()];
    cells.extend(row.medians.iter().map(|median| value(row.metric, *median)));
    if report.ratio_of.is_some() {
        cells.push(row.ratio.as_ref().map(|ratio| format!("{} ×", times(ratio.median))).unwrap_or_default());
        cells.push(row.ratio.as_ref().map(interval).unwrap_or_default());
    }
    cells
}

/// The interval of a ratio. One pair has none.
fn interval(ratio: &Ratio) -> String {
    if ratio.pairs.len() < 2 {
        "one pair".to_owned()
    } else {
        format!("{} – {}", times(ratio.low), times(ratio.high))
    }
}

/// A ratio with at least two digits that count, down to a thousandth.
fn times(ratio: f64) -> String {
    let digits = if ratio >= 0.095 {
        2
    } else if ratio >= 0.0095 {
        3
    } else {
        4
    };
    format!("{ratio:.digits$}")
}

/// How sure the intervals are: the least of them.
fn interval_name(report: &Report) -> String {
    let coverages =
        report.rows.iter().filter_map(|row| row.ratio.as_ref()).filter(|ratio| ratio.pairs.len() > 1);
    let least = coverages.map(|ratio| ratio.coverage).reduce(f64::min).unwrap_or(0.95);
    // Never more than is true.
    format!("{:.0} %", (100.0 * least.min(0.95)).floor())
}

/// A value with the digits that count.
fn value(metric: Metric, value: Option<f64>) -> String {
    let Some(value) = value else { return NOT_MEASURED.to_owned() };
    match metric {
        Metric::RecordRate => thousands(value.round() as u64),
        _ if value >= 1000.0 => thousands(value.round() as u64),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Where, when and how it was measured, a line each.
pub fn facts(report: &Report) -> Vec<String> {
    let environment = &report.environment;
    let load = environment.load_average.map_or(String::new(), |load| format!(" · load average {load:.2}"));
    let commit = environment.git_commit.as_ref().map_or(String::new(), |commit| format!(" ({commit})"));
    let mut lines = vec![format!(
        "mqproof {}{commit} · {} · {} cores{load} · {}",
        report.version, report.started, environment.cores, environment.kernel
    )];
    lines.extend(report.systems.iter().map(|system| {
        let processes = system.processes.map_or_else(
            || format!("processor time and memory {NOT_MEASURED}"),
            |count| format!("{count} processes"),
        );
        let version = system.version.as_ref().map_or("version not told", |version| version.as_str());
        let image = system.image.as_ref().map_or(String::new(), |image| format!(" · {image}"));
        format!(
            "{} {version} · {} · {} brokers · {processes}{image}",
            system.name, system.profile, system.brokers
        )
    }));
    lines.push(how(report));
    lines
}

fn how(report: &Report) -> String {
    let settings = &report.settings;
    let ms = |duration: std::time::Duration| span(duration.as_secs_f64() * 1000.0);
    let client = match settings.client {
        ClientKind::Light => "light".to_owned(),
        ClientKind::Librdkafka => report.environment.client_library.clone(),
    };
    format!(
        "{} rounds of {} in turn · {} of warm-up · client {client} · {} partitions, {} replicas · batches of {} KiB, {} in flight · latency at {} MB/s",
        settings.rounds,
        ms(settings.block),
        ms(settings.warm_up),
        settings.partitions,
        settings.replicas,
        settings.batch_bytes / 1024,
        settings.in_flight,
        settings.rate_bytes_per_s / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{fixture, markdown};

    #[test]
    fn the_table_says_what_was_not_measured_and_how_sure_it_is() {
        insta::assert_snapshot!(render(&fixture::report(), Look { width: 120, colour: false }));
    }

    #[test]
    fn the_page_has_the_same_rows_and_the_command() {
        insta::assert_snapshot!(markdown(&fixture::report()));
    }

    #[test]
    fn with_few_pairs_the_head_says_how_much_the_intervals_cover() {
        let mut report = fixture::report();
        for row in &mut report.rows {
            let values =
                row.values.iter().map(|of_system| of_system.iter().copied().take(5).collect()).collect();
            *row = Row::new(&crate::bench::Workload::ALL[1], row.metric, values, report.ratio_of);
        }
        assert!(render(&report, Look { width: 120, colour: false }).contains("93 % interval"));
    }

    #[test]
    fn small_ratios_keep_their_digits() {
        assert_eq!([2.496, 0.1, 0.061, 0.0064].map(times), ["2.50", "0.10", "0.061", "0.0064"]);
    }

    #[test]
    fn one_system_alone_has_no_ratios() {
        let mut report = fixture::report();
        report.systems.truncate(1);
        report.ratio_of = None;
        for row in &mut report.rows {
            row.medians.truncate(1);
        }
        let text = render(&report, Look { width: 120, colour: false });
        assert!(!text.contains("interval") && !text.contains('×'), "{text}");
    }
}
