//! Numbers and names as people read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mqproof_core::property::Property;
use mqproof_core::verdict::{CellResult, CheckResult};

/// `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time, with two or three digits that count: `0.42 ms`, `412 ms`, `6.8 s`, `2 min 05 s`.
pub fn span(ms: f64) -> String {
    if ms < 0.0 {
        format!("−{}", span(-ms))
    } else if ms == 0.0 {
        "0 ms".to_owned()
    } else if ms < 1.0 {
        format!("{ms:.2} ms")
    } else if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 59_950.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        let seconds = (ms / 1000.0).round() as u64;
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

/// A moment since the start of load, always in seconds: `4.020 s`.
pub fn moment(ms: f64) -> String {
    format!("{:.3} s", ms / 1000.0).replace('-', "−")
}

/// `1 cell`, `2 cells`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number as u64))
}

/// Marks a figure that was not over when the measurement was.
pub fn at_least(is_least: bool, figure: String) -> String {
    if is_least { format!("≥ {figure}") } else { figure }
}

/// A quantity in its unit.
pub fn quantity(value: f64, unit: Option<&str>) -> String {
    match unit {
        Some("ms") => span(value),
        Some("us" | "µs") => span(value / 1000.0),
        Some("s") => span(value * 1000.0),
        unit => {
            let number = if value >= 100.0 || value.fract() == 0.0 {
                thousands(value.round() as u64)
            } else {
                format!("{value:.2}")
            };
            match unit {
                Some(unit) if unit.starts_with('/') || unit.starts_with('%') => format!("{number}{unit}"),
                Some(unit) if !unit.is_empty() => format!("{number} {unit}"),
                _ => number,
            }
        }
    }
}

/// What is expected of a metric, with its bound as people read it: `max 5000 ms` is `max 5.0 s`.
pub fn bound(expect: &str) -> String {
    let words: Vec<&str> = expect.split(' ').collect();
    match words[..] {
        [side, number, unit] => match number.parse() {
            Ok(value) => format!("{side} {}", quantity(value, Some(unit))),
            Err(_) => expect.to_owned(),
        },
        _ => expect.to_owned(),
    }
}

/// The property of a check, unless a newer version named it.
pub fn property(check: &CheckResult) -> Option<Property> {
    Property::ALL.into_iter().find(|property| property.name() == check.property)
}

/// What a check is about, for people.
pub fn title(check: &CheckResult) -> String {
    property(check).map_or_else(|| check.property.replace('_', " "), |property| property.title().to_owned())
}

/// A product's name as it writes it itself.
pub fn product(system: &str) -> &str {
    match system {
        "kafka" => "Kafka",
        "rabbitmq" => "RabbitMQ",
        "rocketmq" => "RocketMQ",
        "activemq" => "ActiveMQ",
        "artemis" => "Artemis",
        "redis" => "Redis",
        "nats" => "NATS",
        "pulsar" => "Pulsar",
        "sim" => "simulator",
        other => other,
    }
}

/// The durability class and the rest of the matrix point: `quorum · flush=interval`.
pub fn class(cell: &CellResult) -> String {
    class_at(&cell.system.durability, &cell.matrix)
}

/// The same of a durability class and a matrix point.
pub fn class_at(durability: &str, matrix: &BTreeMap<String, String>) -> String {
    let mut text = durability.to_owned();
    for (path, value) in matrix {
        if path == "durability" {
            continue;
        }
        let key = path.rsplit('.').next().unwrap_or(path);
        if !text.is_empty() {
            text.push_str(" · ");
        }
        let _ = write!(text, "{key}={value}");
    }
    text
}

/// `a`, `a and b`, `a, b and c`.
pub fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

/// The sentence with a full stop, exactly one.
pub fn stopped(text: &str) -> String {
    format!("{}.", text.trim_end().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{bound, listed, quantity, span, thousands};

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(thousands).each_ref().map(String::as_str)
        );
    }

    #[test]
    fn spans_change_unit_where_the_digits_run_out() {
        let spans = [0.0, 0.42, 2.14, 412.3, 999.6, 6_810.0, 59_960.0, 125_000.0].map(span);
        assert_eq!(
            spans,
            ["0 ms", "0.42 ms", "2.1 ms", "412 ms", "1.0 s", "6.8 s", "1 min 00 s", "2 min 05 s"]
        );
    }

    #[test]
    fn quantities_carry_their_unit() {
        assert_eq!(quantity(400.0, Some("ms")), "400 ms");
        assert_eq!(quantity(1998.6, Some("/s")), "1,999/s");
        assert_eq!(quantity(3.0, Some("records")), "3 records");
        assert_eq!(quantity(0.25, None), "0.25");
    }

    #[test]
    fn bounds_are_read_as_spans() {
        assert_eq!(
            ["max 5000 ms", "never", "max 3 records"].map(bound),
            ["max 5.0 s", "never", "max 3 records"]
        );
    }

    #[test]
    fn lists_end_with_and() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [listed(&items[..1]), listed(&items[..2]), listed(&items)],
            ["a", "a and b", "a, b and c"]
        );
    }
}
