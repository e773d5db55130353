//! All client processes of a cell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use mqproof_core::history::{EventKind, SealReason};
use mqproof_core::plan::{CrashPlan, Durability};
use mqproof_drivers::client::{ClientJob, ClientLine, ClientSpec, Counters};
use mqproof_drivers::journal::seal_dead;

use super::client_process::{ClientId, ClientProcess};
use super::error::CellError;
use super::journal::ConductorJournal;
use super::message::Message;
use crate::clock::now_ns;

/// What all clients of a cell have in common.
#[derive(Clone)]
pub struct ClientSetup {
    /// The run.
    pub run_id: u64,
    /// Where journals go.
    pub history_dir: PathBuf,
    /// Where logs go.
    pub log_dir: PathBuf,
    /// When the load begins.
    pub load_begins_ns: u64,
    /// The driver's name.
    pub driver: &'static str,
    /// Where clients start.
    pub bootstrap: String,
    /// Settings of the client library on top of what the plan implies.
    pub settings: BTreeMap<String, String>,
    /// What an acknowledgement must mean.
    pub durability: Durability,
}

/// A crash of the plan that is still to come.
struct Crash {
    client: ClientId,
    plan: CrashPlan,
    /// When the next incarnation starts, once the process was killed.
    restart_ns: Option<u64>,
}

/// The client processes of a cell, in the order of their start.
pub struct Clients {
    setup: ClientSetup,
    processes: Vec<ClientProcess>,
    crashes: Vec<Crash>,
    messages: Sender<Message>,
}

impl Clients {
    /// No clients yet.
    pub fn new(setup: ClientSetup, messages: Sender<Message>) -> Self {
        Self { setup, processes: Vec::new(), crashes: Vec::new(), messages }
    }

    /// Starts a client of the plan, or a drain reader.
    pub fn start(
        &mut self,
        number: u16,
        incarnation: u16,
        job: ClientJob,
        journal: &mut ConductorJournal,
    ) -> Result<ClientId, CellError> {
        let spec = ClientSpec {
            run_id: self.setup.run_id,
            parent_pid: std::process::id(),
            history_dir: self.setup.history_dir.clone(),
            log_dir: self.setup.log_dir.clone(),
            number,
            incarnation,
            load_begins_ns: self.setup.load_begins_ns,
            driver: self.setup.driver.into(),
            bootstrap: self.setup.bootstrap.clone(),
            settings: self.setup.settings.clone(),
            durability: self.setup.durability,
            job,
        };
        let id = self.processes.len();
        if let ClientJob::Consume(plan) = &spec.job
            && incarnation == 0
        {
            self.crashes.extend(plan.crashes.iter().map(|crash| Crash {
                client: id,
                plan: *crash,
                restart_ns: None,
            }));
        }
        let process = ClientProcess::start(id, spec, &self.messages)
            .map_err(|error| CellError::Harness(format!("cannot start a client process: {error}")))?;
        note(journal, &process, 0, 0);
        self.processes.push(process);
        Ok(id)
    }

    /// Takes in what a client printed.
    pub fn line(&mut self, id: ClientId, line: &ClientLine) {
        self.processes[id].note(line);
    }

    /// Takes in that a client closed its standard output: it has ended, or is about to.
    pub fn ended(&mut self, id: ClientId, journal: &mut ConductorJournal) {
        let process = &mut self.processes[id];
        if process.has_ended() {
            return;
        }
        let code = process.wait_or_kill(Duration::from_secs(2));
        note(journal, process, 1, code);
    }

    /// Does the crashes that are due.
    pub fn crash_due(&mut self, now: u64, journal: &mut ConductorJournal) -> Result<(), CellError> {
        let begins = self.setup.load_begins_ns;
        let mut restarts = Vec::new();
        for at in 0..self.crashes.len() {
            let crash = &mut self.crashes[at];
            match crash.restart_ns {
                None if now >= begins + crash.plan.at_ms * 1_000_000 => {
                    crash.restart_ns = Some(now + crash.plan.for_ms * 1_000_000);
                    let client = crash.client;
                    self.kill_and_seal(client, journal)?;
                }
                Some(at_ns) if now >= at_ns => restarts.push(at),
                _ => {}
            }
        }
        for at in restarts.into_iter().rev() {
            let crash = self.crashes.remove(at);
            let spec = self.processes[crash.client].spec.clone();
            let id = self.start(spec.number, spec.incarnation + 1, spec.job, journal)?;
            // Later crashes of the same role instance hit the new incarnation.
            for later in self.crashes.iter_mut().filter(|later| later.client == crash.client) {
                later.client = id;
            }
        }
        Ok(())
    }

    /// SIGKILLs a client and seals what it recorded: nothing can be missing from a journal in the page cache.
    fn kill_and_seal(&mut self, id: ClientId, journal: &mut ConductorJournal) -> Result<(), CellError> {
        let process = &mut self.processes[id];
        process.kill();
        let code = process.wait_or_kill(Duration::from_secs(2));
        note(journal, process, 1, code);
        seal_dead(&process.journal, SealReason::Killed).map_err(|error| CellError::Harness(error.to_string()))
    }

    /// Whether a crash is still to come or to be mended.
    pub fn has_crashes_left(&self) -> bool {
        !self.crashes.is_empty()
    }

    /// The processes that do this kind of job.
    fn doing(&self, is: fn(&ClientJob) -> bool) -> impl Iterator<Item = &ClientProcess> {
        self.processes.iter().filter(move |process| is(&process.spec.job))
    }

    /// Whether all producers have ended.
    pub fn producers_ended(&self) -> bool {
        self.doing(is_producer).all(ClientProcess::has_ended)
    }

    /// Whether all drain readers have ended.
    pub fn drains_ended(&self) -> bool {
        self.doing(is_drain).all(ClientProcess::has_ended)
    }

    /// Whether every producer is connected.
    pub fn producers_ready(&self) -> bool {
        self.doing(is_producer).all(|process| process.is_ready || process.has_ended())
    }

    /// The role of a client that ended with a trouble before it was connected, and what it said.
    pub fn never_ready(&self) -> Option<(&str, &str)> {
        self.processes.iter().filter(|process| process.has_ended() && !process.is_ready).find_map(|process| {
            process.counters.trouble.as_deref().zip(process.spec.job.role()).map(|(why, role)| (role, why))
        })
    }

    /// Clients that ended without having done what they had to, with what they said; killed ones apart.
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for process in &self.processes {
            let name = process.journal.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(trouble) = &process.counters.trouble {
                troubles.push(format!("{name}: {trouble}"));
            }
        }
        troubles
    }

    /// The settings that connected producers said they have in force, with their roles.
    pub fn producer_settings(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.processes.iter().filter(|process| process.is_ready).filter_map(|process| {
            match &process.spec.job {
                ClientJob::Produce(plan) => Some((plan.role.as_str(), &process.settings)),
                _ => None,
            }
        })
    }

    /// The settings that clients said they have in force, by role.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for process in &self.processes {
            let Some(role) = process.spec.job.role() else { continue };
            settings.extend(
                process.settings.iter().map(|(name, value)| (format!("{role}: {name}"), value.clone())),
            );
        }
        settings
    }

    /// Counters over all processes.
    pub fn totals(&self) -> Counters {
        self.processes.iter().filter(|process| !is_drain(&process.spec.job)).fold(
            Counters::default(),
            |sum, process| Counters {
                sent: sum.sent + process.counters.sent,
                acked: sum.acked + process.counters.acked,
                failed: sum.failed + process.counters.failed,
                unknown: sum.unknown + process.counters.unknown,
                delivered: sum.delivered + process.counters.delivered,
                trouble: None,
            },
        )
    }

    /// Asks every producer to stop.
    pub fn stop_producers(&mut self) {
        self.processes
            .iter_mut()
            .filter(|process| is_producer(&process.spec.job))
            .for_each(ClientProcess::ask_to_stop);
    }

    /// Asks every client to finish and seal.
    pub fn stop_all(&mut self) {
        self.processes.iter_mut().for_each(ClientProcess::ask_to_stop);
    }

    /// Waits until all have ended; those that do not are killed, and their journals sealed as killed.
    pub fn end_all(&mut self, at_most: Duration, journal: &mut ConductorJournal) -> Result<(), CellError> {
        let until = now_ns() + at_most.as_nanos() as u64;
        for id in 0..self.processes.len() {
            let process = &mut self.processes[id];
            while !process.has_ended() {
                if let Some(code) = process.poll_exit() {
                    note(journal, process, 1, code);
                } else if now_ns() > until {
                    self.kill_and_seal(id, journal)?;
                    break;
                } else {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
        Ok(())
    }
}

fn is_producer(job: &ClientJob) -> bool {
    matches!(job, ClientJob::Produce(_))
}

fn is_drain(job: &ClientJob) -> bool {
    matches!(job, ClientJob::Drain { .. })
}

fn note(journal: &mut ConductorJournal, process: &ClientProcess, flags: u8, code: u64) {
    let role = match process.spec.job {
        ClientJob::Produce(_) => 1,
        ClientJob::Consume(_) => 2,
        ClientJob::Drain { .. } => 3,
    };
    journal.note(
        EventKind::Process,
        flags,
        u64::from(process.pid()),
        code,
        u32::from(process.spec.number),
        role,
    );
}
