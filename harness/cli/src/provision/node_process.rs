//! One broker or controller as a process of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::spawner;

/// A node of an embedded cluster: what to start, and the process if it runs.
pub struct NodeProcess {
    spec: String,
    log: PathBuf,
    child: Option<Child>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// The exit status.
    pub status: ExitStatus,
}

impl Exit {
    /// As "signal 9" or "exit status 0".
    pub fn describe(self) -> String {
        match self.status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("exit status {}", self.status.code().unwrap_or(-1)),
        }
    }

    /// For the journal: the exit code, or the signal with bit 32 set.
    pub fn code(self) -> u64 {
        match self.status.signal() {
            Some(signal) => signal as u64 | 1 << 32,
            None => self.status.code().unwrap_or(-1) as u32 as u64,
        }
    }
}

impl NodeProcess {
    /// A node that is not started yet. `spec` is the JSON that `mqproof broker` reads on standard input.
    pub fn new(spec: String, log: PathBuf) -> Self {
        Self { spec, log, child: None }
    }

    /// Starts it; its standard error goes to the end of its log.
    pub fn start(&mut self) -> io::Result<u32> {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("broker").stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let mut child = spawner::spawn(command)?;
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        writeln!(stdin, "{}", self.spec)?;
        let pid = child.id();
        self.child = Some(child);
        Ok(pid)
    }

    /// The process id, if it was started and not reaped.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal; false if there is no process.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pid()
            .and_then(|pid| Pid::from_raw(pid as i32))
            .is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// Whether it has ended, without waiting.
    pub fn poll_exit(&mut self) -> Option<Exit> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(Exit { status })
    }

    /// Waits until it has ended, at most so long.
    pub fn wait_exit(&mut self, at_most: Duration) -> Option<Exit> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(exit) = self.poll_exit() {
                return Some(exit);
            }
            if self.child.is_none() || Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the kernel says that it is stopped (SIGSTOP).
    pub fn is_stopped(&self) -> bool {
        let Some(pid) = self.pid() else { return false };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // The state is the first word after the command, which is in parentheses and may hold blanks.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// The last lines of its log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for NodeProcess {
    /// No process stays behind.
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}
