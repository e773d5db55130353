//! Logs: one line per event on stderr, with the time since the start, the level, the node and the message.

use std::fmt;
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

static START: OnceLock<Instant> = OnceLock::new();

/// Sends logs to stderr. `RUST_LOG` chooses what is logged; without it, `info` and above.
pub fn init_logging() {
    START.get_or_init(Instant::now);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    // A second call, as from tests in one process, changes nothing.
    let _ = subscriber.event_format(NodeLine).try_init();
}

/// The node is the name of the thread: every thread that works for a node carries it.
struct NodeLine;

impl<S, N> FormatEvent<S, N> for NodeLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let elapsed = START.get_or_init(Instant::now).elapsed();
        let thread = thread::current();
        let level = event.metadata().level();
        write!(writer, "{:>9.3} {level:<5} {:<15} ", elapsed.as_secs_f64(), thread.name().unwrap_or("-"))?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
