//! Several voters, driven message by message.

mod elections;
mod logs;
mod network;
mod snapshots;
