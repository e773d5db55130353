//! The network: connections that keep their order, links that delay, stall and break.
//!
//! In:  what either end of a connection does, cuts and heals, the time.
//! Out: when something arrives where ([`Arrival`]s for the event queue), and then what.
//! Owns: connections and what is under way on them.
//! Never: loses or reorders bytes of a connection that goes on living; that is TCP's promise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use broker_core::{ConnId, ListenerKind};
use bytes::Bytes;

use crate::dice::{Concern, Dice};
use crate::links::{LinkId, LinkMode, LinkStats, Links};
use crate::plan::Climate;

/// Who is at the end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Host {
    /// By its id: the first controller is 0, brokers follow, then other controllers.
    Server(usize),
    Client(usize),
}

/// Names a connection in the whole simulation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WireId(pub(crate) u64);

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Open | Self::Closed => 0,
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// What reaches an end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// At the acceptor: somebody connects. At the dialer: it is accepted.
    Open,
    Frame(Bytes),
    Closed,
}

/// For the event queue: something is due at this end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at_ns: u64,
    pub(crate) wire: WireId,
    pub(crate) to: Side,
}

struct End {
    host: Host,
    /// How the host calls the connection; the acceptor learns it when the connection opens.
    conn: Option<ConnId>,
    /// The host still has the connection.
    alive: bool,
    /// Under way to this end, in order.
    incoming: VecDeque<Item>,
    last_arrival_ns: u64,
    /// When a slow link has passed on all that is under way to this end.
    free_ns: u64,
    /// Arrivals that came due while the link was cut.
    overdue: usize,
}

impl End {
    fn new(host: Host, conn: Option<ConnId>) -> Self {
        Self {
            host,
            conn,
            alive: true,
            incoming: VecDeque::new(),
            last_arrival_ns: 0,
            free_ns: 0,
            overdue: 0,
        }
    }
}

struct Wire {
    dialer: End,
    acceptor: End,
    listener: ListenerKind,
}

impl Wire {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialer => &mut self.dialer,
            Side::Acceptor => &mut self.acceptor,
        }
    }

    fn hosts(&self) -> [Host; 2] {
        [self.dialer.host, self.acceptor.host]
    }

    fn link(&self) -> LinkId {
        LinkId::of(self.dialer.host, self.acceptor.host)
    }

    /// What waited sets out anew. What a dead end had sent is lost, as its host cannot send it again, but for the news
    /// of its death.
    fn release(
        &mut self,
        id: WireId,
        to: Side,
        after: &mut impl FnMut() -> u64,
        arrivals: &mut Vec<Arrival>,
    ) {
        let sender_lives = self.end(to.other()).alive;
        let end = self.end(to);
        let overdue = std::mem::take(&mut end.overdue);
        if overdue > 0 && !sender_lives {
            end.incoming.retain(|item| matches!(item, Item::Closed));
        }
        for _ in 0..overdue {
            arrivals.push(Arrival { at_ns: after(), wire: id, to });
        }
    }
}

/// What a host is to be told.
pub(crate) struct Delivery {
    pub(crate) host: Host,
    pub(crate) wire: WireId,
    pub(crate) side: Side,
    pub(crate) listener: ListenerKind,
    /// `None` for a connection that the acceptor has yet to number.
    pub(crate) conn: Option<ConnId>,
    pub(crate) item: Item,
}

pub(crate) struct Network {
    wires: BTreeMap<WireId, Wire>,
    next_wire: u64,
    /// Directions in which nothing gets through.
    cut: BTreeSet<(Host, Host)>,
    dice: Dice,
    delay: u64,
    jitter: u64,
    links: Links,
    /// Hosts that nothing leaves and nothing reaches.
    silent: BTreeSet<Host>,
}

impl Network {
    pub(crate) fn new(seed: u64, climate: Climate) -> Self {
        Self {
            wires: BTreeMap::new(),
            next_wire: 0,
            cut: BTreeSet::new(),
            dice: Dice::new(seed, Concern::Network),
            delay: climate.net_delay,
            jitter: climate.net_jitter,
            links: Links::default(),
            silent: BTreeSet::new(),
        }
    }

    /// A host begins to connect.
    pub(crate) fn dial(
        &mut self,
        now_ns: u64,
        from: (Host, ConnId),
        to: Host,
        listener: ListenerKind,
        arrivals: &mut Vec<Arrival>,
    ) -> WireId {
        self.next_wire += 1;
        let id = WireId(self.next_wire);
        let mut wire =
            Wire { dialer: End::new(from.0, Some(from.1)), acceptor: End::new(to, None), listener };
        let refused = self.links.refuses(wire.link());
        wire.acceptor.alive = !refused;
        self.wires.insert(id, wire);
        let (side, item) = if refused { (Side::Dialer, Item::Closed) } else { (Side::Acceptor, Item::Open) };
        self.push(now_ns, id, side, item, arrivals);
        id
    }

    /// An end sends to the other one.
    pub(crate) fn send(
        &mut self,
        now_ns: u64,
        wire: WireId,
        from: Side,
        item: Item,
        arrivals: &mut Vec<Arrival>,
    ) {
        self.push(now_ns, wire, from.other(), item, arrivals);
    }

    fn push(&mut self, now_ns: u64, id: WireId, to: Side, item: Item, arrivals: &mut Vec<Arrival>) {
        let delay = self.delay + self.dice.between(0, self.jitter);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let link = wire.link();
        let end = wire.end(to);
        if !end.alive {
            return;
        }
        let passed_ns = self.links.pass(link, now_ns, item.bytes(), &mut end.free_ns);
        end.last_arrival_ns = end.last_arrival_ns.max(passed_ns + delay);
        end.incoming.push_back(item);
        arrivals.push(Arrival { at_ns: end.last_arrival_ns, wire: id, to });
    }

    /// An arrival is due. `None` if the link is cut or nobody is there any more.
    pub(crate) fn arrive(&mut self, wire_id: WireId, to: Side) -> Option<Delivery> {
        let wire = self.wires.get_mut(&wire_id)?;
        let (from_host, link) = (wire.end(to.other()).host, wire.link());
        let listener = wire.listener;
        let end = wire.end(to);
        if !end.alive {
            return None;
        }
        let silent = self.silent.contains(&from_host) || self.silent.contains(&end.host);
        let stalled = self.links.holds(link, end.incoming.front().map_or(0, Item::bytes));
        if silent || stalled || self.cut.contains(&(from_host, end.host)) {
            end.overdue += 1;
            return None;
        }
        let item = end.incoming.pop_front()?;
        Some(Delivery { host: end.host, wire: wire_id, side: to, listener, conn: end.conn, item })
    }

    /// The acceptor has numbered a connection.
    pub(crate) fn number(&mut self, wire: WireId, conn: ConnId) {
        if let Some(wire) = self.wires.get_mut(&wire) {
            wire.acceptor.conn = Some(conn);
        }
    }

    /// An end has let go of the connection, or its host has died; the other one hears of it, if it can.
    pub(crate) fn hang_up(&mut self, now_ns: u64, id: WireId, side: Side, arrivals: &mut Vec<Arrival>) {
        self.let_go(id, side);
        self.push(now_ns, id, side.other(), Item::Closed, arrivals);
    }

    /// An end is done with the connection; the wire goes when both are.
    pub(crate) fn let_go(&mut self, id: WireId, side: Side) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let end = wire.end(side);
        end.alive = false;
        end.incoming.clear();
        if !wire.dialer.alive && !wire.acceptor.alive {
            self.wires.remove(&id);
        }
    }

    /// Nothing gets from one host to the other any more.
    pub(crate) fn cut(&mut self, from: Host, to: Host) {
        self.cut.insert((from, to));
    }

    /// Ends that give their connection up because of a cut between two hosts: none (it stalls), one (half-open)
    /// or both, as drawn for each connection.
    pub(crate) fn breaks(&mut self, a: Host, b: Host) -> Vec<(WireId, Side)> {
        let mut broken = Vec::new();
        for (id, wire) in &self.wires {
            if wire.hosts() != [a, b] && wire.hosts() != [b, a] {
                continue;
            }
            match self.dice.between(0, 4) {
                0 => broken.extend([(*id, Side::Dialer), (*id, Side::Acceptor)]),
                1 => broken.push((*id, Side::Dialer)),
                2 => broken.push((*id, Side::Acceptor)),
                _ => {}
            }
        }
        broken
    }

    /// What `side` is told when its connection breaks under it; `None` if it has none.
    pub(crate) fn broken(&mut self, id: WireId, side: Side) -> Option<(Host, ConnId)> {
        let end = self.wires.get_mut(&id)?.end(side);

        end.conn.filter(|_| end.alive).map(|conn| (end.host, conn))
    }

    /// All gets through again; what came due meanwhile sets out anew.
    pub(crate) fn heal(&mut self, now_ns: u64, from: Host, to: Host, arrivals: &mut Vec<Arrival>) {
        if !self.cut.remove(&(from, to)) {
            return;
        }
        for (id, wire) in &mut self.wires {
            let [dialer, acceptor] = wire.hosts();
            for (side, link) in [(Side::Acceptor, (dialer, acceptor)), (Side::Dialer, (acceptor, dialer))] {
                if link != (from, to) {
                    continue;
                }
                let end = wire.end(side);
                for _ in 0..std::mem::take(&mut end.overdue) {
                    let at_ns = now_ns + self.delay + self.dice.between(0, self.jitter);
                    arrivals.push(Arrival { at_ns, wire: *id, to: side });
                }
            }
        }
    }

    /// Changes what a link does. Connections that a cut breaks come out.
    pub(crate) fn set_mode(
        &mut self,
        now_ns: u64,
        link: LinkId,
        mode: LinkMode,
        arrivals: &mut Vec<Arrival>,
    ) -> Vec<WireId> {
        let wires = self.wires.iter().filter(|(_, wire)| wire.link() == link);
        let wires: Vec<WireId> = wires.map(|(id, _)| *id).collect();
        self.links.set_mode(link, mode, wires.len() as u64);
        match mode {
            LinkMode::Cut => return wires,
            LinkMode::Stall => {}
            LinkMode::Pass | LinkMode::Slow { .. } => {
                self.release(now_ns, |wire| wire.link() == link, arrivals);
            }
        }
        Vec::new()
    }

    /// What a link did since the start.
    pub(crate) fn link_stats(&self, link: LinkId) -> LinkStats {
        self.links.stats(link)
    }

    /// Nothing leaves or reaches a host any more, or all does again.
    pub(crate) fn silence(&mut self, now_ns: u64, host: Host, silent: bool, arrivals: &mut Vec<Arrival>) {
        if silent {
            self.silent.insert(host);
        } else if self.silent.remove(&host) {
            self.release(now_ns, |wire| wire.hosts().contains(&host), arrivals);
        }
    }

    fn release(&mut self, now_ns: u64, of: impl Fn(&Wire) -> bool, arrivals: &mut Vec<Arrival>) {
        let Self { wires, dice, delay, jitter, .. } = self;
        let mut after = || now_ns + *delay + dice.between(0, *jitter);
        for (id, wire) in wires.iter_mut().filter(|(_, wire)| of(wire)) {
            wire.release(*id, Side::Dialer, &mut after, arrivals);
            wire.release(*id, Side::Acceptor, &mut after, arrivals);
        }
    }

    /// Who is at an end of a connection.
    pub(crate) fn host(&mut self, wire: WireId, side: Side) -> Option<Host> {
        self.wires.get_mut(&wire).map(|wire| wire.end(side).host)
    }

    /// All cuts in force.
    pub(crate) fn cuts(&self) -> Vec<(Host, Host)> {
        self.cut.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Options, Plan};

    const BROKER: Host = Host::Server(1);
    const CLIENT: Host = Host::Client(0);

    fn network() -> (Network, WireId, Vec<Arrival>) {
        let mut network = Network::new(1, Plan::draw(1, &Options::default()).weather.climate);
        let mut arrivals = Vec::new();
        let wire = network.dial(0, (CLIENT, ConnId(1)), BROKER, ListenerKind::Client, &mut arrivals);
        (network, wire, arrivals)
    }

    fn drain(network: &mut Network, arrivals: &mut Vec<Arrival>) -> Vec<Item> {
        arrivals.sort_by_key(|arrival| arrival.at_ns);
        let due = std::mem::take(arrivals);
        due.into_iter()
            .filter_map(|due| network.arrive(due.wire, due.to))
            .map(|delivery| delivery.item)
            .collect()
    }

    #[test]
    fn frames_keep_their_order_through_a_cut_that_heals() {
        let (mut network, wire, mut arrivals) = network();
        for byte in 0..10 {
            network.send(byte, wire, Side::Dialer, Item::Frame(Bytes::from(vec![byte as u8])), &mut arrivals);
        }
        network.cut(CLIENT, BROKER);
        assert!(drain(&mut network, &mut arrivals).is_empty());
        network.heal(100, CLIENT, BROKER, &mut arrivals);
        let items = drain(&mut network, &mut arrivals);
        assert!(matches!(items[0], Item::Open));
        let bytes = items[1..].iter().map(|item| match item {
            Item::Frame(frame) => frame[0],
            other => panic!("{other:?}"),
        });
        assert_eq!(bytes.collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_other_end_hears_of_a_death_after_what_was_sent_before() {
        let (mut network, wire, mut arrivals) = network();
        network.send(0, wire, Side::Dialer, Item::Frame(Bytes::new()), &mut arrivals);
        network.hang_up(1, wire, Side::Dialer, &mut arrivals);
        let items = drain(&mut network, &mut arrivals);
        assert!(matches!(items[..], [Item::Open, Item::Frame(_), Item::Closed]), "{items:?}");
        network.let_go(wire, Side::Acceptor);
        assert!(network.wires.is_empty());
    }

    #[test]
    fn a_cut_is_one_way() {
        let (mut network, wire, mut arrivals) = network();
        drain(&mut network, &mut arrivals);
        network.cut(CLIENT, BROKER);
        network.send(0, wire, Side::Acceptor, Item::Open, &mut arrivals);
        assert_eq!(drain(&mut network, &mut arrivals).len(), 1);
    }
}
