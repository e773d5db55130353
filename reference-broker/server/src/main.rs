//! `reference-broker`: a Kafka-wire broker as a program of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use broker_core::Defect;
use clap::Parser;
use reference_broker::settings::{KEYS, Launch, Settings, Value};
use reference_broker::{ExitReason, ServerError, init_logging, raise_file_limit, run, run_pair};

const BAD_SETTINGS: u8 = 3;

/// A Kafka-wire broker, small enough to read.
///
/// Without controllers it runs its own: `reference-broker --data DIR` is a Kafka of one node at 127.0.0.1:9092.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 stopped in an orderly way · 3 bad settings or arguments · \
    4 environment (port taken, data directory locked or not writable) · 5 internal error · 130 second signal.\n\
    Logs go to stderr; RUST_LOG chooses what is logged (default: info)."
)]
struct Arguments {
    /// Settings, as in `example.toml`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, as in the file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The same as `node.id`
    #[arg(long, value_name = "N")]
    node_id: Option<String>,
    /// The same as `process.roles`
    #[arg(long, value_name = "ROLES")]
    roles: Option<String>,
    /// The same as `log.dir`
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The same as `listener.client`
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The same as `listener.internal`
    #[arg(long, value_name = "HOST:PORT")]
    internal_listen: Option<String>,
    /// The same as `controller.quorum.voters`
    #[arg(long, value_name = "ID@HOST:PORT,…")]
    controllers: Option<String>,
    /// Plants a bug, to see whether a checker finds it; may be repeated
    #[arg(long, value_name = "NAME", requires = "i_want_a_broken_broker")]
    defect: Vec<Defect>,
    /// Says that a broker that breaks its promises is what you want
    #[arg(long)]
    i_want_a_broken_broker: bool,
    /// Lists every key of the settings, and ends
    #[arg(long)]
    keys: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_SETTINGS } else { 0 });
        }
    };
    if arguments.keys {
        for key in KEYS {
            println!("{:<36} {}", key.name, key.about);
        }
        return ExitCode::SUCCESS;
    }
    let launch = match launch(arguments) {
        Ok(launch) => launch,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    init_logging();
    raise_file_limit();
    ExitCode::from(status(match launch {
        Launch::One(options) => run(*options),
        Launch::Pair { controller, broker } => run_pair(*controller, *broker),
    }))
}

/// Tells how it ended.
fn status(end: Result<ExitReason, ServerError>) -> u8 {
    match end {
        Ok(reason) => reason.exit_status(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_status()
        }
    }
}

fn launch(arguments: Arguments) -> anyhow::Result<Launch> {
    let mut settings = Settings::default();
    if let Some(path) = &arguments.config {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        settings.read(&text).with_context(|| format!("in `{}`", path.display()))?;
    }
    for assignment in &arguments.overrides {
        let (key, value) = assignment
            .split_once('=')
            .with_context(|| format!("expected `KEY=VALUE`, got `{assignment}`"))?;
        settings.set(key.trim(), &Value::from_text(value))?;
    }
    let flags = [
        ("node.id", arguments.node_id),
        ("process.roles", arguments.roles),
        ("log.dir", arguments.data),
        ("listener.client", arguments.listen),
        ("listener.internal", arguments.internal_listen),
        ("controller.quorum.voters", arguments.controllers),
    ];
    for (key, value) in flags {
        if let Some(value) = value {
            settings.set(key, &Value::from_text(&value))?;
        }
    }
    settings.plant(arguments.defect);
    Ok(settings.launch()?)
}
