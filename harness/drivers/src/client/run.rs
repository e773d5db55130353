//! From a specification to a process that ends with a sealed journal.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mqproof_core::plan::{ConsumerPlan, ProducerPlan};
use mqproof_core::workload::Generator;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use super::consume::{Membership, Reader};
use super::drain::Drain;
use super::exit::ClientExit;
use super::produce::{Completions, Sender};
use super::session::Session;
use super::spec::{ClientJob, ClientLine, ClientSpec, Counters, PartitionEnd, Ready};
use super::talk;
use crate::clock::{boot_id, monotonic_ns, sleep_until};
use crate::connection::Connection;
use crate::journal::JournalFile;
use crate::library_log::LibraryLog;
use crate::registry::driver;
use crate::role::{Driver, DriverError};

/// The number of the drain reader that is handed committed records only.
const COMMITTED_READER: u16 = 3;

/// How long a client tries to reach the cluster.
const CONNECT: Duration = Duration::from_secs(30);

/// Reads the specification from standard input and runs it. The process should exit with what it returns.
pub fn main() -> ClientExit {
    let mut line = String::new();
    let spec = io::stdin().read_line(&mut line).map_err(|why| why.to_string());
    match spec.and_then(|_| serde_json::from_str(&line).map_err(|why| why.to_string())) {
        Ok(spec) => run(&spec),
        Err(why) => {
            give_up(format!("specification on standard input: {why}"));
            ClientExit::BadSpec
        }
    }
}

/// Runs one client to its end. Standard input must hold nothing but commands any more.
pub fn run(spec: &ClientSpec) -> ClientExit {
    if !dies_with(spec.parent_pid) {
        return ClientExit::Orphaned;
    }
    let client = match Client::new(spec) {
        Ok(client) => client,
        Err(why) => {
            give_up(why);
            return ClientExit::Environment;
        }
    };
    talk::listen(&client.session);
    talk::report(&client.session);
    let result = match &spec.job {
        ClientJob::Produce(plan) => client.produce(plan),
        ClientJob::Consume(plan) => client.consume(plan),
        ClientJob::Drain { topic, ends, timeout_ms, transactional } => {
            client.drain(topic, ends, Duration::from_millis(*timeout_ms), *transactional)
        }
    };
    if let Err(why) = &result {
        client.session.trouble(why.to_string());
    }
    client.session.seal();
    talk::say(&ClientLine::Done(client.session.counters()));
    if client.session.has_recorder_failed() {
        ClientExit::Recorder
    } else if client.session.is_orphaned() {
        ClientExit::Orphaned
    } else if result.is_err() {
        ClientExit::Environment
    } else {
        ClientExit::Done
    }
}

/// Says why nothing was done.
fn give_up(why: String) {
    talk::say(&ClientLine::Done(Counters { trouble: Some(why), ..Counters::default() }));
}

/// Asks the kernel for a SIGKILL when the parent ends, and looks whether it had ended before.
fn dies_with(parent: u32) -> bool {
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok() && getppid() == Pid::from_raw(parent as i32)
}

/// A client that has a journal and is not yet connected.
struct Client<'a> {
    spec: &'a ClientSpec,
    session: Arc<Session>,
    driver: Box<dyn Driver>,
}

impl<'a> Client<'a> {
    fn new(spec: &'a ClientSpec) -> Result<Self, String> {
        let log_path = spec.log_path();
        let log = LibraryLog::to_file(&log_path).map_err(|why| format!("`{}`: {why}", log_path.display()))?;
        let connection = Connection { bootstrap: spec.bootstrap.clone(), settings: spec.settings.clone() };
        let driver = driver(&spec.driver, &connection, &log).map_err(|why| why.to_string())?;
        let meta = spec.journal_meta(getpid().as_raw_nonzero().get() as u32, boot_id());
        let journal = JournalFile::create(&spec.history_dir, &meta).map_err(|why| why.to_string())?;
        Ok(Self { spec, session: Arc::new(Session::new(journal)), driver })
    }

    fn produce(&self, plan: &ProducerPlan) -> Result<(), DriverError> {
        let completions = Arc::new(Completions::new(Arc::clone(&self.session)));
        let producer = self.driver.producer(plan, self.spec.durability, Arc::clone(&completions) as _)?;
        producer.connect(CONNECT)?;
        self.ready(producer.settings());
        let sender = Sender {
            session: &self.session,
            completions: &completions,
            producer: &*producer,
            plan,
            load_begins_ns: self.spec.load_begins_ns,
        };
        sender.run(Generator::new(plan, self.spec.number, self.spec.incarnation, self.spec.run_id));
        // All sends have ended; the library would only wait for its threads.
        std::mem::forget(producer);
        Ok(())
    }

    fn consume(&self, plan: &ConsumerPlan) -> Result<(), DriverError> {
        let membership = Arc::new(Membership(Arc::clone(&self.session)));
        let consumer = self.driver.consumer(plan, membership)?;
        consumer.connect(CONNECT)?;
        let settings = consumer.settings();
        let reader = Reader::new(&self.session, plan, consumer, self.spec.run_id);
        let from_ns = self.spec.load_begins_ns + plan.from_ns;
        if plan.from_ns == 0 {
            reader.run(|| self.ready(settings));
        } else {
            self.ready(settings);
            while monotonic_ns() < from_ns && !self.session.should_stop() {
                sleep_until(from_ns.min(monotonic_ns() + 20_000_000));
            }
            reader.run(|| ());
        }
        Ok(())
    }

    fn drain(
        &self,
        topic: &str,
        ends: &[PartitionEnd],
        timeout: Duration,
        transactional: bool,
    ) -> Result<(), DriverError> {
        let reader = match self.spec.number {
            COMMITTED_READER => self.driver.committed_reader(topic, self.spec.number)?,
            number => self.driver.log_reader(topic, number)?,
        };
        self.ready(reader.settings());
        let run_id = self.spec.run_id;
        let drain = Drain { session: &self.session, reader, run_id, ends, timeout, transactional };
        drain.run();
        Ok(())
    }

    fn ready(&self, settings: BTreeMap<String, String>) {
        talk::say(&ClientLine::Ready(Ready { library: self.driver.library(), settings }));
    }
}
