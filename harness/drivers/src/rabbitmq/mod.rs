//! RabbitMQ over AMQP 0-9-1, through lapin; what AMQP does not tell is asked of the nodes in Erlang's own protocol.
//!
//! In:  plans and questions. Out: producers, consumers, log readers and an admin behind the roles.
//! Owns: how topics, partitions and groups become exchanges and queues (`names`, `declare`), and which answer of the
//! broker means what (`outcome`). Never: a library's own recovery, which would hide what is measured.
//!
//! A topic is a direct exchange. Each group has a queue per partition, bound with the partition's number; without any
//! group there is one queue per partition. Settings of a connection: `queue-type` (`classic`, `quorum`, `stream`),
//! `nodes` (`1=IP,2=IP`; node N is `rabbit@rmqN`), `cookie`, `user`, `password`, `heartbeat` (seconds), `prefetch`,
//! `outstanding` (unanswered publishes), `message-timeout` (milliseconds).

mod admin;
mod amqp;
mod consumer;
mod declare;
mod driver;
mod erlang;
mod facts;
mod log_reader;
mod names;
mod outcome;
mod producer;
mod publish;
mod settings;
mod subscription;

pub use admin::RabbitAdmin;
pub use driver::RabbitDriver;

use crate::role::DriverError;

/// The client library and its version.
pub fn library() -> String {
    "lapin 4.12".to_owned()
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the library's error, which ends here")]
fn error(what: impl Into<String>, why: impl ToString) -> DriverError {
    DriverError { what: what.into(), why: why.to_string() }
}
