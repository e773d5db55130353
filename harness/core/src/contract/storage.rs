//! Whether a product keeps what was read.

use crate::plan::Plan;

/// How a product stores what it acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Storage {
    /// A log: messages have offsets, stay after they were read, and can be read again from the start.
    #[default]
    Log,
    /// Queues: a message leaves the broker when its consumer settles it, and has no place of its own.
    Queue,
}

/// How `system` stores what `plan` writes.
pub fn storage(system: &str, plan: &Plan) -> Storage {
    // RabbitMQ's streams are logs; they serve plans in which nobody settles anything.
    if system == "rabbitmq" && !plan.consumers.is_empty() { Storage::Queue } else { Storage::Log }
}
