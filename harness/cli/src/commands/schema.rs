//! `mqproof schema`: the JSON Schema of scenario files.

/// Prints it.
pub fn run() -> u8 {
    let schema = mqproof_core::scenario::json_schema();
    println!("{schema}");
    0
}
