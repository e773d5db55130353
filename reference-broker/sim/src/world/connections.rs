//! Connections: what hosts send, and what becomes of it on its way.

use std::collections::BTreeMap;

use broker_core::{ConnId, Event, ListenerKind};
use bytes::Bytes;

use super::{Due, Ours, World};
use crate::client::ClientEvent;
use crate::links::{LinkId, LinkMode};
use crate::net::{Delivery, Host, Item, Side, WireId};
use crate::plan::MS;

/// As in the server: how long a connection may take to stand.
const DIAL_TIMEOUT: u64 = 1000 * MS;

impl World {
    pub(super) fn take_arrivals(&mut self) {
        for arrival in std::mem::take(&mut self.arrivals) {
            self.push(arrival.at_ns, Due::Arrive { wire: arrival.wire, to: arrival.to });
        }
    }

    fn conns(&mut self, host: Host) -> &mut BTreeMap<ConnId, Ours> {
        match host {
            Host::Server(index) => &mut self.servers[index].conns,
            Host::Client(index) => &mut self.clients[index].conns,
        }
    }

    pub(super) fn dial(&mut self, host: Host, conn: ConnId, to: Host, listener: ListenerKind) {
        let wire = self.net.dial(self.now_ns, (host, conn), to, listener, &mut self.arrivals);
        self.conns(host).insert(conn, Ours { wire, side: Side::Dialer, connected: false });
        self.push(self.now_ns + DIAL_TIMEOUT, Due::DialTimeout { host, conn, wire });
        self.take_arrivals();
    }

    pub(super) fn send(&mut self, host: Host, conn: ConnId, frame: Bytes) {
        self.trace.add(&[frame.len() as u64, u64::from(crc32c::crc32c(&frame))]);
        let Some(ours) = self.conns(host).get(&conn) else { return };
        let (wire, side) = (ours.wire, ours.side);
        self.net.send(self.now_ns, wire, side, Item::Frame(frame), &mut self.arrivals);
        self.take_arrivals();
    }

    pub(super) fn close(&mut self, host: Host, conn: ConnId) {
        if let Some(ours) = self.conns(host).remove(&conn) {
            self.net.hang_up(self.now_ns, ours.wire, ours.side, &mut self.arrivals);
            self.take_arrivals();
        }
    }

    /// A connection ends under its host, which is told.
    pub(crate) fn break_off(&mut self, wire: WireId, side: Side) {
        let Some((host, conn)) = self.net.broken(wire, side) else { return };
        if self.conns(host).remove(&conn).is_some() {
            self.net.hang_up(self.now_ns, wire, side, &mut self.arrivals);
            self.take_arrivals();
            self.tell(host, conn, Told::Closed);
        }
    }

    pub(crate) fn heal(&mut self, from: Host, to: Host) {
        self.net.heal(self.now_ns, from, to, &mut self.arrivals);
        self.take_arrivals();
    }

    /// Changes what a link does, also to connections that stand.
    pub(crate) fn set_link(&mut self, link: LinkId, mode: LinkMode) {
        for wire in self.net.set_mode(self.now_ns, link, mode, &mut self.arrivals) {
            self.break_off(wire, Side::Dialer);
            self.break_off(wire, Side::Acceptor);
        }
        self.take_arrivals();
    }

    /// Nothing leaves or reaches a host any more, and nobody is told; or all does again.
    pub(crate) fn silence(&mut self, host: Host, silent: bool) {
        self.net.silence(self.now_ns, host, silent, &mut self.arrivals);
        self.take_arrivals();
    }

    pub(super) fn dial_timeout(&mut self, host: Host, conn: ConnId, wire: WireId) {
        if self.conns(host).get(&conn).is_some_and(|ours| ours.wire == wire && !ours.connected) {
            self.break_off(wire, Side::Dialer);
        }
    }

    pub(super) fn deliver(&mut self, delivery: Delivery) {
        let Delivery { host, wire, side, listener, conn, item } = delivery;
        match (item, conn) {
            (Item::Open, _) if side == Side::Acceptor => self.accept(host, wire, listener),
            (Item::Open, Some(conn)) => {
                if let Some(ours) = self.conns(host).get_mut(&conn) {
                    ours.connected = true;
                    self.tell(host, conn, Told::Connected);
                }
            }
            (Item::Frame(frame), Some(conn)) => self.tell(host, conn, Told::Frame(frame)),
            (Item::Closed, Some(conn)) => {
                self.net.let_go(wire, side);
                if self.conns(host).remove(&conn).is_some() {
                    self.tell(host, conn, Told::Closed);
                }
            }
            // The acceptor was not there when the connection opened.
            (_, None) => self.net.let_go(wire, side),
        }
    }

    fn accept(&mut self, host: Host, wire: WireId, listener: ListenerKind) {
        let Host::Server(index) = host else { return };
        let server = &mut self.servers[index];
        if server.node.is_none() {
            self.net.hang_up(self.now_ns, wire, Side::Acceptor, &mut self.arrivals);
            return self.take_arrivals();
        }
        server.accepted += 1;
        let conn = ConnId(server.accepted * 2);
        server.conns.insert(conn, Ours { wire, side: Side::Acceptor, connected: true });
        self.net.number(wire, conn);
        self.net.send(self.now_ns, wire, Side::Acceptor, Item::Open, &mut self.arrivals);
        self.take_arrivals();
        self.step_server(index, Event::Accepted { conn, listener });
    }

    fn tell(&mut self, host: Host, conn: ConnId, told: Told) {
        match host {
            Host::Server(index) => self.step_server(
                index,
                match told {
                    Told::Connected => Event::Connected { conn },
                    Told::Closed => Event::Closed { conn },
                    Told::Frame(frame) => Event::Frame { conn, frame },
                },
            ),
            Host::Client(index) => self.step_client(
                index,
                match told {
                    Told::Connected => ClientEvent::Connected(conn),
                    Told::Closed => ClientEvent::Closed(conn),
                    Told::Frame(frame) => ClientEvent::Frame(conn, frame),
                },
            ),
        }
    }
}

enum Told {
    Connected,
    Closed,
    Frame(Bytes),
}
