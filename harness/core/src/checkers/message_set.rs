//! Sets of messages that stay small however many there are.
//!
//! Messages of a session are numbered densely, so a set is a row of segments of 65,536 bits; a segment without a member or
//! with all of them takes no memory. A healthy run of any length therefore costs what is in flight.

use std::collections::BTreeMap;

use crate::ids::MessageId;

const SEGMENT_BITS: u32 = 1 << 16;
const WORDS: usize = SEGMENT_BITS as usize / 64;

#[derive(Clone, Debug, Default)]
enum Segment {
    #[default]
    Empty,
    Some {
        words: Box<[u64; WORDS]>,
        count: u32,
    },
    Full,
}

impl Segment {
    fn word(&self, index: usize) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Some { words, .. } => words[index],
            Self::Full => u64::MAX,
        }
    }

    fn insert(&mut self, bit: u32) -> bool {
        if matches!(self, Self::Empty) {
            *self = Self::Some { words: Box::new([0; WORDS]), count: 0 };
        }
        let Self::Some { words, count } = self else { return false };
        let (word, mask) = (&mut words[bit as usize / 64], 1 << (bit % 64));
        if *word & mask != 0 {
            return false;
        }
        *word |= mask;
        *count += 1;
        if *count == SEGMENT_BITS {
            *self = Self::Full;
        }
        true
    }

    fn remove(&mut self, bit: u32) {
        if matches!(self, Self::Full) {
            *self = Self::Some { words: Box::new([u64::MAX; WORDS]), count: SEGMENT_BITS };
        }
        let Self::Some { words, count } = self else { return };
        let (word, mask) = (&mut words[bit as usize / 64], 1 << (bit % 64));
        if *word & mask != 0 {
            *word &= !mask;
            *count -= 1;
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Some { count, .. } => u64::from(*count),
            Self::Full => u64::from(SEGMENT_BITS),
        }
    }
}

/// A set of messages.
#[derive(Clone, Debug, Default)]
pub struct MessageSet {
    /// By session, as the high 32 bits of its messages' ids.
    sessions: BTreeMap<u32, Vec<Segment>>,
}

impl MessageSet {
    /// Adds a message; whether it is new.
    pub fn insert(&mut self, message: MessageId) -> bool {
        let segments = self.sessions.entry((message.0 >> 32) as u32).or_default();
        let index = (message.seq() / SEGMENT_BITS) as usize;
        if segments.len() <= index {
            segments.resize_with(index + 1, Segment::default);
        }
        segments[index].insert(message.seq() % SEGMENT_BITS)
    }

    /// Takes a message out.
    pub fn remove(&mut self, message: MessageId) {
        if let Some(segments) = self.sessions.get_mut(&((message.0 >> 32) as u32))
            && let Some(segment) = segments.get_mut((message.seq() / SEGMENT_BITS) as usize)
        {
            segment.remove(message.seq() % SEGMENT_BITS);
        }
    }

    /// Whether a message is a member.
    pub fn contains(&self, message: MessageId) -> bool {
        let bit = message.seq() % SEGMENT_BITS;
        self.sessions
            .get(&((message.0 >> 32) as u32))
            .and_then(|segments| segments.get((message.seq() / SEGMENT_BITS) as usize))
            .is_some_and(|segment| segment.word(bit as usize / 64) >> (bit % 64) & 1 == 1)
    }

    /// Number of members.
    pub fn count(&self) -> u64 {
        self.sessions.values().flatten().map(Segment::count).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// By session (the high 32 bits of its messages' ids), one past the highest number up to which it is worth looking.
    pub fn extents(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.sessions.iter().map(|(&session, segments)| {
            let last = segments.last().map_or(0, |segment| {
                let word = (0..WORDS).rev().find(|&word| segment.word(word) != 0).unwrap_or(0);
                word as u64 * 64 + 64
            });
            (session, (segments.len().saturating_sub(1)) as u64 * u64::from(SEGMENT_BITS) + last)
        })
    }

    /// The members, in the order of ids.
    pub fn iter(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.sessions.iter().flat_map(|(&session, segments)| {
            segments.iter().enumerate().filter(|(_, segment)| segment.count() > 0).flat_map(
                move |(index, segment)| {
                    (0..WORDS).flat_map(move |word| {
                        let base = u64::from(session) << 32
                            | (index as u64 * u64::from(SEGMENT_BITS) + word as u64 * 64);
                        Bits(segment.word(word)).map(move |bit| MessageId(base + u64::from(bit)))
                    })
                },
            )
        })
    }

    /// The members of some sessions (the high 32 bits of their messages' ids).
    pub fn of_sessions(&self, wanted: impl Fn(u32) -> bool) -> Self {
        let sessions = self.sessions.iter().filter(|(session, _)| wanted(**session));
        Self { sessions: sessions.map(|(session, segments)| (*session, segments.clone())).collect() }
    }

    /// Takes in the members of `other`.
    pub fn extend(&mut self, other: &Self) {
        for message in other.iter() {
            self.insert(message);
        }
    }

    /// The members that are not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        let mut result = Self::default();
        let none = Segment::Empty;
        for (session, segments) in &self.sessions {
            let theirs = other.sessions.get(session);
            let differences = segments.iter().enumerate().map(|(index, segment)| {
                difference(segment, theirs.and_then(|segments| segments.get(index)).unwrap_or(&none))
            });
            result.sessions.insert(*session, differences.collect());
        }
        result
    }
}

fn difference(ours: &Segment, theirs: &Segment) -> Segment {
    if matches!(ours, Segment::Empty) || matches!(theirs, Segment::Full) {
        return Segment::Empty;
    }
    let words: [u64; WORDS] = std::array::from_fn(|word| ours.word(word) & !theirs.word(word));
    match words.iter().map(|word| word.count_ones()).sum() {
        0 => Segment::Empty,
        SEGMENT_BITS => Segment::Full,
        count => Segment::Some { words: Box::new(words), count },
    }
}

/// The numbers of the bits that are set.
struct Bits(u64);

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SessionId;

    fn message(producer: u16, seq: u32) -> MessageId {
        MessageId::new(SessionId { producer, incarnation: 0 }, seq)
    }

    #[test]
    fn a_full_segment_takes_no_memory_and_can_be_opened_again() {
        let mut set = MessageSet::default();
        for seq in 0..SEGMENT_BITS {
            assert!(set.insert(message(1, seq)));
        }
        assert!(matches!(set.sessions[&(1 << 16)][0], Segment::Full));
        assert!(!set.insert(message(1, 77)));
        set.remove(message(1, 77));
        assert!(!set.contains(message(1, 77)));
        assert_eq!(set.count(), u64::from(SEGMENT_BITS) - 1);
    }

    #[test]
    fn minus_holds_what_only_the_first_set_has() {
        let mut left = MessageSet::default();
        let mut right = MessageSet::default();
        for seq in [0, 63, 64, 70_000, 200_000] {
            left.insert(message(0, seq));
        }
        for seq in [63, 70_000, 70_001] {
            right.insert(message(0, seq));
        }
        right.insert(message(9, 0));
        let members: Vec<_> = left.minus(&right).iter().map(MessageId::seq).collect();
        assert_eq!(members, [0, 64, 200_000]);
    }
}
