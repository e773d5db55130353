//! Keys, and which queue they belong to.

/// RocketMQ's keys are text, with blanks between them: bytes go as hexadecimal digits.
pub(super) fn to_text(key: &[u8]) -> String {
    use std::fmt::Write;
    key.iter().fold(String::with_capacity(key.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a key; None: it is none of ours.
pub(super) fn from_text(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The number of the queue, of `queues`, as `SelectMessageQueueByHash` finds it in every RocketMQ client: Java's hash of
/// the text.
pub(super) fn queue_of(text: &str, queues: usize) -> usize {
    let hash = text.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    (hash % queues as i32).unsigned_abs() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_way_through_text() {
        for key in [&b""[..], b"\0\x01\xff ", &7_u32.to_le_bytes()] {
            assert_eq!(from_text(&to_text(key)).as_deref(), Some(key));
        }
        assert_eq!(to_text(&[0, 171]), "00ab");
        assert_eq!(from_text("abc"), None);
        assert_eq!(from_text("order-no"), None);
    }

    #[test]
    fn queues_are_chosen_by_javas_hash() {
        // "hello".hashCode() is 99162322, "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        assert_eq!(queue_of("hello", 7), 99_162_322 % 7);
        assert_eq!(queue_of("polygenelubricants", 3), (i32::MIN % 3).unsigned_abs() as usize);
        assert!((0..1_000_u32).all(|key| queue_of(&to_text(&key.to_le_bytes()), 4) < 4));
        let used: std::collections::BTreeSet<_> =
            (0..100_u32).map(|key| queue_of(&to_text(&key.to_le_bytes()), 4)).collect();
        assert_eq!(used.len(), 4, "keys spread over the queues");
    }
}
