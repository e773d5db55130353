//! The conversation with the conductor: commands in, lines out.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::session::Session;
use super::spec::ClientLine;
use crate::clock::monotonic_ns;

const TICK: Duration = Duration::from_millis(100);

/// Listens for commands until standard input ends, which means that the parent is gone.
pub(super) fn listen(session: &Arc<Session>) {
    let session = Arc::clone(session);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line.as_deref().map(str::trim) {
                Ok("stop") => session.request_stop(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        session.orphan();
    });
}

/// Says every 100 ms what was counted, and records how late this process was.
pub(super) fn report(session: &Arc<Session>) {
    let session = Arc::clone(session);
    thread::spawn(move || {
        for tick in 0_u64.. {
            if tick % 10 == 0 {
                session.record_wall_clock();
            }
            let slept = monotonic_ns();
            thread::sleep(TICK);
            let gap = (monotonic_ns() - slept).saturating_sub(TICK.as_nanos() as u64);
            session.record_self_lag(gap, 1);
            session.record_self_lag(session.send_lag_ns.swap(0, Ordering::Relaxed), 0);
            if !say(&ClientLine::Counters(session.counters())) {
                session.orphan();
            }
        }
    });
}

/// Says one line. False: nobody listens.
pub(super) fn say(line: &ClientLine) -> bool {
    let mut text = serde_json::to_string(line).expect("a line of numbers and strings is always JSON");
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}
