//! What a real process does with strangers, a full disk and damaged files: it says so, answers with the error that the protocol has for it,
//! goes on, and has all that it acknowledged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic where it stands")]

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod node;
mod replicas;
mod strangers;

use std::sync::{Mutex, MutexGuard, PoisonError};

const CORRUPT_MESSAGE: i16 = 2;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
const KAFKA_STORAGE_ERROR: i16 = 56;
const TOPIC: &str = "orders";

/// One test at a time: ten thousand connections of one take every third port, and a port that was free for another a moment
/// ago is not when its node binds it.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
