//! Conversations with a coordinator whose log is a vector.

mod groups;
mod offsets;
mod random;
mod rebalance;
mod reload;
mod static_members;
mod world;
