//! Whole clusters of real nodes, driven frame by frame.

mod auth;
mod cleaning;
mod cluster;
mod flushing;
mod follower_fetch;
mod garbage;
mod groups;
mod metadata;
mod produce_fetch;
mod replication;
mod requests;
mod second_protocol;
mod transactions;
mod versions;
