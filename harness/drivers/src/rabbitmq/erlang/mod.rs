//! Questions to Erlang nodes in their own distribution protocol, as a hidden node.
//!
//! In:  expressions in Erlang and their variables. Out: terms.
//! Owns: a connection to each node, which node answers, and how long to wait for one that does not.
//! Never: knows what RabbitMQ is.

mod link;
mod nodes;
mod terms;
mod wire;

pub(super) use nodes::{Answers, Nodes};
pub(super) use terms::{atom_text, binary, list, map_get, number, strings, text};
