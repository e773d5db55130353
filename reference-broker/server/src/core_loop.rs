//! The one thread that drives the core.
//!
//! In:  messages from sockets, flushers and signals, through a [`Mailbox`]; the clock.
//! Out: the core's effects, carried out in order.
//! Owns: the node, its disk, and the sending end of every connection.
//! Never: waits for a socket or a log's flush.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use broker_core::{ConnId, DiskError, Effect, Event, FileId, ListenerKind, Node, SyncToken};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::clock::Clock;
use crate::disk::{FileDisk, OpenFile};
use crate::error::ExitReason;
use crate::flush::Flushers;
use crate::net::{Connector, Outbox, dial};

/// Events taken per wake-up before the clock is looked at again.
const EVENTS_PER_TURN: usize = 128;
/// How long an orderly stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames that wait for the core may take so much memory together; readers wait for room.
const INBOX_BYTES_MAX: usize = 256 << 20;
/// Room is counted in such pieces.
const INBOX_UNIT: usize = 1 << 10;

/// What the core thread is told.
pub(crate) enum Message {
    /// A connection came in.
    Accepted { conn: ConnId, listener: ListenerKind, outbox: Outbox },
    /// A frame came in; its room is given back when the core has taken it.
    Frame { conn: ConnId, frame: Bytes, room: Option<OwnedSemaphorePermit> },
    /// Anything else that the core understands.
    Event(Event),
    /// Stop in an orderly way.
    Stop,
}

/// The way to the core thread.
#[derive(Clone)]
pub(crate) struct Mailbox {
    sender: Sender<Message>,
    room: Arc<Semaphore>,
    accepted: Arc<AtomicU64>,
}

impl Mailbox {
    pub(crate) fn new(sender: Sender<Message>) -> Self {
        let room = Arc::new(Semaphore::new(INBOX_BYTES_MAX / INBOX_UNIT));
        Self { sender, room, accepted: Arc::new(AtomicU64::new(0)) }
    }

    /// False if the node has ended.
    pub(crate) fn event(&self, event: Event) -> bool {
        self.sender.send(Message::Event(event)).is_ok()
    }

    pub(crate) fn stop(&self) {
        // A node that has ended needs no telling.
        let _ = self.sender.send(Message::Stop);
    }

    /// Numbers a new connection (evenly; the core gives odd ids) and announces it.
    pub(crate) fn accepted(&self, listener: ListenerKind, outbox: Outbox) -> ConnId {
        let conn = ConnId(self.accepted.fetch_add(1, Ordering::Relaxed) * 2 + 2);
        let _ = self.sender.send(Message::Accepted { conn, listener, outbox });
        conn
    }

    /// Waits for room, so that a fast sender feels the core's pace.
    pub(crate) async fn frame(&self, conn: ConnId, frame: Bytes) {
        let units = (frame.len() / INBOX_UNIT + 1).min(INBOX_BYTES_MAX / INBOX_UNIT);
        // The semaphore is never closed.
        let room = Arc::clone(&self.room).acquire_many_owned(units as u32).await.ok();
        let _ = self.sender.send(Message::Frame { conn, frame, room });
    }
}

/// The state of the core thread.
pub(crate) struct CoreLoop {
    node: Node,
    disk: FileDisk,
    clock: Clock,
    inbox: Receiver<Message>,
    connector: Connector,
    flushers: Flushers,
    outboxes: BTreeMap<ConnId, Outbox>,
    effects: Vec<Effect>,
    /// To be told when the node is ready, once.
    waiting: Option<oneshot::Sender<()>>,
    stopping_since: Option<Instant>,
    exit: Option<ExitReason>,
}

impl CoreLoop {
    pub(crate) fn new(
        node: Node,
        disk: FileDisk,
        clock: Clock,
        inbox: Receiver<Message>,
        connector: Connector,
        flushers: Flushers,
        waiting: oneshot::Sender<()>,
    ) -> Self {
        Self {
            node,
            disk,
            clock,
            inbox,
            connector,
            flushers,
            outboxes: BTreeMap::new(),
            effects: Vec::new(),
            waiting: Some(waiting),
            stopping_since: None,
            exit: None,
        }
    }

    /// Carries out the effects of the boot, then runs until the node has stopped. Dials need the sockets' runtime
    /// to be entered.
    pub(crate) fn run(mut self, boot_effects: Vec<Effect>) -> ExitReason {
        self.effects = boot_effects;
        self.carry_out();
        loop {
            if let Some(reason) = self.exit.take() {
                return reason;
            }
            self.turn();
        }
    }

    /// Waits for the next message or tick, and takes what has come.
    fn turn(&mut self) {
        let due_ns = self.node.next_tick_ns();
        let mut wait = self.clock.until(due_ns);
        if let Some(since) = self.stopping_since {
            wait = wait.min(STOP_TIMEOUT.saturating_sub(since.elapsed()));
        }
        match self.inbox.recv_timeout(wait) {
            Ok(message) => self.take_several(message),
            Err(RecvTimeoutError::Timeout) => {}
            // Listeners hold a mailbox for as long as the runtime lives.
            Err(RecvTimeoutError::Disconnected) => self.exit = Some(ExitReason::Forced),
        }
        if self.clock.now().mono_ns >= self.node.next_tick_ns() {
            self.step(Event::Tick);
        }
        if self.exit.is_none() && self.stopping_since.is_some_and(|since| since.elapsed() >= STOP_TIMEOUT) {
            tracing::warn!("no orderly stop within {} s", STOP_TIMEOUT.as_secs());
            self.exit = Some(ExitReason::Forced);
        }
    }

    fn take_several(&mut self, first: Message) {
        self.take(first);
        for _ in 1..EVENTS_PER_TURN {
            if self.exit.is_some() {
                return;
            }
            let Ok(message) = self.inbox.try_recv() else { return };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Accepted { conn, listener, outbox } => {
                self.outboxes.insert(conn, outbox);
                self.step(Event::Accepted { conn, listener });
            }
            Message::Frame { conn, frame, room } => {
                self.step_if_open(conn, Event::Frame { conn, frame });
                drop(room);
            }
            Message::Event(Event::Closed { conn }) => {
                if self.outboxes.remove(&conn).is_some() {
                    self.step(Event::Closed { conn });
                }
            }
            Message::Event(Event::Connected { conn }) => self.step_if_open(conn, Event::Connected { conn }),
            Message::Event(event) => self.step(event),
            Message::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        if self.stopping_since.is_none() {
            tracing::info!("stopping");
            self.stopping_since = Some(Instant::now());
            self.step(Event::Shutdown);
        } else {
            self.exit = Some(ExitReason::Forced);
        }
    }

    /// What still arrives on a connection that the core has closed is dropped.
    fn step_if_open(&mut self, conn: ConnId, event: Event) {
        if self.outboxes.contains_key(&conn) {
            self.step(event);
        }
    }

    fn step(&mut self, event: Event) {
        self.node.step(self.clock.now(), event, &mut self.disk, &mut self.effects);
        self.carry_out();
        if let Some(waiting) = self.waiting.take_if(|_| self.node.is_ready()) {
            tracing::info!("ready");
            // A controller has nobody who waits for it.
            let _ = waiting.send(());
        }
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.perform(effect);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { conn, node: _, endpoint } => {
                self.outboxes.insert(conn, dial(&self.connector, conn, endpoint));
            }
            Effect::Send { conn, parts } => self.send(conn, parts),
            Effect::Admitted { conn } => {
                if let Some(outbox) = self.outboxes.get(&conn) {
                    outbox.admit();
                }
            }
            Effect::Close { conn } => {
                self.outboxes.remove(&conn);
            }
            Effect::Sync { files, token } => self.sync(&files, token),
            Effect::Exit { clean: true, reason } => {
                tracing::info!("stopped: {reason}");
                self.exit = Some(ExitReason::Clean);
            }
            Effect::Exit { clean: false, reason } => {
                tracing::error!("stopped: {reason}");
                self.exit = Some(ExitReason::Failed(reason));
            }
        }
    }

    fn send(&mut self, conn: ConnId, parts: Vec<Bytes>) {
        let Some(outbox) = self.outboxes.get(&conn) else { return };
        if !outbox.send(parts) {
            tracing::warn!(conn = conn.0, "cut off: the peer reads too slowly");
        }
    }

    fn sync(&mut self, files: &[FileId], token: SyncToken) {
        let files: Result<Vec<OpenFile>, DiskError> =
            files.iter().map(|file| self.disk.file(*file)).collect();
        match files {
            Ok(files) => self.flushers.submit(files, token),
            Err(error) => {
                self.connector.mailbox.event(Event::Synced { token, result: Err(error) });
            }
        }
    }
}
