//! What the threads of a client process share: the journal, the counters, and the wish to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mqproof_core::history::{Event, EventKind, Outcome, SealReason};

use super::spec::Counters;
use crate::clock::{monotonic_ns, wall_ns};
use crate::journal::{JournalFile, RecordError};

/// One life of one client.
#[derive(Debug)]
pub(super) struct Session {
    journal: Mutex<JournalFile>,
    pub(super) sent: AtomicU64,
    acked: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    pub(super) delivered: AtomicU64,
    /// The worst delay behind a due time since it was last recorded, ns.
    pub(super) send_lag_ns: AtomicU64,
    trouble: Mutex<Option<String>>,
    recorder_failed: AtomicBool,
    stop: AtomicBool,
    orphaned: AtomicBool,
}

impl Session {
    pub(super) fn new(journal: JournalFile) -> Self {
        Self {
            journal: Mutex::new(journal),
            sent: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            send_lag_ns: AtomicU64::new(0),
            trouble: Mutex::new(None),
            recorder_failed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            orphaned: AtomicBool::new(false),
        }
    }

    /// Records an event. False: it is not recorded, so it must not be acknowledged; the client is to stop.
    #[inline]
    #[must_use]
    pub(super) fn record(&self, event: &Event) -> bool {
        match self.journal().record(event) {
            Ok(()) => true,
            Err(why) => self.recorder_failed(&why),
        }
    }

    /// Keeps raw bytes, and says where. None: as for `record`.
    pub(super) fn keep_raw(&self, bytes: &[u8]) -> Option<u64> {
        let kept = self.journal().keep_raw(bytes);
        kept.map_err(|why| self.recorder_failed(&why)).ok()
    }

    #[cold]
    fn recorder_failed(&self, why: &dyn std::error::Error) -> bool {
        // After the first failure the journal is sealed; what comes then is not a second trouble.
        if !self.recorder_failed.swap(true, Ordering::SeqCst) {
            self.trouble(why.to_string());
        }
        self.request_stop();
        false
    }

    /// Whether events could not be recorded.
    pub(super) fn has_recorder_failed(&self) -> bool {
        self.recorder_failed.load(Ordering::SeqCst)
    }

    /// Counts how a send ended.
    #[inline]
    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Ok | Outcome::Weak => &self.acked,
            Outcome::Fail => &self.failed,
            Outcome::Info => &self.unknown,
        };
        counter.fetch_add(1, Ordering::Release);
    }

    /// Sends that ended without an acknowledgement.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.failed.load(Ordering::Acquire) + self.unknown.load(Ordering::Acquire)
    }

    /// Sends that have not ended.
    #[inline]
    pub(super) fn outstanding(&self) -> u64 {
        let ended = [&self.acked, &self.failed, &self.unknown].map(|count| count.load(Ordering::Acquire));
        self.sent.load(Ordering::Acquire).saturating_sub(ended.iter().sum())
    }

    /// Notes why it ends early; the first word stands.
    pub(super) fn trouble(&self, why: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    pub(super) fn counters(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            sent: read(&self.sent),
            acked: read(&self.acked),
            failed: read(&self.failed),
            unknown: read(&self.unknown),
            delivered: read(&self.delivered),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(super) fn request_stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    #[inline]
    pub(super) fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The parent is gone: nobody waits for an orderly end.
    pub(super) fn orphan(&self) {
        self.orphaned.store(true, Ordering::SeqCst);
        self.request_stop();
    }

    pub(super) fn is_orphaned(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst)
    }

    /// Samples the wall clock.
    pub(super) fn record_wall_clock(&self) {
        let event = Event { a: wall_ns(), ..blank(EventKind::WallClock) };
        self.record_aside(&event);
    }

    /// Records how late this process was: 0 behind its due times, 1 not scheduled.
    pub(super) fn record_self_lag(&self, lag_ns: u64, flags: u8) {
        if lag_ns > 0 {
            self.record_aside(&Event { a: lag_ns, flags, ..blank(EventKind::SelfLag) });
        }
    }

    /// Records what is no operation. Its thread does not end with them: what comes after the seal is nobody's trouble.
    fn record_aside(&self, event: &Event) {
        match self.journal().record(event) {
            Ok(()) | Err(RecordError::Sealed(_)) => {}
            Err(why) => {
                self.recorder_failed(&why);
            }
        }
    }

    /// Seals the journal, unless a full disk has sealed it.
    pub(super) fn seal(&self) {
        if self.has_recorder_failed() {
            return;
        }
        let reason = if self.is_orphaned() { SealReason::Interrupted } else { SealReason::Clean };
        if let Err(why) = self.journal().seal(reason) {
            self.recorder_failed(&why);
        }
    }

    fn journal(&self) -> MutexGuard<'_, JournalFile> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event of now with nothing in it.
pub(super) fn blank(kind: EventKind) -> Event {
    Event { t_ns: monotonic_ns(), msg: 0, a: 0, b: 0, kind, flags: 0, c: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqproof_core::history::{JournalKind, JournalMeta};

    fn meta() -> JournalMeta {
        JournalMeta {
            run_id: 7,
            kind: JournalKind::Producer,
            role: "writer".to_owned(),
            ..JournalMeta::default()
        }
    }

    #[test]
    fn how_late_the_process_is_after_its_seal_is_nobodys_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::new(JournalFile::create(dir.path(), &meta()).unwrap());
        session.seal();
        session.record_self_lag(5, 0);
        session.record_wall_clock();
        assert!(!session.has_recorder_failed());
        assert_eq!(session.counters().trouble, None);
        assert!(
            !session.record(&blank(EventKind::SendInvoke)),
            "an operation after the seal is refused all the same"
        );
    }
}
