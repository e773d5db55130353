//! Clients: added, woken, killed.

use std::collections::BTreeMap;

use broker_core::ListenerKind;

use super::{ClientSlot, Due, World};
use crate::client::{Client, ClientEffect, ClientEvent, ClientTurn};
use crate::net::Host;

impl World {
    pub(crate) fn add_client(&mut self, client: Box<dyn Client>) -> usize {
        self.clients.push(ClientSlot { client: Some(client), conns: BTreeMap::new(), wake_ns: u64::MAX });
        let client = self.clients.len() - 1;
        self.wake_at(client, self.now_ns);
        client
    }

    /// A client that lives.
    pub(crate) fn client(&mut self, client: usize) -> Option<&mut dyn Client> {
        Some(self.clients[client].client.as_mut()?.as_mut())
    }

    /// A client's process is gone from one moment to the next.
    pub(crate) fn kill_client(&mut self, client: usize) {
        self.clients[client].client = None;
        for (_, ours) in std::mem::take(&mut self.clients[client].conns) {
            self.net.hang_up(self.now_ns, ours.wire, ours.side, &mut self.arrivals);
        }
        self.take_arrivals();
    }

    /// A client takes another look at what it has to do.
    pub(crate) fn nudge(&mut self, client: usize) {
        self.wake_at(client, self.now_ns);
    }

    pub(super) fn wake_at(&mut self, client: usize, at_ns: u64) {
        if at_ns < self.clients[client].wake_ns {
            self.clients[client].wake_ns = at_ns;
            self.push(at_ns, Due::Wake { client });
        }
    }

    pub(super) fn step_client(&mut self, index: usize, event: ClientEvent) {
        let mut effects = Vec::new();
        let mut turn = ClientTurn {
            now_ns: self.now_ns,
            brokers: self.brokers,
            effects: &mut effects,
            ledger: &mut self.ledger,
        };
        let Some(client) = &mut self.clients[index].client else { return };
        let wake_ns = client.step(event, &mut turn);
        let host = Host::Client(index);
        for effect in effects {
            match effect {
                ClientEffect::Dial(conn, node) => {
                    let to = Host::Server((node.0 - self.first_id) as usize);
                    self.dial(host, conn, to, ListenerKind::Client);
                }
                ClientEffect::Send(conn, frame) => self.send(host, conn, frame),
                ClientEffect::Close(conn) => self.close(host, conn),
            }
        }
        for (partition, end) in self.ledger.take_fresh_acks() {
            self.watch.acknowledged(partition, end, &mut self.ledger);
        }
        if wake_ns != u64::MAX {
            self.wake_at(index, wake_ns);
        }
    }
}
