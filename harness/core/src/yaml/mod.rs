//! Strict YAML with places: what scenarios and the register of claims are read with.
//!
//! In:  a text, and the serde type that it must have.
//! Out: the value, or [`Diagnostics`] that show every error in its source line.
//! Owns: the YAML library (`read`), the tree that overrides are applied to, the look of errors.
//! Never: knows what a scenario is.

mod decode;
mod diagnostic;
mod nearest;
mod node;
mod read;

pub use diagnostic::{Diagnostic, Diagnostics};

pub(crate) use decode::decode;
pub(crate) use nearest::hint;
pub(crate) use node::{Entry, Node, Place, Value};
pub(crate) use read::read;
