//! Conversations with a coordinator whose log is a vector.

mod consumer;
mod expiry;
mod groups;
mod offsets;
mod random;
mod random_consumer;
mod rebalance;
mod reload;
mod static_members;
mod transactional;
mod world;
