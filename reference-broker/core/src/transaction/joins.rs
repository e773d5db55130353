//! Partitions that their leaders join to transactions (KIP-890, part 2).
//!
//! When a transaction begins, several leaders ask at once, and often before the one before it is complete, since its
//! producer was answered as soon as that was decided. A join that comes too soon waits here for a while instead of being
//! refused: the producer would send its records again only after a pause of its own (KAFKA-18575).

use kafka_protocol::ResponseError;

use super::coordinator::TransactionCoordinator;
use super::message::{Join, TransactionEffect};
use super::response::{Asker, Question};
use super::version::TransactionVersion;
use crate::coordinator::ReplyId;
use crate::ids::PartitionId;
use crate::node::Now;

/// How long a join waits. The leader that has asked gives up later than that.
const PATIENCE_NS: u64 = 1_000_000_000;

/// A join that came too soon.
#[derive(Debug)]
pub(super) struct WaitingJoin {
    join: Join,
    reply: ReplyId,
    /// When it is refused.
    pub(super) until_ns: u64,
}

impl WaitingJoin {
    pub(super) fn refuse(self, error: ResponseError) -> TransactionEffect {
        asker(self.reply).answer(Err(error))
    }
}

impl TransactionCoordinator {
    /// Takes the request of a leader.
    pub(super) fn join(&mut self, now: Now, join: Join, reply: ReplyId, out: &mut Vec<TransactionEffect>) {
        self.join_or_wait(now, WaitingJoin { join, reply, until_ns: now.mono_ns + PATIENCE_NS }, out);
    }

    /// A transactional id has a new state, or not the one that was on its way: who has waited for that is served.
    pub(super) fn resume_joins(
        &mut self,
        now: Now,
        partition: PartitionId,
        transactional_id: &str,
        out: &mut Vec<TransactionEffect>,
    ) {
        let Ok((_, transaction)) = self.find(partition, transactional_id) else { return };
        for waiting in std::mem::take(&mut transaction.joins) {
            self.join_or_wait(now, waiting, out);
        }
    }

    /// Refuses those that have waited for too long.
    pub(super) fn expire_joins(&mut self, now: Now, out: &mut Vec<TransactionEffect>) {
        for transaction in self.transactions_mut() {
            let late = transaction.joins.extract_if(.., |waiting| waiting.until_ns <= now.mono_ns);
            out.extend(late.map(|waiting| waiting.refuse(ResponseError::ConcurrentTransactions)));
        }
    }

    fn join_or_wait(&mut self, now: Now, waiting: WaitingJoin, out: &mut Vec<TransactionEffect>) {
        let Join { transactional_id, producer, partitions } = &waiting.join;
        let partition = self.partition_for(transactional_id);
        let found = self.look_ahead(transactional_id, |stored| {
            stored.check_producer(*producer)?;
            stored.with_partitions(partitions, TransactionVersion::Second, now.wall_ms)
        });
        match found {
            Ok((Some(next), last, _)) => {
                let asker = Some((asker(waiting.reply), Ok(())));
                self.store(partition, transactional_id, next, last, asker, out);
            }
            Ok((None, _, identity)) => out.push(asker(waiting.reply).answer(Ok(identity))),
            Err(ResponseError::ConcurrentTransactions) => {
                if let Ok((_, transaction)) = self.find(partition, &waiting.join.transactional_id) {
                    transaction.joins.push(waiting);
                }
            }
            Err(error) => out.push(waiting.refuse(error)),
        }
    }
}

fn asker(reply: ReplyId) -> Asker {
    Asker { reply, version: 0, question: Question::Join }
}
