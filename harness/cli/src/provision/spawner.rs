//! Starts child processes that cannot outlive us.
//!
//! A child asks the kernel to be killed when the *thread* that started it ends, and runtimes end idle threads; so one
//! thread, which lives as long as the process, starts them all. The child sets the signal first and then compares its
//! parent's id with the one it was given, which closes the gap before it did.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread;

type Request = (Command, Sender<io::Result<Child>>);

/// Starts the command on the thread that lives as long as this process.
///
/// The child gets a process group of its own: Ctrl-C on the terminal is for us, and we tell our children.
pub fn spawn(mut command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    command.process_group(0);
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<Request>();
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread can be started");
        Mutex::new(requests)
    });
    let (reply, answer) = channel();
    spawner.lock().expect("no holder panics").send((command, reply)).expect("the spawner never ends");
    answer.recv().expect("the spawner answers")
}

/// The child's half: die with the parent, and end now if it is dead already. False: the parent is gone.
pub fn die_with_parent(parent_pid: u32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    rustix::process::getppid().is_some_and(|parent| parent.as_raw_nonzero().get() as u32 == parent_pid)
}
