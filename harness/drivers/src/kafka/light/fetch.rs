//! Reads the partitions that one broker leads, and counts.

use super::batch::counted;
use super::connection::LightConnection;
use super::error::LightError;
use super::meter::Meter;
use super::wire::{Answer, Api, Request};

/// How long the broker may wait for something new.
const MAX_WAIT_MS: i32 = 100;
/// Of one answer, as the Java client asks.
const MAX_BYTES: i32 = 50 << 20;
/// Of one partition in an answer, as both common clients ask.
const PARTITION_MAX_BYTES: i32 = 1 << 20;

/// How far a partition was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Which partition.
    pub partition: i32,
    /// The offset that is read next.
    pub next: i64,
    /// Where reading starts over from offset 0; None: it goes on with what is written meanwhile.
    pub end: Option<i64>,
}

/// Reads until the meter says that it is over. One request is open at a time, as with most clients: the next one says how
/// far the last one came.
pub fn fetch(
    mut connection: LightConnection,
    topic: &str,
    mut positions: Vec<Position>,
    meter: &Meter,
) -> Result<(), LightError> {
    while !meter.is_over() {
        connection.sender.send(&mut request(topic, &positions))?;
        let receiver = &mut connection.receiver;
        let answered = receiver.receive(read)?;
        let mut records = 0;
        for partition in answered {
            if partition.code != 0 {
                return Err(LightError::Refused {
                    address: receiver.address.clone(),
                    api: Api::Fetch,
                    partition: partition.number,
                    code: partition.code,
                });
            }
            records += partition.records;
            let position = positions.iter_mut().find(|position| position.partition == partition.number);
            if let (Some(position), Some(next)) = (position, partition.next) {
                position.next = if position.end.is_some_and(|end| next >= end) { 0 } else { next };
            }
        }
        meter.add(records);
    }
    Ok(())
}

fn request(topic: &str, positions: &[Position]) -> Request {
    let request = Request::new(Api::Fetch)
        .i32(-1) // a consumer
        .i32(MAX_WAIT_MS)
        .i32(1)
        .i32(MAX_BYTES)
        .i8(0) // what is uncommitted, too
        .i32(0) // no session
        .i32(-1)
        .i32(1)
        .string(topic)
        .i32(positions.len() as i32);
    let request = positions.iter().fold(request, |request, position| {
        request
            .i32(position.partition)
            .i32(-1) // no leader epoch
            .i64(position.next)
            .i64(-1) // not a follower
            .i32(PARTITION_MAX_BYTES)
    });
    // Nothing is forgotten, and there is no rack.
    request.i32(0).string("")
}

/// What an answer says of one partition.
struct PartitionAnswer {
    number: i32,
    code: i16,
    records: u64,
    next: Option<i64>,
}

fn read(answer: &mut Answer<'_>) -> Result<Vec<PartitionAnswer>, &'static str> {
    answer.i32()?; // throttled for so long
    if answer.i16()? != 0 {
        return Err("it has an error of its own");
    }
    answer.i32()?; // session
    let mut partitions = Vec::new();
    for _ in 0..answer.count()? {
        answer.string()?;
        for _ in 0..answer.count()? {
            let (number, code) = (answer.i32()?, answer.i16()?);
            answer.take(3 * size_of::<i64>())?; // high watermark, last stable offset, log start
            for _ in 0..answer.count()? {
                answer.take(2 * size_of::<i64>())?; // an aborted transaction
            }
            answer.i32()?; // preferred replica
            let (records, next) = counted(answer.bytes()?);
            partitions.push(PartitionAnswer { number, code, records, next });
        }
    }
    Ok(partitions)
}
