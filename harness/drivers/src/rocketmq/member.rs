//! The thread of a group member: heartbeats, the share of the queues, where each is read, and progress.
//!
//! RocketMQ's groups have no coordinator. Every member says by heartbeat to every copy of every broker that it is there,
//! asks a broker who else is, and works out its own share; brokers say when members come or go. A queue is read from where
//! the group's progress stands on its broker. After a change of master a member goes on where it was, and tells the new
//! master its progress.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mqproof_core::plan::Start;

use super::allocation::averagely;
use super::inbox::Inbox;
use super::links::{LinkReport, Links};
use super::locks::{self, LOCK_EVERY};
use super::membership::{Membership, SUSPEND, heartbeat, pull};
use super::outcome::{NEVER_SENT, NO_ANSWER};
use super::remoting::json::{self as bodies, ConsumerIds};
use super::remoting::{Report, Request, Response, code};
use super::route_watch::{Copies, RouteWatch};
use super::stored::split;
use crate::Connection;
use crate::library_log::LibraryLog;

/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(10);
/// The Java client's `heartbeatBrokerInterval`; a new connection has one at once.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The Java client's own; what brokers tell of members that come and go leads to one at once.
const REBALANCE: Duration = Duration::from_secs(20);
/// After a question that went wrong.
const BACK_OFF: Duration = Duration::from_millis(100);
/// From a lost connection or a failed rebalance to the next try.
const LONG_BACK_OFF: Duration = Duration::from_millis(500);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Event {
    Link(LinkReport),
    Route(Copies),
    /// Tell the broker that a partition was read up to `next`, and pass on the code of its answer.
    Commit {
        partition: u16,
        next: u64,
        deadline: Instant,
        answer: Sender<i32>,
    },
    /// The last message of a partition that went to another member is handled, and its progress told.
    Released(u16),
    /// Leave the group, and say when that is done.
    Leave(Sender<()>),
    /// The consumer is gone.
    End,
}

/// How far a partition's reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Orderly consumers only: the queue is not this member's yet.
    Locked,
    /// The group's progress is asked for.
    Committed,
    /// There is none, and the start or the end of the queue is asked for.
    Bound,
    /// From this offset on.
    Reading(u64),
}

/// A partition of this member's share.
#[derive(Debug)]
struct Share {
    phase: Phase,
    /// A question about it is under way.
    is_busy: bool,
    /// When the next one may go.
    not_before: Instant,
    /// When the lock is due to be taken again.
    lock_again_at: Instant,
}

/// What an answer is for.
#[derive(Debug)]
enum Asked {
    Heartbeat,
    Members,
    /// What the phase of a partition needs.
    Share(u16),
    /// The lock of a partition again.
    Lock(u16),
    Commit(Sender<i32>),
    Leave,
}

#[derive(Debug)]
struct Pending {
    asked: Asked,
    address: String,
    until: Instant,
}

/// Everything the thread has.
pub(super) struct Member {
    who: Membership,
    inbox: Arc<Inbox>,
    log: LibraryLog,
    links: Links,
    copies: Copies,
    watch: RouteWatch,
    events: Receiver<Event>,
    pending: BTreeMap<u32, Pending>,
    shares: BTreeMap<u16, Share>,
    /// Partitions that are no longer of this member's share, and whose last message may still be handled: they stay locked.
    releasing: BTreeSet<u16>,
    /// When each copy's next heartbeat is due.
    heartbeats: BTreeMap<String, Instant>,
    rebalance_at: Instant,
    has_joined: bool,
    commit_at: Instant,
    leaving: Option<Sender<()>>,
}

impl Member {
    /// The thread's state, and the way to talk to it.
    pub(super) fn new(
        connection: &Connection,
        who: Membership,
        inbox: Arc<Inbox>,
        log: LibraryLog,
    ) -> (Self, Sender<Event>) {
        let (tell, events) = channel();
        let (of_links, of_route) = (tell.clone(), tell.clone());
        let every = Duration::from_millis(who.settings.route_refresh_ms);
        let watch = RouteWatch::start(connection, &who.topic, every, move |copies| {
            drop(of_route.send(Event::Route(copies)));
        });
        let member = Self {
            links: Links::new(move |report| drop(of_links.send(Event::Link(report)))),
            who,
            inbox,
            log,
            copies: Copies::default(),
            watch,
            events,
            pending: BTreeMap::new(),
            shares: BTreeMap::new(),
            releasing: BTreeSet::new(),
            heartbeats: BTreeMap::new(),
            rebalance_at: Instant::now(),
            has_joined: false,
            commit_at: Instant::now(),
            leaving: None,
        };
        (member, tell)
    }

    /// Works until the consumer is gone or has left.
    pub(super) fn run(mut self) {
        loop {
            let mut next = self.events.recv_timeout(TICK).ok();
            while let Some(event) = next {
                match event {
                    Event::Link(report) => self.link(report),
                    Event::Route(copies) => self.route(copies),
                    Event::Commit { partition, next, deadline, answer } => {
                        self.commit(partition, next, deadline, answer);
                    }
                    Event::Released(partition) => self.unlock_released(partition),
                    Event::Leave(left) => self.leave(left),
                    Event::End => return,
                }
                next = self.events.try_recv().ok();
            }
            self.give_up_late();
            if let Some(left) = &self.leaving {
                if self.pending.values().all(|pending| !matches!(pending.asked, Asked::Leave)) {
                    let _ = left.send(());
                    return;
                }
                continue;
            }
            self.look_at_clock();
        }
    }

    fn ask(&mut self, address: &str, request: &Request, asked: Asked, within: Duration) {
        let opaque = self.links.send(address, request);
        let until = Instant::now() + within;
        self.pending.insert(opaque, Pending { asked, address: address.to_owned(), until });
    }

    fn link(&mut self, report: LinkReport) {
        if !self.links.is_current(&report) {
            return;
        }
        let LinkReport { address, report, .. } = report;
        match report {
            Report::Answer(opaque, answer) => {
                if let Some(pending) = self.pending.remove(&opaque) {
                    self.answered(&address, pending.asked, &answer);
                }
            }
            Report::Asked(request) if request.code == code::NOTIFY_CONSUMER_IDS_CHANGED => {
                self.rebalance_at = Instant::now();
            }
            Report::Asked(_) | Report::Written(_) => {}
            Report::Closed { why, .. } => {
                self.log.line("connection", &format!("`{address}`: {why}"));
                self.heartbeats.insert(address.clone(), Instant::now() + LONG_BACK_OFF);
                self.give_up_on(&address);
            }
        }
    }

    fn answered(&mut self, address: &str, asked: Asked, answer: &Response) {
        match asked {
            Asked::Heartbeat if answer.code == code::SUCCESS => {
                // The broker knows this member from now on.
                if !self.has_joined {
                    self.rebalance_at = Instant::now();
                }
            }
            Asked::Heartbeat => self.complain("heartbeat", address, answer),
            Asked::Members => match self.members_in(answer) {
                Some(share) => self.assign(share),
                None => self.rebalance_soon(),
            },
            Asked::Share(partition) => self.share_answered(partition, address, answer),
            Asked::Lock(partition) if locks::is_granted(answer) => self.lock_granted(partition),
            Asked::Lock(partition) => self.lock_lost(partition),
            Asked::Commit(code) => {
                if answer.code != code::SUCCESS {
                    self.complain("commit", address, answer);
                }
                let _ = code.send(answer.code);
            }
            Asked::Leave => {}
        }
    }

    fn rebalance_soon(&mut self) {
        self.rebalance_at = self.rebalance_at.min(Instant::now() + LONG_BACK_OFF);
    }

    fn complain(&self, what: &str, address: &str, answer: &Response) {
        self.log.line(what, &format!("`{address}` answers {}: {}", answer.code, answer.remark));
    }

    /// This member's share, if the broker knows it.
    fn members_in(&self, answer: &Response) -> Option<BTreeSet<u16>> {
        let mut ids = bodies::parse::<ConsumerIds>(&answer.body).ok()?.consumer_id_list;
        ids.sort();
        let place = ids.iter().position(|id| *id == self.who.client_id)?;
        let share = averagely(self.who.queues.len(), ids.len(), place);
        Some(share.map(|partition| partition as u16).collect())
    }

    fn assign(&mut self, share: BTreeSet<u16>) {
        if self.shares.keys().eq(&share) && self.has_joined {
            return;
        }
        self.has_joined = true;
        let lost = self.inbox.assign(share.clone());
        if self.who.settings.auto_commit.is_some() {
            self.tell_progress(lost);
        }
        if self.who.settings.is_orderly {
            self.release_all_but(&share);
        }
        self.shares.retain(|partition, _| share.contains(partition));
        // An answer for a partition that is lost must not be taken for one after it came back.
        self.pending.retain(|_, pending| match &pending.asked {
            Asked::Share(partition) | Asked::Lock(partition) => share.contains(partition),
            _ => true,
        });
        let now = Instant::now();
        let phase = if self.who.settings.is_orderly { Phase::Locked } else { Phase::Committed };
        for partition in share {
            let fresh = || Share { phase, is_busy: false, not_before: now, lock_again_at: now };
            self.shares.entry(partition).or_insert_with(fresh);
        }
    }

    /// What may have been handed on is given back when it is done with, what was only asked for at once.
    fn release_all_but(&mut self, share: &BTreeSet<u16>) {
        let lost = self.shares.iter().filter(|(partition, _)| !share.contains(partition));
        let (asked, held): (Vec<_>, Vec<_>) = lost.partition(|(_, one)| one.phase == Phase::Locked);
        let asked: Vec<u16> = asked.into_iter().map(|(partition, _)| *partition).collect();
        self.releasing.extend(held.into_iter().map(|(partition, _)| *partition));
        self.releasing.retain(|partition| !share.contains(partition));
        for partition in asked {
            self.unlock(partition);
        }
    }

    fn lock_granted(&mut self, partition: u16) {
        if let Some(share) = self.shares.get_mut(&partition)
            && share.phase == Phase::Locked
        {
            share.phase = Phase::Committed;
        }
    }

    /// Another member has the queue: what was fetched of it is not handed on.
    fn lock_lost(&mut self, partition: u16) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        if share.phase == Phase::Locked {
            // It still has to be given back.
            share.lock_again_at = Instant::now() + LONG_BACK_OFF;
            return;
        }
        self.log.line("lock", &format!("queue {partition} is another member's"));
        self.shares.remove(&partition);
        self.pending.retain(|_, pending| !matches!(pending.asked, Asked::Share(of) if of == partition));
        self.inbox.assign(self.shares.keys().copied().collect());
        self.rebalance_soon();
    }

    fn unlock_released(&mut self, partition: u16) {
        if self.releasing.remove(&partition) {
            self.unlock(partition);
        }
    }

    fn unlock(&mut self, partition: u16) {
        let queue = &self.who.queues[usize::from(partition)];
        if let Some(master) = self.copies.any(&queue.broker).map(str::to_owned) {
            self.links.send(&master, &locks::unlock(&self.who, queue).one_way());
        }
    }

    fn share_answered(&mut self, partition: u16, address: &str, answer: &Response) {
        let Some(share) = self.shares.get_mut(&partition) else { return };
        share.is_busy = false;
        let offset = |name| answer.number(name).and_then(|offset| u64::try_from(offset).ok());
        let phase = match (share.phase, answer.code) {
            (Phase::Committed, code::SUCCESS) => offset("offset").map_or(Phase::Bound, Phase::Reading),
            (Phase::Committed, code::QUERY_NOT_FOUND) => Phase::Bound,
            (Phase::Bound, code::SUCCESS) => Phase::Reading(offset("offset").unwrap_or(0)),
            (Phase::Reading(next), code::SUCCESS) => {
                if let Some(mut messages) = split(&answer.body) {
                    // What the broker adds before the place that was asked for is not handed on twice.
                    messages.retain(|message| message.queue_offset >= next);
                    let last = messages.last().map(|message| message.queue_offset + 1);
                    self.inbox.put(partition, messages);
                    Phase::Reading(last.or_else(|| offset("nextBeginOffset")).unwrap_or(next))
                } else {
                    self.log.line("pull", &format!("queue {partition}: messages that are not understood"));
                    share.not_before = Instant::now() + LONG_BACK_OFF;
                    Phase::Reading(next)
                }
            }
            (Phase::Reading(next), code::PULL_NOT_FOUND) => Phase::Reading(next),
            (Phase::Reading(next), code::PULL_RETRY_IMMEDIATELY | code::PULL_OFFSET_MOVED) => {
                let moved = offset("nextBeginOffset").unwrap_or(next);
                self.log.line("pull", &format!("queue {partition}: from `{next}` to `{moved}`"));
                if moved == next {
                    share.not_before = Instant::now() + BACK_OFF;
                }
                Phase::Reading(moved)
            }
            (phase, _) => {
                share.not_before = Instant::now() + BACK_OFF;
                self.complain("pull", address, answer);
                self.watch.refresh(address);
                self.shares.get_mut(&partition).expect("it is there").phase = phase;
                return;
            }
        };
        self.shares.get_mut(&partition).expect("it is there").phase = phase;
    }

    /// A change of master ends what was asked of the old one.
    fn route(&mut self, copies: Copies) {
        let now = Instant::now();
        for address in copies.addresses() {
            self.heartbeats.entry(address.to_owned()).or_insert(now);
        }
        for (&partition, share) in &mut self.shares {
            let broker = &self.who.queues[usize::from(partition)].broker;
            if self.copies.any(broker) != copies.any(broker) {
                // A new master may know of no lock.
                share.lock_again_at = now;
            }
        }
        self.copies = copies;
        let Self { pending, copies, who, shares, .. } = self;
        pending.retain(|_, pending| {
            let Asked::Share(partition) = pending.asked else { return true };
            let broker = &who.queues[usize::from(partition)].broker;
            let stays = copies.any(broker) == Some(&pending.address);
            if !stays && let Some(share) = shares.get_mut(&partition) {
                share.is_busy = false;
            }
            stays
        });
    }

    fn give_up_late(&mut self) {
        let now = Instant::now();
        let late = self.pending.extract_if(.., |_, pending| pending.until <= now).collect::<Vec<_>>();
        for (_, pending) in late {
            self.log.line("request", &format!("`{}` did not answer: {:?}", pending.address, pending.asked));
            self.given_up(pending);
        }
    }

    fn give_up_on(&mut self, address: &str) {
        self.watch.refresh(address);
        let lost = self.pending.extract_if(.., |_, pending| pending.address == address).collect::<Vec<_>>();
        for (_, pending) in lost {
            self.given_up(pending);
        }
    }

    fn given_up(&mut self, pending: Pending) {
        let now = Instant::now();
        match pending.asked {
            Asked::Members => self.rebalance_soon(),
            Asked::Share(partition) => {
                self.watch.refresh(&pending.address);
                if let Some(share) = self.shares.get_mut(&partition) {
                    share.is_busy = false;
                    share.not_before = now + BACK_OFF;
                }
            }
            Asked::Lock(partition) => {
                self.watch.refresh(&pending.address);
                if let Some(share) = self.shares.get_mut(&partition) {
                    share.lock_again_at = now + LONG_BACK_OFF;
                }
            }
            Asked::Commit(answer) => drop(answer.send(NO_ANSWER)),
            Asked::Heartbeat => {
                self.heartbeats.insert(pending.address, now + LONG_BACK_OFF);
            }
            Asked::Leave => {}
        }
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        let due: Vec<String> = self
            .copies
            .addresses()
            .filter(|address| self.heartbeats.get(*address).is_none_or(|at| *at <= now))
            .map(str::to_owned)
            .collect();
        for address in due {
            self.heartbeats.insert(address.clone(), now + HEARTBEAT);
            self.ask(&address, &heartbeat(&self.who), Asked::Heartbeat, ANSWER_WITHIN);
        }
        if self.rebalance_at <= now
            && let Some(address) = self.copies.any(&self.who.queues[0].broker).map(str::to_owned)
        {
            self.rebalance_at = now + REBALANCE;
            let request =
                Request::new(code::GET_CONSUMER_LIST_BY_GROUP).with("consumerGroup", &self.who.group);
            self.ask(&address, &request, Asked::Members, ANSWER_WITHIN);
        }
        if let Some(every) = self.who.settings.auto_commit
            && self.commit_at <= now
        {
            self.commit_at = now + every;
            let handed = self.inbox.take_handed();
            self.tell_progress(handed);
        }
        for partition in self.shares.keys().copied().collect::<Vec<_>>() {
            self.take_lock(partition, now);
            self.go_on(partition, now);
        }
    }

    fn take_lock(&mut self, partition: u16, now: Instant) {
        let share = self.shares.get_mut(&partition).expect("it is there");
        let queue = &self.who.queues[usize::from(partition)];
        if !self.who.settings.is_orderly || share.lock_again_at > now {
            return;
        }
        if let Some(master) = self.copies.any(&queue.broker).map(str::to_owned) {
            share.lock_again_at = now + LOCK_EVERY;
            let request = locks::lock(&self.who, queue);
            self.ask(&master, &request, Asked::Lock(partition), ANSWER_WITHIN);
        }
    }

    /// Asks for what a partition needs next.
    fn go_on(&mut self, partition: u16, now: Instant) {
        let share = &self.shares[&partition];
        let queue = &self.who.queues[usize::from(partition)];
        if share.is_busy || share.not_before > now || !self.inbox.has_room(partition) {
            return;
        }
        let Some(address) = self.copies.any(&queue.broker).map(str::to_owned) else { return };
        let (request, within) = match (share.phase, self.who.settings.start) {
            (Phase::Locked, _) => return,
            (Phase::Committed, _) => (
                Request::new(code::QUERY_CONSUMER_OFFSET)
                    .with("consumerGroup", &self.who.group)
                    // Else a group that never committed looks as if it had committed 0.
                    .with("setZeroIfNotFound", false),
                ANSWER_WITHIN,
            ),
            (Phase::Bound, Start::Earliest) => (Request::new(code::GET_MIN_OFFSET), ANSWER_WITHIN),
            (Phase::Bound, Start::Latest) => (Request::new(code::GET_MAX_OFFSET), ANSWER_WITHIN),
            (Phase::Reading(next), _) => (pull(&self.who.group, next), SUSPEND + ANSWER_WITHIN),
        };
        let request = request.with("topic", &self.who.topic).with("queueId", queue.id);
        self.ask(&address, &request, Asked::Share(partition), within);
        self.shares.get_mut(&partition).expect("it is there").is_busy = true;
    }

    fn progress(&self, partition: u16, next: u64) -> Option<(String, Request)> {
        let queue = &self.who.queues[usize::from(partition)];
        let request = Request::new(code::UPDATE_CONSUMER_OFFSET)
            .with("consumerGroup", &self.who.group)
            .with("topic", &self.who.topic)
            .with("queueId", queue.id)
            .with("commitOffset", next);
        Some((self.copies.any(&queue.broker)?.to_owned(), request))
    }

    fn commit(&mut self, partition: u16, next: u64, deadline: Instant, answer: Sender<i32>) {
        if !self.shares.contains_key(&partition) && !self.releasing.contains(&partition) {
            let _ = answer.send(NEVER_SENT);
        } else if let Some((address, request)) = self.progress(partition, next) {
            let within = deadline.saturating_duration_since(Instant::now());
            self.ask(&address, &request, Asked::Commit(answer), within);
        } else {
            let _ = answer.send(NO_ANSWER);
        }
    }

    /// Without an answer, as the Java client does it.
    fn tell_progress(&mut self, places: Vec<(u16, u64)>) {
        for (partition, next) in places {
            if let Some((address, request)) = self.progress(partition, next) {
                self.links.send(&address, &request.one_way());
            }
        }
    }

    fn leave(&mut self, left: Sender<()>) {
        if self.who.settings.auto_commit.is_some() {
            let handed = self.inbox.take_handed();
            self.tell_progress(handed);
        }
        if self.who.settings.is_orderly {
            let own = self.shares.keys().chain(&self.releasing).copied().collect::<Vec<_>>();
            for partition in own {
                self.unlock(partition);
            }
        }
        let request = Request::new(code::UNREGISTER_CLIENT)
            .with("clientID", &self.who.client_id)
            .with("consumerGroup", &self.who.group);
        for address in self.copies.addresses().map(str::to_owned).collect::<Vec<_>>() {
            self.ask(&address, &request, Asked::Leave, ANSWER_WITHIN / 2);
        }
        self.leaving = Some(left);
    }
}
