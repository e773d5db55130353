//! The thread of a producer: one lane per queue, requests under way, repetitions.
//!
//! What waits for a queue goes together. Where order matters, one request of a queue is under way at a time; else as many
//! as the plan asks for. A message stays with its queue, whoever is its master.
//!
//! A request without an answer may lie in the buffers of a frozen master, and be served beside the next one when that wakes
//! up. So where order matters whatever goes next, also the same messages again, waits until the master has answered a question
//! that was asked later. That makes it rare and not impossible, since other threads of the master answer questions: whoever
//! gives a message up and goes on is told of as such.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mqproof_core::history::{Event as Recorded, Outcome};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::Durability;

use super::cluster::Queue;
use super::links::{LinkReport, Links};
use super::outcome::{NEVER_SENT, NO_ANSWER, class, classify, code_of};
use super::outgoing;
use super::remoting::{Report, Request, code};
use super::route_watch::{Copies, RouteWatch};
use super::settings::ProducerSettings;
use crate::Connection;
use crate::library_log::LibraryLog;
use crate::role::Completion;

/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(10);
/// Events taken between looks at the clock.
const EVENTS_AT_ONCE: usize = 1_000;
/// Between a send that ended badly and its repetition.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Event {
    /// A message for a lane.
    Send(usize, Job),
    /// Of a connection.
    Link(LinkReport),
    /// The name servers' word.
    Route(Copies),
    /// End everything that has no answer yet.
    Abandon,
    /// The producer is gone.
    End,
}

/// What the producer is told.
#[derive(Debug)]
pub(super) enum Said {
    /// How a send ended.
    Ended(Completion),
    /// Something was given up without an answer, and may still come to be served. This is the first message behind it.
    WentOn(MessageId),
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: MessageId,
    pub(super) properties: String,
    pub(super) body: Vec<u8>,
    pub(super) deadline: Instant,
    /// Whether it may have reached a broker.
    pub(super) was_tried: bool,
}

/// The way to one queue.
struct Lane {
    queue: Queue,
    waiting: VecDeque<Job>,
    under_way: usize,
    doubt: Doubt,
    /// Something of it was given up without an answer since the last message was sent.
    gave_up: bool,
}

/// Whether something that was given up may still be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    None,
    Some,
    /// The master was asked a question.
    Asked,
}

/// Messages that go together.
struct Batch {
    lane: usize,
    jobs: Vec<Job>,
    attempts: u32,
}

/// A request under way.
struct Pending {
    what: What,
    address: String,
    until: Instant,
}

enum What {
    Batch(Batch),
    /// Of a lane in doubt.
    Question(usize),
}

impl What {
    fn lane(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.lane,
            Self::Question(lane) => *lane,
        }
    }
}

/// Everything the thread has.
pub(super) struct Sending {
    topic: String,
    group: String,
    settings: ProducerSettings,
    lanes: Vec<Lane>,
    links: Links,
    copies: Copies,
    watch: RouteWatch,
    pending: BTreeMap<u32, Pending>,
    /// Batches that keep their place in their lane, and when they go again.
    again: Vec<(Instant, Batch)>,
    events: Receiver<Event>,
    said: Sender<Said>,
    log: LibraryLog,
}

impl Sending {
    /// The thread's state, and the way to talk to it.
    pub(super) fn new(
        connection: &Connection,
        topic: &str,
        settings: ProducerSettings,
        queues: Vec<Queue>,
        said: Sender<Said>,
        log: LibraryLog,
    ) -> (Self, Sender<Event>) {
        let (tell, events) = channel();
        let (of_links, of_route) = (tell.clone(), tell.clone());
        let every = Duration::from_millis(settings.route_refresh_ms);
        let lane = |queue| Lane {
            queue,
            waiting: VecDeque::new(),
            under_way: 0,
            doubt: Doubt::None,
            gave_up: false,
        };
        let sending = Self {
            topic: topic.to_owned(),
            group: format!("mqproof-{topic}"),
            settings,
            lanes: queues.into_iter().map(lane).collect(),
            links: Links::new(move |report| drop(of_links.send(Event::Link(report)))),
            copies: Copies::default(),
            watch: RouteWatch::start(connection, topic, every, move |copies| {
                drop(of_route.send(Event::Route(copies)));
            }),
            pending: BTreeMap::new(),
            again: Vec::new(),
            events,
            said,
            log,
        };
        (sending, tell)
    }

    /// Works until the producer is gone.
    pub(super) fn run(mut self) {
        loop {
            let mut next = self.events.recv_timeout(TICK).ok();
            let mut taken = 0;
            while let Some(event) = next {
                if matches!(event, Event::End) {
                    return;
                }
                self.take(event);
                taken += 1;
                next = if taken < EVENTS_AT_ONCE { self.events.try_recv().ok() } else { None };
            }
            self.look_at_clock();
            (0..self.lanes.len()).for_each(|lane| self.dispatch(lane));
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Send(lane, job) => self.lanes[lane].waiting.push_back(job),
            Event::Link(report) => self.link(report),
            Event::Route(copies) => self.route(copies),
            Event::Abandon => self.abandon(),
            Event::End => {}
        }
    }

    fn link(&mut self, report: LinkReport) {
        if !self.links.is_current(&report) {
            return;
        }
        match report.report {
            Report::Written(opaque) => self.answered(opaque, 0, None),
            Report::Answer(opaque, answer) => {
                let code = code_of(answer.code, &answer.remark);
                if code != 0 {
                    self.log.line("send", &format!("`{}` answers {code}: {}", report.address, answer.remark));
                }
                let offset = answer.number("queueOffset").and_then(|offset| u64::try_from(offset).ok());
                self.answered(opaque, code, offset);
            }
            Report::Asked(_) => {}
            Report::Closed { was_open, why } => {
                self.log.line("connection", &format!("`{}`: {why}", report.address));
                self.watch.refresh(&report.address);
                let lost = self.pending.extract_if(.., |_, pending| pending.address == report.address);
                for (_, Pending { what, .. }) in lost.collect::<Vec<_>>() {
                    match what {
                        // It was not sent, so this was no attempt.
                        What::Batch(batch) if !was_open => {
                            let attempts = batch.attempts - 1;
                            self.again.push((Instant::now() + BACK_OFF, Batch { attempts, ..batch }));
                        }
                        what => self.ended(what, NO_ANSWER, None),
                    }
                }
            }
        }
    }

    /// A change of master ends what waits for the old one, which may be frozen.
    fn route(&mut self, copies: Copies) {
        let Self { pending, lanes, .. } = self;
        let moved = pending.extract_if(.., |_, pending| {
            let master = copies.master(&lanes[pending.what.lane()].queue.broker);
            master.is_some_and(|master| master != pending.address)
        });
        let moved: Vec<_> = moved.collect();
        self.copies = copies;
        for (_, pending) in moved {
            self.ended(pending.what, NO_ANSWER, None);
        }
    }

    fn answered(&mut self, opaque: u32, code: i32, offset: Option<u64>) {
        // Else its time was over before.
        let Some(Pending { what, address, .. }) = self.pending.remove(&opaque) else { return };
        if code != 0 {
            self.watch.refresh(&address);
        }
        self.ended(what, code, offset);
    }

    fn ended(&mut self, what: What, code: i32, offset: Option<u64>) {
        match what {
            What::Batch(batch) => self.finish(batch, code, offset),
            What::Question(lane) => {
                self.lanes[lane].doubt = if code == NO_ANSWER { Doubt::Some } else { Doubt::None };
            }
        }
    }

    /// What has waited too long, for an answer, for its repetition or for its turn.
    fn look_at_clock(&mut self) {
        let now = Instant::now();
        let late = self.pending.extract_if(.., |_, pending| pending.until <= now).collect::<Vec<_>>();
        for (_, Pending { what, address, .. }) in late {
            self.log.line("send", &format!("`{address}` did not answer in time"));
            self.watch.refresh(&address);
            self.ended(what, NO_ANSWER, None);
        }
        let due = self.again.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>();
        for (_, batch) in due {
            self.attempt(batch);
        }
        for lane in 0..self.lanes.len() {
            while let Some(job) = self.lanes[lane].waiting.pop_front_if(|job| job.deadline <= now) {
                self.end(lane, &job, NEVER_SENT, None);
            }
        }
    }

    /// Sends what waits, as far as it may go.
    fn dispatch(&mut self, at: usize) {
        let ProducerSettings { in_flight, batch: most, batch_bytes, .. } = self.settings;
        loop {
            let lane = &mut self.lanes[at];
            if lane.under_way >= in_flight
                || lane.waiting.is_empty()
                || self.copies.master(&lane.queue.broker).is_none()
            {
                return;
            }
            if lane.doubt != Doubt::None {
                return self.question(at);
            }
            let mut bytes = 0;
            let mut fits = |job: &Job| {
                bytes += job.body.len() + job.properties.len();
                bytes <= batch_bytes
            };
            let count = lane.waiting.iter().take(most).take_while(|job| fits(job)).count().max(1);
            let jobs: Vec<Job> = lane.waiting.drain(..count).collect();
            lane.under_way += 1;
            if std::mem::take(&mut lane.gave_up)
                && let Some(first) = jobs.first()
            {
                let _ = self.said.send(Said::WentOn(first.id));
            }
            self.attempt(Batch { lane: at, jobs, attempts: 0 });
        }
    }

    fn question(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let Some(address) = self.copies.master(&lane.queue.broker).map(str::to_owned) else { return };
        if lane.doubt == Doubt::Some {
            lane.doubt = Doubt::Asked;
            let request =
                Request::new(code::GET_MAX_OFFSET).with("topic", &self.topic).with("queueId", lane.queue.id);
            let opaque = self.links.send(&address, &request);
            let until = Instant::now() + Duration::from_millis(self.settings.attempt_timeout_ms);
            self.pending.insert(opaque, Pending { what: What::Question(at), address, until });
        }
    }

    fn attempt(&mut self, mut batch: Batch) {
        let now = Instant::now();
        for job in batch.jobs.extract_if(.., |job| job.deadline <= now).collect::<Vec<_>>() {
            self.end(batch.lane, &job, NEVER_SENT, None);
        }
        if batch.jobs.is_empty() {
            self.lanes[batch.lane].under_way -= 1;
            return;
        }
        if self.lanes[batch.lane].doubt != Doubt::None {
            self.question(batch.lane);
            self.again.push((now + BACK_OFF, batch));
            return;
        }
        let queue = &self.lanes[batch.lane].queue;
        let Some(address) = self.copies.master(&queue.broker).map(str::to_owned) else {
            self.again.push((now + BACK_OFF, batch));
            return;
        };
        let messages = batch.jobs.iter().map(|job| (job.properties.as_str(), job.body.as_slice()));
        let mut request = outgoing::request(&self.group, &self.topic, queue, messages);
        if self.settings.durability == Durability::None {
            request = request.one_way();
        }
        let opaque = self.links.send(&address, &request);
        batch.attempts += 1;
        let deadline = batch.jobs.iter().map(|job| job.deadline).min().unwrap_or(now);
        let until = deadline.min(now + Duration::from_millis(self.settings.attempt_timeout_ms));
        self.pending.insert(opaque, Pending { what: What::Batch(batch), address, until });
    }

    /// An attempt has ended: the messages have, too, or they are sent again.
    fn finish(&mut self, mut batch: Batch, code: i32, offset: Option<u64>) {
        let (outcome, _) = classify(code, self.settings.durability);
        if outcome == Outcome::Info {
            batch.jobs.iter_mut().for_each(|job| job.was_tried = true);
        }
        if self.settings.in_flight == 1 && batch.jobs.iter().any(|job| job.was_tried) {
            self.lanes[batch.lane].doubt = Doubt::Some;
        }
        let may_repeat =
            self.settings.durability != Durability::None && batch.attempts <= self.settings.retries;
        if may_repeat && matches!(outcome, Outcome::Fail | Outcome::Info) {
            self.again.push((Instant::now() + BACK_OFF, batch));
            return;
        }
        for (at, job) in batch.jobs.iter().enumerate() {
            self.end(batch.lane, job, code, offset.map(|offset| offset + at as u64));
        }
        self.lanes[batch.lane].under_way -= 1;
    }

    fn end(&mut self, lane: usize, job: &Job, code: i32, offset: Option<u64>) {
        let (mut outcome, mut level) = classify(code, self.settings.durability);
        let mut code = code;
        if outcome == Outcome::Fail && job.was_tried {
            // What was once sent without an answer may be there, whatever a later attempt says.
            code = NO_ANSWER;
            (outcome, level) = classify(code, self.settings.durability);
        }
        self.lanes[lane].gave_up |= self.settings.in_flight == 1 && code == NO_ANSWER;
        let is_stored = matches!(outcome, Outcome::Ok | Outcome::Weak);
        let completion = Completion {
            id: job.id,
            outcome,
            level,
            class: class(code),
            partition: lane as u16,
            offset: offset.filter(|_| is_stored).unwrap_or(Recorded::NO_OFFSET),
        };
        // Nobody listens once the producer is gone.
        let _ = self.said.send(Said::Ended(completion));
    }

    fn abandon(&mut self) {
        for (_, Pending { what, .. }) in std::mem::take(&mut self.pending) {
            let What::Batch(batch) = what else { continue };
            batch.jobs.iter().for_each(|job| self.end(batch.lane, job, NO_ANSWER, None));
            self.lanes[batch.lane].under_way -= 1;
        }
        for (_, batch) in std::mem::take(&mut self.again) {
            batch.jobs.iter().for_each(|job| self.end(batch.lane, job, NEVER_SENT, None));
            self.lanes[batch.lane].under_way -= 1;
        }
        for lane in 0..self.lanes.len() {
            for job in std::mem::take(&mut self.lanes[lane].waiting) {
                self.end(lane, &job, NEVER_SENT, None);
            }
        }
    }
}
