//! `mqproof client` (hidden): one producer, consumer or drain reader.

use std::io;

use mqproof_core::verdict::ExitStatus;
use mqproof_drivers::client::{self, ClientSpec};

use crate::provision::die_with_parent;

/// Runs the client that standard input describes.
pub fn run() -> anyhow::Result<u8> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let spec: ClientSpec = serde_json::from_str(&line)?;
    if !die_with_parent(spec.parent_pid) {
        return Ok(ExitStatus::HarnessFailure as u8);
    }
    Ok(client::run(&spec))
}
