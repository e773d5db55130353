//! A subnet of the run's own, which nothing outside of this machine can be reached by.

use std::net::Ipv4Addr;
use std::process::Command;

use mqproof_core::ids::NodeId;

use super::product::ClusterNet;
use crate::provision::ProvisionError;

/// Marks our routes, and is worse than that of any bridge.
const METRIC: &str = "4000";
/// Subnets that are tried before giving up.
const TRIES: u32 = 64;

/// Chooses a subnet that no route of this machine knows, and makes it unreachable by any other way than the bridge that
/// will be made for it: a client that outlives the network is told so, instead of sending its packets out of the machine.
pub fn choose(seed: u64, nodes: u32) -> Result<ClusterNet, ProvisionError> {
    let known = ip(&["-4", "route", "show", "table", "all"])?;
    for at in 0..TRIES {
        let draw = seed.wrapping_add(u64::from(at)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let (b, c) = (200 + (draw >> 8) as u8 % 50, draw as u8);
        if known.contains(&format!("10.{b}.{c}.")) {
            continue;
        }
        let net = ClusterNet {
            subnet: format!("10.{b}.{c}.0/24"),
            gateway: Ipv4Addr::new(10, b, c, 1),
            nodes: (1..=nodes).map(|n| (NodeId(n), Ipv4Addr::new(10, b, c, 10 + n as u8))).collect(),
        };
        ip(&["route", "add", "unreachable", &net.subnet, "metric", METRIC])?;
        return Ok(net);
    }
    Err(ProvisionError::Engine {
        what: "choose a subnet".into(),
        why: "all that were tried are in use".into(),
    })
}

/// Takes the route of a network that is gone away.
pub fn release(subnet: &str) {
    let _ = ip(&["route", "del", "unreachable", subnet, "metric", METRIC]);
}

/// The subnets of routes of ours.
pub fn routes() -> Vec<String> {
    let shown = ip(&["-4", "route", "show", "type", "unreachable"]).unwrap_or_default();
    shown
        .lines()
        .filter(|line| line.contains(&format!("metric {METRIC}")))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("10.")))
        .map(str::to_owned)
        .collect()
}

fn ip(arguments: &[&str]) -> Result<String, ProvisionError> {
    super::tool::run("ip", "iproute2", Command::new("ip").args(arguments))
}
