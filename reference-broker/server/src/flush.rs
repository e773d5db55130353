//! Threads that flush files, so that the core never waits for a disk.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use broker_core::{DiskError, Event, SyncToken};

use crate::core_loop::Mailbox;
use crate::disk::{OpenFile, disk_error};

/// Flushes of different logs run at the same time on this many threads.
const THREADS: usize = 2;

struct Job {
    files: Vec<OpenFile>,
    token: SyncToken,
}

/// A small pool of threads. It ends when this value is dropped and the jobs are done.
pub(crate) struct Flushers {
    jobs: Sender<Job>,
}

impl Flushers {
    pub(crate) fn start(name: &str, mailbox: &Mailbox) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..THREADS {
            let (queue, mailbox) = (Arc::clone(&queue), mailbox.clone());
            thread::Builder::new().name(name.into()).spawn(move || work(&queue, &mailbox))?;
        }
        Ok(Self { jobs })
    }

    /// Flushes the files, then sends the completion to the core.
    pub(crate) fn submit(&self, files: Vec<OpenFile>, token: SyncToken) {
        // The threads outlive this sender, so the queue is open.
        let _ = self.jobs.send(Job { files, token });
    }
}

fn work(queue: &Mutex<Receiver<Job>>, mailbox: &Mailbox) {
    loop {
        let job = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok(Job { files, token }) = job else { return };
        let result = flush(&files);
        if !mailbox.event(Event::Synced { token, result }) {
            return;
        }
    }
}

/// A failed flush is reported once and never repeated: the kernel may have dropped the pages by then.
fn flush(files: &[OpenFile]) -> Result<(), DiskError> {
    for open in files {
        open.file.sync_data().map_err(|error| disk_error(&open.path, &error))?;
    }
    Ok(())
}
