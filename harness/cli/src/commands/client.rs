//! `mqproof client` (hidden): one producer, consumer or drain reader.

/// Runs the client that standard input describes; its exit status.
pub fn run() -> u8 {
    mqproof_drivers::client::main() as u8
}
