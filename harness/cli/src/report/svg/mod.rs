//! Charts, drawn by hand: no chart library, no script, colours by class so that both themes work.

mod canvas;
mod flow;
mod latency;
mod scale;
mod timeline;

pub use flow::flow;
pub use latency::{Row as LatencyRow, bounded, latency};
pub use timeline::timeline;

/// The class that carries the colour of a system; the same in every chart of a report.
pub fn system_class(systems: &[&str], name: &str) -> String {
    let number = match name {
        "reference" => 0,
        "kafka" => 1,
        "rabbitmq" => 2,
        "rocketmq" => 3,
        "sim" => 4,
        _ => {
            let others = systems
                .iter()
                .filter(|other| !matches!(**other, "reference" | "kafka" | "rabbitmq" | "rocketmq" | "sim"));
            5 + others.take_while(|other| **other != name).count() % 3
        }
    };
    format!("s{number}")
}
