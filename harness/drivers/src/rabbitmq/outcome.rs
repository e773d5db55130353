//! What an answer of RabbitMQ means for a publish.
//!
//! A definite failure must be earned. Only two things earn it: the broker returned the message because no queue takes it
//! (AMQP 0-9-1, basic.return before the confirm), or it was never written to a connection. A nack says that a queue could
//! not take responsibility, not that it has no copy; a lost connection says nothing about what was under way.

use lapin::Confirmation;
use lapin::{Error, ErrorKind};
use mqproof_core::history::{Level, Outcome};

/// Error classes of our own; AMQP's own reply codes are 200 and above.
pub(super) const CLASS_NACK: u16 = 1;
pub(super) const CLASS_LOST: u16 = 2;
pub(super) const CLASS_TIMED_OUT: u16 = 3;
pub(super) const CLASS_NEVER_SENT: u16 = 4;

/// How a publish ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// basic.ack.
    Confirmed,
    /// Written, and no confirm was asked for.
    Written,
    /// basic.return, with its reply code.
    Returned(u16),
    /// basic.nack.
    Nacked,
    /// The channel or the connection ended first, with the broker's reply code if it gave one.
    Lost(Option<u16>),
    /// Sent, and no answer in time.
    TimedOut,
    /// Given up before it was written.
    NeverSent,
}

impl End {
    /// What lapin says of a publish. A returned message hangs at whichever confirm comes next, so who was returned is
    /// told by the caller.
    pub(super) fn of(result: &Result<Confirmation, Error>) -> Self {
        match result {
            Ok(Confirmation::Ack(_)) => Self::Confirmed,
            Ok(Confirmation::Nack(_)) => Self::Nacked,
            Ok(Confirmation::NotRequested) => Self::Written,
            Err(why) => Self::Lost(match why.kind() {
                ErrorKind::ProtocolError(why) => Some(why.get_id()),
                _ => None,
            }),
        }
    }

    /// Outcome, level and error class; `level` is what a confirm stands for.
    pub(super) fn judge(self, level: Level) -> (Outcome, Level, u16) {
        match self {
            Self::Confirmed => (Outcome::Ok, level, 0),
            Self::Written => (Outcome::Ok, Level::Sent, 0),
            Self::Returned(code) => (Outcome::Fail, Level::Sent, code),
            Self::Nacked => (Outcome::Info, Level::Sent, CLASS_NACK),
            Self::Lost(code) => (Outcome::Info, Level::Sent, code.unwrap_or(CLASS_LOST)),
            Self::TimedOut => (Outcome::Info, Level::Sent, CLASS_TIMED_OUT),
            Self::NeverSent => (Outcome::Fail, Level::Sent, CLASS_NEVER_SENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPHardError, AMQPSoftError};

    use super::*;

    #[test]
    fn only_a_return_and_a_publish_that_never_left_are_failures() {
        let table = [
            (End::Confirmed, Outcome::Ok, Level::QuorumDisk, 0),
            (End::Written, Outcome::Ok, Level::Sent, 0),
            (End::Returned(312), Outcome::Fail, Level::Sent, 312),
            (End::Nacked, Outcome::Info, Level::Sent, CLASS_NACK),
            (End::Lost(None), Outcome::Info, Level::Sent, CLASS_LOST),
            (End::Lost(Some(320)), Outcome::Info, Level::Sent, 320),
            (End::TimedOut, Outcome::Info, Level::Sent, CLASS_TIMED_OUT),
            (End::NeverSent, Outcome::Fail, Level::Sent, CLASS_NEVER_SENT),
        ];
        for (end, outcome, level, class) in table {
            assert_eq!(end.judge(Level::QuorumDisk), (outcome, level, class), "{end:?}");
        }
    }

    #[test]
    fn results_of_the_library_are_told_apart() {
        let amqp = |error: AMQPError| Err(Error::from(ErrorKind::ProtocolError(error)));
        let table: [(Result<Confirmation, Error>, End); 6] = [
            (Ok(Confirmation::Ack(None)), End::Confirmed),
            (Ok(Confirmation::Nack(None)), End::Nacked),
            (Ok(Confirmation::NotRequested), End::Written),
            (amqp(AMQPError::new(AMQPSoftError::NOTFOUND.into(), "gone".into())), End::Lost(Some(404))),
            (
                amqp(AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "shutdown".into())),
                End::Lost(Some(320)),
            ),
            (Err(ErrorKind::MissingHeartbeatError.into()), End::Lost(None)),
        ];
        for (result, end) in table {
            assert_eq!(End::of(&result), end, "{result:?}");
        }
    }
}
