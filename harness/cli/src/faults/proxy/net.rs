//! All proxied links of a cell.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mqproof_core::ids::NodeId;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::link::{Link, LinkMode, LinkStats};
use super::pump;

/// Who dials on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkEnd {
    /// Producers, consumers and the harness's own probes.
    Clients,
    /// A broker or controller.
    Node(NodeId),
}

/// The proxied links of a cell, by who dials whom.
pub struct ProxyNet {
    runtime: Handle,
    links: BTreeMap<(LinkEnd, NodeId), Arc<Link>>,
    tasks: Vec<JoinHandle<()>>,
}

impl ProxyNet {
    /// No links yet.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, links: BTreeMap::new(), tasks: Vec::new() }
    }

    /// Puts a proxy in front of `upstream`, for connections of `from` to the node `to`.
    pub fn add(
        &mut self,
        from: LinkEnd,
        to: NodeId,
        listen: SocketAddr,
        upstream: SocketAddr,
    ) -> io::Result<()> {
        self.add_marked(from, to, listen, upstream, None).map(|_| ())
    }

    /// The same; the proxy's own connections carry a mark (SO_MARK), and a port of 0 is chosen. Several ports of a node
    /// make one link. Returns where it listens.
    pub fn add_marked(
        &mut self,
        from: LinkEnd,
        to: NodeId,
        listen: SocketAddr,
        upstream: SocketAddr,
        mark: Option<u32>,
    ) -> io::Result<SocketAddr> {
        let listener = self.runtime.block_on(async { bind(listen) })?;
        let address = listener.local_addr()?;
        let link = Arc::clone(self.links.entry((from, to)).or_insert_with(|| Arc::new(Link::new())));
        self.tasks.push(self.runtime.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => {
                        tokio::spawn(pump::serve(Arc::clone(&link), client, upstream, mark));
                    }
                    // Out of file descriptors: the connection waits in the backlog.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        }));
        Ok(address)
    }

    /// Whether connections of `from` to `to` go through a proxy.
    pub fn has(&self, from: LinkEnd, to: NodeId) -> bool {
        self.links.contains_key(&(from, to))
    }

    /// Changes what a link does; false if it is not proxied.
    pub fn set_mode(&self, from: LinkEnd, to: NodeId, mode: LinkMode) -> bool {
        self.links.get(&(from, to)).map(|link| link.set_mode(mode)).is_some()
    }

    /// The counters of a link.
    pub fn stats(&self, from: LinkEnd, to: NodeId) -> Option<LinkStats> {
        self.links.get(&(from, to)).map(|link| link.stats())
    }

    /// All links.
    pub fn links(&self) -> impl Iterator<Item = (LinkEnd, NodeId)> {
        self.links.keys().copied()
    }
}

impl Drop for ProxyNet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}
