//! Faults of links: what is done to them, and whether it had an effect.

use std::time::Duration;

use mqproof_core::ids::NodeId;
use mqproof_core::plan::{FaultKind, FaultTarget, Plan, Role};

use super::proxy::{LinkEnd, LinkMode, LinkStats, ProxyNet};

/// The means to disturb the links of a cluster.
pub trait Links {
    /// Changes what a link does; false if that is not possible.
    fn set_mode(&self, from: LinkEnd, to: NodeId, mode: LinkMode) -> bool;
    /// The counters of a link, which never go back.
    fn stats(&self, from: LinkEnd, to: NodeId) -> Option<LinkStats>;
    /// How it is done, for the report.
    fn means(&self) -> String;
}

impl Links for ProxyNet {
    fn set_mode(&self, from: LinkEnd, to: NodeId, mode: LinkMode) -> bool {
        Self::set_mode(self, from, to, mode)
    }

    fn stats(&self, from: LinkEnd, to: NodeId) -> Option<LinkStats> {
        Self::stats(self, from, to)
    }

    fn means(&self) -> String {
        let clients = self.links().filter(|(from, _)| *from == LinkEnd::Clients).count();
        let sort = |count: usize, what: &str| {
            if count > 0 { format!("{what} through a proxy") } else { format!("{what} direct") }
        };
        let peers = self.links().count() - clients;
        format!("{}, {}", sort(clients, "clients to brokers"), sort(peers, "nodes to nodes"))
    }
}

/// Whether a fault of the plan touches the links of clients.
pub fn touches_clients(plan: &Plan) -> bool {
    plan.faults.iter().any(|fault| match &fault.target {
        FaultTarget::Link(a, b) => *a == Role::Clients || *b == Role::Clients,
        FaultTarget::Nodes(_) => false,
    })
}

/// The mode that a fault puts its links into.
pub fn mode(kind: FaultKind) -> Option<LinkMode> {
    match kind {
        FaultKind::Cut => Some(LinkMode::Cut),
        FaultKind::Stall => Some(LinkMode::Stall),
        FaultKind::Slow { latency_ms, bytes_per_s } => {
            Some(LinkMode::Slow { latency: Duration::from_millis(latency_ms), bytes_per_s })
        }
        _ => None,
    }
}

/// The counters of some links, added up.
pub fn total(all: &dyn Links, links: &[(LinkEnd, NodeId)]) -> LinkStats {
    links.iter().filter_map(|(from, to)| all.stats(*from, *to)).fold(LinkStats::default(), |sum, one| {
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
        FaultKind::Cut => (now.reset.saturating_sub(before.reset), "connections reset or refused"),
        FaultKind::Stall => (now.held_bytes.saturating_sub(before.held_bytes), "bytes held"),
        FaultKind::Slow { .. } => (now.delayed_bytes.saturating_sub(before.delayed_bytes), "bytes delayed"),
        _ => return None,
    };
    (count > 0).then(|| format!("{count} {what}"))
}
