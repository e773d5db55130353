//! What a result of librdkafka means for an operation.
//!
//! A definite failure must be earned. librdkafka's message status NOT_PERSISTED is necessary, and it is never set back
//! once a request with the message was on the wire without an answer. It does not suffice: librdkafka sets it for every
//! error that it does not know better, and for NOT_LEADER_OR_FOLLOWER, which a leader with acks=all also answers when it
//! had appended the record and lost its office while it waited for the others. Such a record may be replicated and be
//! read later, whatever the send's last error is.

use mqproof_core::history::{Level, Outcome};
use mqproof_core::plan::Durability;
use rdkafka::types::RDKafkaErrorCode;

use crate::role::GoesOn;

/// librdkafka's message status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It was never transmitted, or the broker refused it.
    No,
    /// It was transmitted and not acknowledged.
    Possibly,
    /// It was acknowledged.
    Yes,
}

/// Refusals that follow from the message or the client alone, before anything is appended: the first attempt would have
/// ended like the last.
const REFUSALS: [RDKafkaErrorCode; 7] = [
    RDKafkaErrorCode::MessageSizeTooLarge,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
    RDKafkaErrorCode::InvalidTimestamp,
    RDKafkaErrorCode::UnsupportedForMessageFormat,
    RDKafkaErrorCode::PolicyViolation,
    RDKafkaErrorCode::InvalidRecord,
];

/// How a send ended, and at which level it was acknowledged. `code` is 0 without an error.
pub fn classify(code: i32, persistence: Persistence, durability: Durability) -> (Outcome, Level) {
    let level = match durability {
        Durability::None => Level::Sent,
        Durability::Leader => Level::Leader,
        Durability::Quorum => Level::Quorum,
        Durability::QuorumDisk => Level::QuorumDisk,
    };
    let outcome = match (code, persistence) {
        (0, Persistence::Yes) => Outcome::Ok,
        // With acks=0 nobody answers; librdkafka reports what it handed to the network as possibly persisted.
        (0, Persistence::Possibly) if durability == Durability::None => Outcome::Ok,
        (0, _) => Outcome::Info,
        (_, Persistence::No) if is_refusal(code) => Outcome::Fail,
        // librdkafka's own error: it never left, or a leader refused it and it never left again. A leader appends
        // before it refuses only while it waits for the others.
        (own, Persistence::No) if own < -1 && durability <= Durability::Leader => Outcome::Fail,
        _ => Outcome::Info,
    };
    (outcome, if outcome == Outcome::Ok { level } else { Level::Sent })
}

fn is_refusal(code: i32) -> bool {
    REFUSALS.iter().any(|refusal| *refusal as i32 == code)
}

/// How a commit ended. Only an answer by which the coordinator refused it is a definite failure.
pub fn classify_commit(code: i32) -> Outcome {
    const REFUSALS: [RDKafkaErrorCode; 7] = [
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::UnknownMemberId,
        RDKafkaErrorCode::RebalanceInProgress,
        RDKafkaErrorCode::InvalidCommitOffsetSize,
        RDKafkaErrorCode::OffsetMetadataTooLarge,
        RDKafkaErrorCode::GroupAuthorizationFailed,
        RDKafkaErrorCode::FencedInstanceId,
    ];
    if code == 0 {
        Outcome::Ok
    } else if REFUSALS.iter().any(|refusal| *refusal as i32 == code) {
        Outcome::Fail
    } else {
        Outcome::Info
    }
}

/// What librdkafka says can be done about an error of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorClass {
    /// Nothing, or there is no error.
    None,
    /// To ask again.
    Retriable,
    /// To abort.
    Abortable,
    /// To start as a new instance.
    Fatal,
}

/// How the commit or abort of a transaction ended, and what its producer has to do next. `code` is 0 without an error.
///
/// No error is a definite failure: the request that was refused may be the repetition of one that was carried out, and
/// whose answer was lost.
pub fn classify_transaction(code: i32, error_class: ErrorClass, commits: bool) -> (Outcome, GoesOn) {
    match (code, error_class) {
        (0, _) => (Outcome::Ok, GoesOn::Begins),
        (_, ErrorClass::Abortable) if commits => (Outcome::Info, GoesOn::Aborts),
        _ => (Outcome::Info, GoesOn::Renews),
    }
}

/// An error code as the class of an event: librdkafka's own codes are negative and wrap.
pub(super) fn class(code: i32) -> u16 {
    code as i16 as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Durability; 4] =
        [Durability::None, Durability::Leader, Durability::Quorum, Durability::QuorumDisk];

    /// Every code that librdkafka or a broker may return, and those that nobody has defined yet.
    #[test]
    fn every_error_code_with_every_message_status_is_fail_only_if_surely_nothing_was_stored() {
        // 10 too large, 29 topic and 31 cluster authorization failed, 32 invalid timestamp, 43 unsupported for message
        // format, 44 policy violation, 87 invalid record.
        let refusals = [10, 29, 31, 32, 43, 44, 87];
        for code in (-300..=-1).chain(1..=300) {
            for durability in CLASSES {
                let ends = |persistence| classify(code, persistence, durability);
                // -1 is the broker's "unknown server error"; the other negative ones are librdkafka's own.
                let never_left = code < -1 && durability <= Durability::Leader;
                let fails = refusals.contains(&code) || never_left;
                let expected = if fails { Outcome::Fail } else { Outcome::Info };
                assert_eq!(ends(Persistence::No), (expected, Level::Sent), "{code} {durability:?}");
                assert_eq!(ends(Persistence::Possibly), (Outcome::Info, Level::Sent), "{code}");
                assert_eq!(ends(Persistence::Yes), (Outcome::Info, Level::Sent), "{code}");
            }
        }
    }

    #[test]
    fn an_acknowledgement_has_the_level_of_the_class() {
        let ack = |durability| classify(0, Persistence::Yes, durability);
        assert_eq!(ack(Durability::Leader), (Outcome::Ok, Level::Leader));
        assert_eq!(ack(Durability::Quorum), (Outcome::Ok, Level::Quorum));
        assert_eq!(ack(Durability::QuorumDisk), (Outcome::Ok, Level::QuorumDisk));
    }

    #[test]
    fn fire_and_forget_is_sent_and_nothing_more() {
        assert_eq!(classify(0, Persistence::Possibly, Durability::None), (Outcome::Ok, Level::Sent));
    }

    #[test]
    fn success_without_proof_of_an_acknowledgement_is_unknown() {
        for durability in [Durability::Leader, Durability::Quorum, Durability::QuorumDisk] {
            for persistence in [Persistence::No, Persistence::Possibly] {
                assert_eq!(classify(0, persistence, durability).0, Outcome::Info);
            }
        }
    }

    #[test]
    fn the_end_of_a_transaction_is_known_only_by_a_good_answer_and_errors_say_what_comes_next() {
        use ErrorClass::{Abortable, Fatal, None, Retriable};
        for commits in [true, false] {
            for error_class in [None, Retriable, Abortable, Fatal] {
                let ends = |code| classify_transaction(code, error_class, commits);
                assert_eq!(ends(0), (Outcome::Ok, GoesOn::Begins));
                let next = if commits && error_class == Abortable { GoesOn::Aborts } else { GoesOn::Renews };
                for code in (-300..=-1).chain(1..=300) {
                    assert_eq!(ends(code), (Outcome::Info, next), "{code} {error_class:?} {commits}");
                }
            }
        }
    }

    #[test]
    fn a_commit_fails_only_if_the_coordinator_refused_it() {
        let refused = (-300..=300).filter(|code| classify_commit(*code) == Outcome::Fail);
        // 12 offset metadata too large, 22 illegal generation, 25 unknown member, 27 rebalance in progress,
        // 28 invalid commit offset size, 30 group authorization failed, 82 fenced instance id.
        assert_eq!(refused.collect::<Vec<_>>(), [12, 22, 25, 27, 28, 30, 82]);
        assert_eq!(classify_commit(0), Outcome::Ok);
    }
}
