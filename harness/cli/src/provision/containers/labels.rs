//! What containers, networks and volumes of ours are found by.

use std::collections::HashMap;

/// The run, as 16 hexadecimal digits.
pub const RUN: &str = "mqproof.run";
/// The process id of the harness.
pub const PID: &str = "mqproof.pid";
/// The boot in which that id means something.
pub const BOOT: &str = "mqproof.boot";
/// The subnet of the cluster.
pub const SUBNET: &str = "mqproof.subnet";

/// The labels of everything that this process makes for a run.
pub fn of_run(run_id: u64, subnet: &str) -> HashMap<String, String> {
    HashMap::from([
        (RUN.to_owned(), format!("{run_id:016x}")),
        (PID.to_owned(), std::process::id().to_string()),
        (BOOT.to_owned(), mqproof_drivers::clock::boot_id()),
        (SUBNET.to_owned(), subnet.to_owned()),
    ])
}
