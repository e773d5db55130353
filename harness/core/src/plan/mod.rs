//! A plan: what will be sent when and by whom, and which fault hits which role when. Pure data.
//!
//! In:  a valid scenario, one point of its matrix, and a seed.
//! Out: a [`Plan`] that is the same byte for byte for the same input.
//! Owns: every random choice of a run. Nothing random happens after it except in the system under test.
//! Never: holds a list of all messages; they are a function of (seed, producer, number) in `workload`.

mod draw;
mod faults;
mod render;
mod stretch;
mod types;
mod words;

pub use render::render;
pub use types::*;

#[cfg(test)]
mod tests;
