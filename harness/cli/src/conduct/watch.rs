//! Watches who leads, and how fast partitions grow, on a thread and a connection of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use mqproof_core::ids::NodeId;
use mqproof_drivers::admin::{Admin, PartitionInfo};

use super::message::Message;
use crate::clock::now_ns;
use crate::faults::{Leadership, PartitionState};

/// Between two looks at the leaders.
const INTERVAL: Duration = Duration::from_millis(40);
/// A look that takes longer is given up.
const TIMEOUT: Duration = Duration::from_millis(500);
/// Between two looks at the ends of the logs, in looks at the leaders.
const ENDS_EVERY: u32 = 6;
/// How far back the busiest partition is judged by.
const RECENT_NS: u64 = 1_000_000_000;

/// What the watcher saw.
pub struct Observation {
    /// When the answer came.
    pub t_ns: u64,
    /// Who leads what.
    pub leadership: Leadership,
}

/// The watching thread.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts to watch these topics.
    pub fn start(
        admin: Box<dyn Admin>,
        topics: Vec<String>,
        messages: Sender<Message>,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            std::thread::Builder::new()
                .name("watcher".into())
                .spawn(move || watch(&*admin, &topics, &messages, &stop))?
        };
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(admin: &dyn Admin, topics: &[String], messages: &Sender<Message>, stop: &AtomicBool) {
    let mut growth = Growth::default();
    let mut looks = 0;
    while !stop.load(Ordering::Relaxed) {
        if let Ok(cluster) = admin.describe(topics, TIMEOUT) {
            if looks % ENDS_EVERY == 0 {
                growth.sample(admin, &cluster.partitions);
            }
            looks += 1;
            let leadership = Leadership {
                partitions: cluster
                    .partitions
                    .iter()
                    .map(|one| ((one.topic.clone(), one.partition), state(one)))
                    .collect(),
                recent_records: growth.recent(),
                controller: cluster.controller.map(|id| NodeId(id as u32)),
            };
            if messages.send(Message::Observed(Observation { t_ns: now_ns(), leadership })).is_err() {
                return;
            }
        }
        std::thread::sleep(INTERVAL);
    }
}

/// A partition as the conductor knows it. A leader that is not in sync is one that the client library remembers.
pub fn state(partition: &PartitionInfo) -> PartitionState {
    let nodes = |ids: &[i32]| ids.iter().map(|id| NodeId(*id as u32)).collect();
    PartitionState {
        leader: partition.leader.map(|id| NodeId(id as u32)),
        replicas: nodes(&partition.replicas),
        isr: nodes(&partition.isr),
    }
}

/// The ends of the logs over the last second.
#[derive(Default)]
struct Growth {
    samples: BTreeMap<(String, u32), Vec<(u64, u64)>>,
}

impl Growth {
    fn sample(&mut self, admin: &dyn Admin, partitions: &[PartitionInfo]) {
        for one in partitions.iter().filter(|one| one.leader.is_some()) {
            let Ok((_, end)) = admin.log_bounds(&one.topic, one.partition, TIMEOUT) else { continue };
            let now = now_ns();
            let ends = self.samples.entry((one.topic.clone(), one.partition)).or_default();
            ends.push((now, end));
            ends.retain(|(t, _)| t + RECENT_NS >= now);
        }
    }

    fn recent(&self) -> BTreeMap<(String, u32), u64> {
        let grown = |ends: &Vec<(u64, u64)>| match (ends.first(), ends.last()) {
            (Some((_, first)), Some((_, last))) => last.saturating_sub(*first),
            _ => 0,
        };
        self.samples.iter().map(|(partition, ends)| (partition.clone(), grown(ends))).collect()
    }
}
