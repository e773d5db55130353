//! Scenario language, version 1: strict YAML to a typed, checked scenario.
//!
//! In:  the text of a scenario file, overrides of the command line, and the register of claims.
//! Out: a [`Scenario`] with one checked [`Document`] per point of its matrix, or [`Diagnostics`] that show every
//!      error in its source line.
//! Owns: the language: keys, units, defaults, what may stand together; its JSON Schema and its reference page.
//! Never: reads a file, draws anything at random, or knows a product.

mod defects;
mod expect;
mod fault;
mod matrix;
mod model;
mod parse;
mod reference;
mod units;
mod validate;

pub use crate::yaml::{Diagnostic, Diagnostics};
pub use defects::DefectCase;
pub use expect::{Bounds, Expect, Quantity, Word};
pub use fault::{
    After, Death, Fault, KillFault, LinkFault, NodeFault, PartitionRef, SlowFault, Target, Timing,
};
pub use matrix::MatrixPoint;
pub use model::{
    Cluster, Consumer, Crash, Document, FlushPolicy, Keys, PayloadSize, Producer, Rto, Scalar, SizeRange,
    Topic, Transactions, UniformKeys, ZipfKeys,
};
pub use parse::Scenario;
pub use reference::{json_schema, reference_page};
pub use units::{Duration, Percent, Rate, Size, UnitError};
pub(crate) use validate::{load_end_ms, producer_end_ms};

#[cfg(test)]
mod tests;
