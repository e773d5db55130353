//! Faults of links: what the proxies are told, and whether they had an effect.

use std::time::Duration;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::FaultKind;

use super::proxy::{LinkEnd, LinkMode, LinkStats, ProxyNet};

/// The mode that a fault puts its links into.
pub fn mode(kind: FaultKind) -> Option<LinkMode> {
    match kind {
        FaultKind::Cut => Some(LinkMode::Cut),
        FaultKind::Stall => Some(LinkMode::Stall),
        FaultKind::Slow { latency_ms, bytes_per_s } => {
            Some(LinkMode::Slow { latency: Duration::from_millis(latency_ms), bytes_per_s })
        }
        FaultKind::Kill | FaultKind::Pause | FaultKind::Stop => None,
    }
}

/// The counters of some links, added up.
pub fn total(proxies: &ProxyNet, links: &[(LinkEnd, NodeId)]) -> LinkStats {
    links.iter().filter_map(|(from, to)| proxies.stats(*from, *to)).fold(LinkStats::default(), |sum, one| {
        LinkStats {
            connections: sum.connections + one.connections,
            reset: sum.reset + one.reset,
            held_bytes: sum.held_bytes + one.held_bytes,
            delayed_bytes: sum.delayed_bytes + one.delayed_bytes,
            passed_bytes: sum.passed_bytes + one.passed_bytes,
        }
    })
}

/// What the links did since `before` that shows the fault, if anything.
pub fn effect(kind: FaultKind, before: LinkStats, now: LinkStats) -> Option<String> {
    let (count, what) = match kind {
        FaultKind::Cut => (now.reset - before.reset, "connections reset or refused"),
        FaultKind::Stall => (now.held_bytes - before.held_bytes, "bytes held"),
        FaultKind::Slow { .. } => (now.delayed_bytes - before.delayed_bytes, "bytes delayed"),
        FaultKind::Kill | FaultKind::Pause | FaultKind::Stop => return None,
    };
    (count > 0).then(|| format!("{count} {what}"))
}
