//! What happened when, in slots, for the eye and for outage windows.

use serde::{Deserialize, Serialize};

/// A cell's course of events. Times are milliseconds since the start of load, and may be negative before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Timeline {
    /// Width of a slot in milliseconds.
    pub slot_ms: u64,
    /// Slots from the start of load to the end of the drain, without gaps.
    pub slots: Vec<Slot>,
    /// The faults.
    pub faults: Vec<FaultBand>,
    /// Who led the partition that the first leader fault hit (or partition 0), in order.
    pub leaders: Vec<LeaderSpan>,
    /// Which partition `leaders` is about, as `topic/partition`.
    pub leader_partition: Option<String>,
    /// Outages of producing.
    pub outages: Vec<Outage>,
    /// End of load, ms.
    pub load_end_ms: f64,
}

/// One slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slot {
    /// Sends that were due (open loop) or begun (closed loop).
    pub scheduled: u32,
    /// Sends whose acknowledgement came in this slot.
    pub acked: u32,
    /// First hand-overs to consumers, of all groups.
    pub delivered: u32,
    /// Sends that ended `fail` or `info` in this slot.
    pub unacknowledged: u32,
    /// Median ack latency from the intended time, µs; None without acks.
    pub ack_p50_us: Option<u32>,
    /// The same, 99th percentile.
    pub ack_p99_us: Option<u32>,
    /// Acknowledged but not yet delivered to every group, at the end of the slot.
    pub backlog: u64,
}

/// A fault on the time axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FaultBand {
    /// As "kill leader of orders/1 (node 3)".
    pub label: String,
    /// When its effect was observed.
    pub from_ms: f64,
    /// When it was undone.
    pub until_ms: f64,
}

/// Who led when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LeaderSpan {
    /// The leader; None: nobody.
    pub node: Option<u32>,
    /// Its epoch.
    pub epoch: i32,
    /// From, ms.
    pub from_ms: f64,
    /// Until, ms.
    pub until_ms: f64,
}

/// A time in which scheduled operations did not succeed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outage {
    /// As `topic/partition`, or the topic alone where keys do not tell the partition.
    pub partition: String,
    /// First slot below one half, ms.
    pub from_ms: f64,
    /// Start of the window in which ≥ 99 % succeeded again; None: not within the run.
    pub until_ms: Option<f64>,
}
