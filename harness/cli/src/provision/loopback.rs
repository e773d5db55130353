//! A loopback address for one cluster, so that a restarted node finds its port free and two runs never meet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use mqproof_core::ids::NodeId;

/// The ports of a cluster on an address of its own.
#[derive(Clone, Copy, Debug)]
pub struct Loopback {
    ip: Ipv4Addr,
}

/// The clients' door of node n is at 9000 + n, the internal one at 9100 + n.
const CLIENT_BASE: u16 = 9000;
const INTERNAL_BASE: u16 = 9100;
/// The proxy in front of the clients' door of node n is at 9200 + n.
const CLIENT_PROXY_BASE: u16 = 9200;
/// The proxy of node a to node b is at 10000 + 100 a + b.
const PEER_PROXY_BASE: u16 = 10_000;
/// How many addresses are tried.
const TRIES: u32 = 64;
/// Addresses that were tried by this process: the cells of a run share its seed, and the proxies of the last cell may not
/// have let go of their ports yet.
static TRIED: AtomicU32 = AtomicU32::new(0);

impl Loopback {
    /// An address in 127.0.0.0/8 on which the first port is free, beginning at one derived from `salt`.
    pub fn choose(salt: u64) -> Option<Self> {
        (0..TRIES).find_map(|_| {
            let attempt = TRIED.fetch_add(1, Ordering::Relaxed);
            let hash = (salt ^ u64::from(std::process::id()) << 32)
                .wrapping_add(u64::from(attempt))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let [a, b, c, ..] = hash.to_be_bytes();
            let ip = Ipv4Addr::new(127, 64 | a & 0x3F, b, c.clamp(1, 254));
            let first = SocketAddr::new(IpAddr::V4(ip), CLIENT_BASE + 1);
            TcpListener::bind(first).is_ok().then_some(Self { ip })
        })
    }

    fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip), port)
    }

    /// Where a broker listens for clients.
    pub fn client(self, node: NodeId) -> SocketAddr {
        self.at(CLIENT_BASE + node.0 as u16)
    }

    /// Where a node listens for other nodes.
    pub fn internal(self, node: NodeId) -> SocketAddr {
        self.at(INTERNAL_BASE + node.0 as u16)
    }

    /// Where the proxy between clients and a broker listens.
    pub fn client_proxy(self, node: NodeId) -> SocketAddr {
        self.at(CLIENT_PROXY_BASE + node.0 as u16)
    }

    /// Where the proxy between two nodes listens.
    pub fn peer_proxy(self, from: NodeId, to: NodeId) -> SocketAddr {
        self.at(PEER_PROXY_BASE + 100 * from.0 as u16 + to.0 as u16)
    }
}
