//! What a result of a send or of a commit means for an operation.
//!
//! A broker answers SEND_OK when as many copies as it is configured for have the message. Three other states say that
//! the master has stored it and that the rest is not proven: `weak`. A refusal because the set of in-sync replicas is too
//! small comes before the append and has no code of its own: it is known by its remark. Everything else is unknown, also
//! `broker busy`: a message that waited in the broker's queue may have been answered by its cleaner while a worker took
//! it.

use mqproof_core::history::{Level, Outcome};
use mqproof_core::plan::Durability;

/// Codes of `ResponseCode` of 5.5.0.
const FLUSH_DISK_TIMEOUT: i32 = 10;
const SLAVE_NOT_AVAILABLE: i32 = 11;
const FLUSH_SLAVE_TIMEOUT: i32 = 12;
const SYSTEM_ERROR: i32 = 1;
const MESSAGE_ILLEGAL: i32 = 13;
const TOPIC_NOT_EXIST: i32 = 17;
/// The remark of the refusal before the append, in `SendMessageProcessor`.
const TOO_FEW_IN_SYNC: &str = "in-sync replicas not enough";

/// Our own code of a send without an answer.
pub(super) const NO_ANSWER: i32 = -1;
/// Our own code of a send that waited until its time was over and was not sent, and of a commit for a queue that is
/// another member's by now.
pub(super) const NEVER_SENT: i32 = -2;
/// Our own code of a refusal because the set of in-sync replicas is too small.
const TOO_FEW_IN_SYNC_CODE: i32 = -3;

/// The code of an answer, where the remark says more than it does.
pub(super) fn code_of(code: i32, remark: &str) -> i32 {
    if is_refusal_before_append(code, remark) { TOO_FEW_IN_SYNC_CODE } else { code }
}

/// Whether a broker refused a message before it would have appended it, for want of in-sync replicas.
fn is_refusal_before_append(code: i32, remark: &str) -> bool {
    code == SYSTEM_ERROR && remark.to_ascii_lowercase().contains(TOO_FEW_IN_SYNC)
}

/// How a send ended, and at which level it was acknowledged. `code` is the broker's, 0 for SEND_OK, or one of ours.
pub(super) fn classify(code: i32, durability: Durability) -> (Outcome, Level) {
    let level = match durability {
        Durability::None => Level::Sent,
        Durability::Leader => Level::Leader,
        Durability::Quorum => Level::Quorum,
        Durability::QuorumDisk => Level::QuorumDisk,
    };
    match code {
        0 => (Outcome::Ok, level),
        FLUSH_DISK_TIMEOUT | SLAVE_NOT_AVAILABLE | FLUSH_SLAVE_TIMEOUT => (Outcome::Weak, Level::Leader),
        NEVER_SENT | TOO_FEW_IN_SYNC_CODE | MESSAGE_ILLEGAL | TOPIC_NOT_EXIST => (Outcome::Fail, Level::Sent),
        _ => (Outcome::Info, Level::Sent),
    }
}

/// How a commit ended. A broker has no group generations: it refuses none that it understands, so the client must.
pub(super) fn classify_commit(code: i32) -> Outcome {
    match code {
        0 => Outcome::Ok,
        NEVER_SENT => Outcome::Fail,
        _ => Outcome::Info,
    }
}

/// As the 16 bits of an event.
pub(super) fn class(code: i32) -> u16 {
    code as i16 as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Durability; 4] =
        [Durability::None, Durability::Leader, Durability::Quorum, Durability::QuorumDisk];

    #[test]
    fn send_ok_is_an_acknowledgement_at_the_level_of_the_class() {
        let levels = ALL.map(|durability| classify(0, durability));
        let expected = [Level::Sent, Level::Leader, Level::Quorum, Level::QuorumDisk];
        assert_eq!(levels, expected.map(|level| (Outcome::Ok, level)));
    }

    #[test]
    fn of_all_codes_three_are_weak_a_few_are_refusals_and_the_rest_is_unknown() {
        for durability in ALL {
            for code in -300..=3_000 {
                let expected = match code {
                    0 => continue,
                    10..=12 => Outcome::Weak,
                    -3 | -2 | 13 | 17 => Outcome::Fail,
                    _ => Outcome::Info,
                };
                assert_eq!(classify(code, durability).0, expected, "code {code}");
            }
        }
    }

    #[test]
    fn a_system_error_is_a_refusal_only_with_the_remark_of_the_check_before_the_append() {
        let remark = "The broker's in-sync replicas not enough, sync state set size: 1";
        assert_eq!(code_of(1, remark), TOO_FEW_IN_SYNC_CODE);
        assert_eq!(code_of(1, "no"), 1);
        assert!(is_refusal_before_append(1, &remark.to_uppercase()));
        assert!(!is_refusal_before_append(1, "[PCBUSY_CLEAN_QUEUE]"));
        assert!(!is_refusal_before_append(2, remark));
        assert!(!is_refusal_before_append(0, remark));
    }

    #[test]
    fn a_commit_without_a_good_answer_is_unknown() {
        assert_eq!(classify_commit(0), Outcome::Ok);
        assert_eq!(classify_commit(NEVER_SENT), Outcome::Fail);
        let others = (-10..3_000).filter(|code| !matches!(*code, 0 | NEVER_SENT));
        assert!(others.into_iter().all(|code| classify_commit(code) == Outcome::Info));
    }
}
