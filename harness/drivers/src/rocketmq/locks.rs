//! Locks of orderly consumers: a broker gives each queue of a group to one member at a time (`RebalanceLockManager` of the
//! broker, `RebalancePushImpl` and `ConsumeMessageOrderlyService` of the Java client).

use std::time::Duration;

use serde_json::json;

use super::cluster::Queue;
use super::membership::Membership;
use super::remoting::json::{self as bodies, LockedQueues};
use super::remoting::{Request, Response, code};

/// How often a lock is taken again: the Java client's `rocketmq.client.rebalance.lockInterval`. A broker forgets one that
/// was not taken again for 60 s (`rocketmq.broker.rebalance.lockMaxLiveTime`), also that of a member that is dead.
pub(super) const LOCK_EVERY: Duration = Duration::from_secs(20);

/// Asks for a queue.
pub(super) fn lock(who: &Membership, queue: &Queue) -> Request {
    of_queue(code::LOCK_BATCH_MQ, who, queue)
}

/// Gives a queue back.
pub(super) fn unlock(who: &Membership, queue: &Queue) -> Request {
    of_queue(code::UNLOCK_BATCH_MQ, who, queue)
}

fn of_queue(code: u16, who: &Membership, queue: &Queue) -> Request {
    let body = json!({
        "consumerGroup": who.group,
        "clientId": who.client_id,
        "onlyThisBroker": false,
        "mqSet": [{"topic": who.topic, "brokerName": queue.broker, "queueId": queue.id}],
    });
    Request::new(code).body(body.to_string())
}

/// Whether the broker gave the one queue that it was asked for.
pub(super) fn is_granted(answer: &Response) -> bool {
    answer.code == code::SUCCESS
        && bodies::parse::<LockedQueues>(&answer.body).is_ok_and(|locked| !locked.queues.is_empty())
}
