//! Packet filters in a node's own network namespace, for what its peers replicate.
//!
//! A dropped packet is sent again by TCP when the filter is gone, so a drop is a stall: bytes are held, and nothing is
//! said. Rejected packets reset their connections. The filters go with the namespace when the node dies.

use std::net::Ipv4Addr;
use std::process::Command;

use super::tool;
use crate::provision::ProvisionError;

/// What a filter does to packets of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is said.
    Drop,
    /// Connections are reset.
    Reset,
}

/// A filter between the node whose process is `pid` and a peer: connections from the node to these ports of the peer.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// The node's first process.
    pub pid: u32,
    /// The peer.
    pub peer: Ipv4Addr,
    /// The ports of the peer at which it takes what its peers replicate.
    pub ports: &'a [u16],
}

/// Packets and bytes that met a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Filter<'_> {
    /// Puts it in force, in place of what was.
    pub fn install(&self, verdict: Verdict) -> Result<(), ProvisionError> {
        self.remove();
        for rule in self.rules() {
            let mut words = vec!["-I"];
            words.extend(rule.iter().map(String::as_str));
            words.extend(match verdict {
                Verdict::Drop => &["-j", "DROP"][..],
                Verdict::Reset => &["-j", "REJECT", "--reject-with", "tcp-reset"][..],
            });
            iptables(self.pid, &words)?;
        }
        Ok(())
    }

    /// Takes it away.
    pub fn remove(&self) {
        for rule in self.rules() {
            for verdict in [&["-j", "DROP"][..], &["-j", "REJECT", "--reject-with", "tcp-reset"][..]] {
                let mut words = vec!["-D"];
                words.extend(rule.iter().map(String::as_str));
                words.extend(verdict);
                while iptables(self.pid, &words).is_ok() {}
            }
        }
    }

    /// What met it so far.
    pub fn met(&self) -> Met {
        let peer = self.peer.to_string();
        let mut met = Met::default();
        for chain in ["INPUT", "OUTPUT"] {
            let shown = iptables(self.pid, &["-nvxL", chain]).unwrap_or_default();
            for line in shown.lines().filter(|line| line.split_whitespace().any(|word| word == peer)) {
                let mut words = line.split_whitespace().map(str::parse::<u64>);
                if let (Some(Ok(packets)), Some(Ok(bytes))) = (words.next(), words.next()) {
                    met.packets += packets;
                    met.bytes += bytes;
                }
            }
        }
        met
    }

    fn rules(&self) -> [Vec<String>; 2] {
        let ports = self.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let peer = self.peer.to_string();
        let rule = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        [
            rule(&["OUTPUT", "-d", &peer, "-p", "tcp", "-m", "multiport", "--dports", &ports]),
            rule(&["INPUT", "-s", &peer, "-p", "tcp", "-m", "multiport", "--sports", &ports]),
        ]
    }
}

/// Cuts a node off from everybody, so that its death is not told by the packets that its kernel sends for it.
pub fn silence(pid: u32) -> Result<(), ProvisionError> {
    iptables(pid, &["-I", "OUTPUT", "-j", "DROP"])?;
    iptables(pid, &["-I", "INPUT", "-j", "DROP"]).map(|_| ())
}

fn iptables(pid: u32, words: &[&str]) -> Result<String, ProvisionError> {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-n", "iptables", "-w"]).args(words);
    tool::run("nsenter", "util-linux iptables", &mut command)
}
