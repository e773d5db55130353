//! What a client library must be able to do for the client processes, whatever its protocol.
//!
//! Results come to observers rather than as return values, because libraries deliver them in batches, later, and
//! sometimes on a thread of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mqproof_core::history::{Level, MemberChange, Outcome};
use mqproof_core::ids::MessageId;
use mqproof_core::plan::{ConsumerPlan, Durability, ProducerPlan};

/// A client could not be made or connected.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct DriverError {
    /// What was tried.
    pub what: String,
    /// What the client library said.
    pub why: String,
}

/// The partition of a send that never got one.
pub const NO_PARTITION: u16 = u16::MAX;

/// The error class of a message that the library never took, because its queue was full to the end: librdkafka's
/// `_QUEUE_FULL`, -184.
pub const CLASS_NO_ROOM: u16 = -184_i16 as u16;

/// A message on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Comes back in the [`Completion`].
    pub id: MessageId,
    /// The broker's key.
    pub key: Option<&'a [u8]>,
    /// The whole payload.
    pub payload: &'a [u8],
}

/// The library did not take a message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// Its queue is full: back-pressure, to be tried again. No operation has begun.
    #[error("the local queue is full")]
    NoRoom,
    /// It refused the message before sending anything.
    #[error("refused: {why}")]
    Refused {
        /// The library's error class.
        class: u16,
        /// In words.
        why: String,
    },
}

/// How a send ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// Which.
    pub id: MessageId,
    /// How.
    pub outcome: Outcome,
    /// At which level, if it was acknowledged.
    pub level: Level,
    /// The library's error class, 0 without an error.
    pub class: u16,
    /// Where it went, or [`NO_PARTITION`].
    pub partition: u16,
    /// The offset it got, or [`NO_OFFSET`](mqproof_core::history::Event::NO_OFFSET).
    pub offset: u64,
}

/// Is told how sends ended.
pub trait SendObserver: Send + Sync {
    /// Called on the thread that polls.
    fn completed(&self, completion: &Completion);
    /// The broker takes no more messages for want of memory or disk of its own (true), or takes them again. Of products
    /// that do not tell it is never called.
    fn limited(&self, _no_more: bool) {}
    /// The client goes on behind messages that it has given up and that may still come to be served: over another connection,
    /// where order is kept within one only, or after a time-out. `first` is the first message that it sends then.
    fn went_on(&self, _first: MessageId) {}
}

/// What a producer can do after the end of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GoesOn {
    /// The next transaction may begin.
    Begins,
    /// The transaction has to be aborted first.
    Aborts,
    /// It has to be [renewed](Transactional::renew) first.
    Renews,
}

/// How the end of a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionEnd {
    /// How.
    pub outcome: Outcome,
    /// The library's error class, 0 without an error.
    pub class: u16,
    /// What comes next.
    pub goes_on: GoesOn,
}

/// Transactions of a producer, one after the other. Every call waits for its answer, and is not called while another runs.
pub trait Transactional: Send + Sync {
    /// Begins a transaction: what is sent from now on belongs to it.
    fn begin(&self) -> Result<(), DriverError>;
    /// Asks for the commit until it is answered, for as long as this and while `go_on` says so.
    fn commit(&self, within: Duration, go_on: &dyn Fn() -> bool) -> TransactionEnd;
    /// Asks for the abort in the same way.
    fn abort(&self, within: Duration, go_on: &dyn Fn() -> bool) -> TransactionEnd;
    /// Starts as a new instance of the same transactional id, which ends whatever the one before left open. Sends of that
    /// one that have not ended do so.
    fn renew(&self, within: Duration) -> Result<(), DriverError>;
}

/// Sends to one topic.
pub trait Producer: Send + Sync {
    /// Waits until the topic's partitions have leaders.
    fn connect(&self, timeout: Duration) -> Result<(), DriverError>;
    /// Hands a message to the library, without waiting.
    fn send(&self, message: &Outgoing<'_>) -> Result<(), SendError>;
    /// Serves completions for as long as this.
    fn poll(&self, timeout: Duration);
    /// Gives up on everything that is not yet acknowledged; the completions come by `poll`.
    fn abandon(&self);
    /// How long the library may take until it says how a send ended.
    fn give_up_after(&self) -> Duration;
    /// The settings in force that matter for a verdict.
    fn settings(&self) -> BTreeMap<String, String>;
    /// Its transactions, where its plan asks for them.
    fn transactions(&self) -> Option<&dyn Transactional> {
        None
    }
}

/// A message on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// From where.
    pub partition: u16,
    /// At which offset, or [`NO_OFFSET`](mqproof_core::history::Event::NO_OFFSET) where messages have none.
    pub offset: u64,
    /// Whether the broker says that it may have handed it over before.
    pub redelivered: bool,
    /// What [`Consumer::settle`] takes for this message and those before it: the next offset, a delivery tag.
    pub settlement: u64,
    /// The broker's key.
    pub key: Option<&'a [u8]>,
    /// The payload.
    pub payload: &'a [u8],
}

/// How a commit ended for one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitEnd {
    /// The partition.
    pub partition: u16,
    /// The next offset to read, or [`NO_OFFSET`](mqproof_core::history::Event::NO_OFFSET).
    pub next: u64,
    /// When it began, CLOCK_MONOTONIC; 0 if the library began it by its own timer.
    pub began_ns: u64,
    /// How.
    pub outcome: Outcome,
    /// The library's error class.
    pub class: u16,
}

/// Is told what happens to a group member.
pub trait GroupObserver: Send + Sync {
    /// A partition came or went. `session` counts assignments of this process, from 1.
    fn member(&self, change: MemberChange, partition: u16, session: u16);
    /// A commit ended.
    fn committed(&self, commit: &CommitEnd);
}

/// Whether a message that was handed on is thereby settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handled {
    /// The next commit covers it.
    Settled,
    /// It does not, until [`Consumer::settle`] says so.
    Open,
}

/// A member of a consumer group, on one topic. All observers are called on the thread that calls it.
pub trait Consumer: Send {
    /// Waits until the cluster answers.
    fn connect(&self, timeout: Duration) -> Result<(), DriverError>;
    /// Joins the group.
    fn subscribe(&mut self) -> Result<(), DriverError>;
    /// Waits for a message as long as this, then takes up to `max` that are there, and hands each on. Returns early
    /// after a rebalance, so that all messages of one call came before it. Says how many messages there were.
    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>) -> Handled,
    ) -> usize;
    /// How often partitions were assigned or taken away.
    fn rebalances(&self) -> u64;
    /// A message, told by its [`settlement`](Received::settlement), and those before it are settled; the next commit
    /// covers them.
    fn settle(&mut self, partition: u16, settlement: u64);
    /// Commits what is settled and waits for the end.
    fn commit_and_wait(&mut self) -> Outcome;
    /// Leaves the group.
    fn close(self: Box<Self>);
    /// The settings in force that matter for a verdict.
    fn settings(&self) -> BTreeMap<String, String>;
}

/// Reads whole logs, without a group.
pub trait LogReader: Send {
    /// Log start and end (exclusive) of a partition, as the cluster says now.
    fn bounds(&self, partition: u16, timeout: Duration) -> Result<(u64, u64), DriverError>;
    /// Begins to read these partitions from their log start.
    fn assign(&mut self, partitions: &[u16]) -> Result<(), DriverError>;
    /// Waits for a message as long as this, then takes up to `max` that are there. Says how many there were. `at_end` is told the partitions in which all that can be read was read.
    fn poll(
        &mut self,
        max: usize,
        timeout: Duration,
        handle: &mut dyn FnMut(&Received<'_>),
        at_end: &mut dyn FnMut(u16),
    ) -> usize;
    /// The settings in force that matter for a verdict.
    fn settings(&self) -> BTreeMap<String, String>;
}

/// Makes clients of one cluster; none of them is connected yet.
pub trait Driver {
    /// A producer for the plan's topic, whose acknowledgements mean what the class asks for.
    fn producer(
        &self,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
    ) -> Result<Box<dyn Producer>, DriverError>;
    /// A group member that has not joined.
    fn consumer(
        &self,
        plan: &ConsumerPlan,
        observer: Arc<dyn GroupObserver>,
    ) -> Result<Box<dyn Consumer>, DriverError>;
    /// A reader of whole logs; `number` tells readers apart in the cluster's own logs.
    fn log_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError>;
    /// A reader of whole logs that is handed what is committed only; its [bounds](LogReader::bounds) end where something
    /// is undecided.
    fn committed_reader(&self, topic: &str, number: u16) -> Result<Box<dyn LogReader>, DriverError> {
        let _ = number;
        let why = "this product has no transactions of several messages".to_owned();
        Err(DriverError { what: format!("reader of committed records of `{topic}`"), why })
    }
    /// The client library and its version.
    fn library(&self) -> String;
}
