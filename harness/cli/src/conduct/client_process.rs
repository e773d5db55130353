//! One client process: `mqproof client` with its specification on standard input.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use mqproof_drivers::client::{ClientLine, ClientSpec, Counters};
use rustix::process::{Pid, Signal, kill_process};

use super::message::Message;
use crate::provision::spawn;

/// Identifies a client process within a cell: the how-manieth that was started.
pub type ClientId = usize;

/// A producer, consumer or drain reader.
pub struct ClientProcess {
    /// What it was told.
    pub spec: ClientSpec,
    /// What it counted so far.
    pub counters: Counters,
    /// Whether it is connected.
    pub is_ready: bool,
    /// The settings that it has in force.
    pub settings: BTreeMap<String, String>,
    /// Whether it said that it has done all it had to and sealed its journal.
    pub is_done: bool,
    /// Its journal.
    pub journal: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    ended: bool,
}

impl ClientProcess {
    /// Starts it; what it prints comes in as messages.
    pub fn start(id: ClientId, spec: ClientSpec, messages: &Sender<Message>) -> io::Result<Self> {
        let journal = spec.journal_path();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(spec.log_path())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("client").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = spawn(command)?;
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        writeln!(stdin, "{}", serde_json::to_string(&spec).expect("a specification is plain data"))?;
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let messages = messages.clone();
        std::thread::Builder::new().name(format!("client-{id}")).spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(line) = serde_json::from_str::<ClientLine>(&line)
                    && messages.send(Message::Client(id, line)).is_err()
                {
                    return;
                }
            }
            let _ = messages.send(Message::ClientEnded(id));
        })?;
        Ok(Self {
            spec,
            counters: Counters::default(),
            is_ready: false,
            settings: BTreeMap::new(),
            is_done: false,
            journal,
            child,
            stdin: Some(stdin),
            ended: false,
        })
    }

    /// Takes in what it printed.
    pub fn note(&mut self, line: &ClientLine) {
        match line {
            ClientLine::Ready(ready) => {
                self.is_ready = true;
                self.settings.clone_from(&ready.settings);
            }
            ClientLine::Counters(counters) => self.counters = counters.clone(),
            ClientLine::Done(done) => {
                self.counters = done.clone();
                self.is_done = true;
            }
        }
    }

    /// Asks it to finish what it is at, settle, seal its journal and end.
    pub fn ask_to_stop(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "stop");
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if !self.ended
            && let Some(pid) = Pid::from_raw(self.child.id() as i32)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has: the exit code, or the signal with bit 32 set.
    pub fn poll_exit(&mut self) -> Option<u64> {
        let status = self.child.try_wait().ok().flatten()?;
        self.ended = true;
        Some(match status.signal() {
            Some(signal) => signal as u64 | 1 << 32,
            None => status.code().unwrap_or(-1) as u32 as u64,
        })
    }

    /// Waits for its end, at most so long; kills it then.
    pub fn wait_or_kill(&mut self, at_most: Duration) -> u64 {
        let until = Instant::now() + at_most;
        loop {
            if let Some(code) = self.poll_exit() {
                return code;
            }
            if Instant::now() > until {
                self.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it was reaped.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl Drop for ClientProcess {
    /// No process stays behind.
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}
