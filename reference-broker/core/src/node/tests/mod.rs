//! Whole clusters of real nodes, driven frame by frame.

mod cluster;
mod flushing;
mod garbage;
mod groups;
mod produce_fetch;
mod replication;
mod requests;
mod versions;
