//! Sends one batch again and again to the partitions that one broker leads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::connection::{LightConnection, Receiver, Sender};
use super::error::LightError;
use super::meter::{Latency, Meter};
use super::wire::{Answer, Api, Request};
use crate::clock::{monotonic_ns, sleep_until};

/// How long the broker may take for a request, as it is told.
const REQUEST_TIMEOUT_MS: i32 = 10_000;
/// How long answers may be missing after the last request.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);

/// What an acknowledgement waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// The leader.
    Leader,
    /// All replicas in sync.
    All,
}

/// What is sent, and where to.
#[derive(Clone, Debug)]
pub struct ProduceOrder<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Partitions that the broker at the other end leads; they take turns.
    pub partitions: &'a [i32],
    /// What is waited for.
    pub acks: Acks,
    /// One request.
    pub batch: &'a Batch,
}

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As soon as fewer than so many are unanswered.
    Closed {
        /// Unanswered requests at most.
        in_flight: u32,
    },
    /// The n-th at `first_ns + n * interval_ns` of CLOCK_MONOTONIC, whatever the broker does. Latencies count from that
    /// moment, so that a broker that stalls is charged for all that should have been sent meanwhile.
    Open {
        /// When the first is due.
        first_ns: u64,
        /// Between two of them.
        interval_ns: u64,
    },
}

impl ProduceOrder<'_> {
    fn requests(&self) -> Vec<Request> {
        let acks = match self.acks {
            Acks::Leader => 1,
            Acks::All => -1,
        };
        let request = |partition: &i32| {
            Request::new(Api::Produce)
                .i16(-1) // no transactional id
                .i16(acks)
                .i32(REQUEST_TIMEOUT_MS)
                .i32(1)
                .string(self.topic)
                .i32(1)
                .i32(*partition)
                .bytes(self.batch.bytes())
        };
        self.partitions.iter().map(request).collect()
    }
}

/// Sends until the meter says that it is over, and waits for the last answer. The first error ends it.
pub fn produce(
    connection: LightConnection,
    order: &ProduceOrder<'_>,
    pace: Pace,
    meter: &Meter,
) -> Result<(), LightError> {
    let mut requests = order.requests();
    let records = u64::from(order.batch.records());
    match pace {
        Pace::Closed { in_flight } => closed(connection, &mut requests, in_flight, records, meter),
        Pace::Open { first_ns, interval_ns } => {
            let due = move |number: u64| first_ns + number * interval_ns;
            open(connection, &mut requests, due, records, meter)
        }
    }
}

fn closed(
    mut connection: LightConnection,
    requests: &mut [Request],
    in_flight: u32,
    records: u64,
    meter: &Meter,
) -> Result<(), LightError> {
    let mut turn = 0;
    let mut waiting = 0;
    loop {
        while waiting < in_flight && !meter.is_over() {
            connection.sender.send(&mut requests[turn])?;
            turn = (turn + 1) % requests.len();
            waiting += 1;
        }
        if waiting == 0 {
            return Ok(());
        }
        acknowledged(&mut connection.receiver)?;
        waiting -= 1;
        meter.add(records);
    }
}

fn open(
    connection: LightConnection,
    requests: &mut [Request],
    due: impl Fn(u64) -> u64 + Copy + Send + Sync,
    records: u64,
    meter: &Meter,
) -> Result<(), LightError> {
    let LightConnection { mut sender, mut receiver } = connection;
    let (sent, has_ended) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let result = send_when_due(&mut sender, requests, due, &sent, meter);
            has_ended.store(true, Ordering::Release);
            result
        });
        let received = receive_all(&mut receiver, due, records, &sent, &has_ended, meter);
        // Nobody reads answers any more, so nothing more must be sent.
        if received.is_err() {
            meter.end();
        }
        let sent = sending.join().expect("the sender does not panic");
        received.and(sent)
    })
}

fn send_when_due(
    sender: &mut Sender,
    requests: &mut [Request],
    due: impl Fn(u64) -> u64,
    sent: &AtomicU64,
    meter: &Meter,
) -> Result<(), LightError> {
    for number in 0.. {
        sleep_until(due(number));
        if meter.is_over() {
            break;
        }
        let turn = (number % requests.len() as u64) as usize;
        // Counted first: an answer must not come before its request is known.
        sent.fetch_add(1, Ordering::Release);
        sender.send(&mut requests[turn])?;
    }
    Ok(())
}

fn receive_all(
    receiver: &mut Receiver,
    due: impl Fn(u64) -> u64,
    records: u64,
    sent: &AtomicU64,
    has_ended: &AtomicBool,
    meter: &Meter,
) -> Result<(), LightError> {
    let mut latency = Latency::default();
    let mut answered = 0;
    let mut drained_by = None;
    loop {
        if has_ended.load(Ordering::Acquire) {
            if answered == sent.load(Ordering::Acquire) {
                break;
            }
            if Instant::now() > *drained_by.get_or_insert_with(|| Instant::now() + DRAIN_WITHIN) {
                return Err(LightError::Silent(receiver.address.clone()));
            }
        }
        if !receiver.is_ready()? {
            continue;
        }
        acknowledged(receiver)?;
        let due_ns = due(answered);
        if meter.is_in_window(due_ns) {
            latency.record(monotonic_ns().saturating_sub(due_ns));
        }
        answered += 1;
        meter.add(records);
    }
    meter.add_latency(&latency);
    Ok(())
}

/// Waits for the next answer, which has one partition in it.
fn acknowledged(receiver: &mut Receiver) -> Result<(), LightError> {
    let (partition, code) = receiver.receive(read)?;
    if code == 0 {
        return Ok(());
    }
    Err(LightError::Refused { address: receiver.address.clone(), api: Api::Produce, partition, code })
}

/// Partition and error code; what comes after them is not looked at.
fn read(answer: &mut Answer<'_>) -> Result<(i32, i16), &'static str> {
    if answer.count()? != 1 {
        return Err("it has not one topic");
    }
    answer.string()?;
    if answer.count()? != 1 {
        return Err("it has not one partition");
    }
    Ok((answer.i32()?, answer.i16()?))
}
