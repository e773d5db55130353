//! What a group member says of itself, and asks for.

use std::time::Duration;

use mqproof_core::plan::Start;
use serde_json::json;

use super::cluster::Queue;
use super::remoting::{Request, code};
use super::settings::ConsumerSettings;

/// How long a broker waits for a message before it says that there is none: the Java client's
/// `brokerSuspendMaxTimeMillis`.
pub(super) const SUSPEND: Duration = Duration::from_secs(15);
/// Messages of one pull at most: the Java client's `pullBatchSize`, and what a broker hands out at once from memory.
const PULL: u32 = 32;
/// `PullSysFlag`: wait for messages, and take the subscription from the question.
const SUSPEND_WITH_SUBSCRIPTION: u32 = 1 << 1 | 1 << 2;

/// Who the member is.
pub(super) struct Membership {
    pub(super) client_id: String,
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) settings: ConsumerSettings,
    /// All queues of the topic, in order; the place of one is its partition.
    pub(super) queues: Vec<Queue>,
}

/// Messages of a queue from this offset on.
pub(super) fn pull(group: &str, next: u64) -> Request {
    Request::new(code::PULL_MESSAGE)
        .with("consumerGroup", group)
        .with("queueOffset", next)
        .with("maxMsgNums", PULL)
        .with("sysFlag", SUSPEND_WITH_SUBSCRIPTION)
        .with("commitOffset", 0)
        .with("suspendTimeoutMillis", SUSPEND.as_millis())
        .with("subscription", "*")
        .with("subVersion", 0)
        .with("expressionType", "TAG")
}

/// That the member is there.
pub(super) fn heartbeat(who: &Membership) -> Request {
    let from = match who.settings.start {
        Start::Earliest => "CONSUME_FROM_FIRST_OFFSET",
        Start::Latest => "CONSUME_FROM_LAST_OFFSET",
    };
    let subscription = json!({
        "topic": who.topic, "subString": "*", "expressionType": "TAG", "subVersion": 0,
        "tagsSet": [], "codeSet": [], "classFilterMode": false,
    });
    let body = json!({
        "clientID": who.client_id,
        "producerDataSet": [],
        "consumerDataSet": [{
            "groupName": who.group, "consumeType": "CONSUME_ACTIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": from, "subscriptionDataSet": [subscription], "unitMode": false,
        }],
    });
    Request::new(code::HEART_BEAT).body(body.to_string())
}
