//! Names of queues, and which shard a key belongs to.

/// The queue of one partition: a group's own, or the only one.
pub(super) fn queue(topic: &str, group: Option<&str>, partition: u32) -> String {
    match group {
        Some(group) => format!("{topic}.{group}.{partition}"),
        None => format!("{topic}.{partition}"),
    }
}

/// The partition in a queue's name.
pub(super) fn partition_of(queue: &str) -> Option<u32> {
    queue.rsplit_once('.')?.1.parse().ok()
}

/// Where Kafka's Java client would put a key among so many partitions, so that a key lands in the same shard everywhere.
pub(super) fn shard_of_key(key: &[u8], shards: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % shards.max(1)
}

/// MurmurHash2 by Austin Appleby, in the 32-bit form and with the seed that Kafka's clients use.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// A key as text: streams convert what is not valid UTF-8.
pub(super) fn key_text(key: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    key.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The key of such a text.
pub(super) fn key_bytes(text: &[u8]) -> Option<Vec<u8>> {
    text.chunks(2)
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_land_where_kafkas_own_tests_say() {
        // From UtilsTest.testMurmur2 of Kafka's clients.
        let cases: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key) as i32, hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn every_shard_gets_keys_and_each_key_one_shard() {
        let shards = |count| (0..1_000_u32).map(move |key| shard_of_key(&key.to_le_bytes(), count));
        let mut of_three: Vec<u32> = shards(3).collect();
        assert_eq!(of_three, shards(3).collect::<Vec<_>>());
        of_three.sort_unstable();
        of_three.dedup();
        assert_eq!(of_three, [0, 1, 2]);
        assert!(shards(1).all(|shard| shard == 0));
    }

    #[test]
    fn a_key_comes_back_from_its_text() {
        for key in [&[][..], &[0, 255, 7], b"key"] {
            assert_eq!(key_bytes(key_text(key).as_bytes()).as_deref(), Some(key));
        }
        assert_eq!(key_bytes(b"0"), None);
        assert_eq!(key_bytes(b"zz"), None);
    }

    #[test]
    fn the_partition_is_the_last_part_of_a_queue_name() {
        assert_eq!(partition_of(&queue("a.b", Some("g.h"), 12)), Some(12));
        assert_eq!(partition_of(&queue("orders", None, 0)), Some(0));
        assert_eq!(partition_of("orders"), None);
    }
}
