//! Fetch sessions (KIP-227): a fetcher names its partitions once, and then only what changes.
//!
//! In:  a fetch request, which may name a session. Out: the same request with all partitions of the session, and later
//! its response without those of which nothing new is to be told.
//! Owns: the sessions, at most as many as there are slots. Never: reads a partition.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use uuid::Uuid;

use crate::wire::{FetchResponse, FetchedPartition, TopicKey};

/// A request without a session: what it names is all there is.
const NO_SESSION: i32 = 0;
/// The epoch of a request that wants a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that ends its session, or wants none.
const FINAL_EPOCH: i32 = -1;
/// How long a session is safe from being given up for another one, and after which idle time it goes first.
const EVICTION_NS: u64 = 120_000_000_000;

/// One session.
#[derive(Debug)]
struct Session {
    /// Of the next request.
    epoch: i32,
    created_ns: u64,
    used_ns: u64,
    /// In the order in which they are read; who had records goes to the end.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    topic: TopicName,
    topic_id: Uuid,
    partition: FetchPartition,
    /// High watermark and start of the log, as the fetcher was told last.
    told: Option<(i64, i64)>,
}

/// What a request is to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SessionTurn {
    id: i32,
    /// Whether only news is told.
    incremental: bool,
}

/// All sessions of a broker.
pub(super) struct FetchSessions {
    slots: usize,
    ids: ChaCha8Rng,
    sessions: BTreeMap<i32, Session>,
}

impl FetchSessions {
    pub(super) fn new(slots: usize, seed: u64) -> Self {
        Self { slots, ids: ChaCha8Rng::seed_from_u64(seed), sessions: BTreeMap::new() }
    }

    /// Fills in what the session of a request knows, and notes what the request changes.
    pub(super) fn begin(
        &mut self,
        request: &mut FetchRequest,
        now_ns: u64,
    ) -> Result<SessionTurn, ResponseError> {
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.sessions.remove(&id);
            let id = if epoch == INITIAL_EPOCH { self.open(request, now_ns) } else { NO_SESSION };
            return Ok(SessionTurn { id, incremental: false });
        }
        let session = self.sessions.get_mut(&id).ok_or(ResponseError::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        session.used_ns = now_ns;
        session.epoch = following(epoch);
        session.change(request);
        if session.entries.is_empty() {
            self.sessions.remove(&id);
            request.topics.clear();
            return Ok(SessionTurn::default());
        }
        request.topics = session.topics();
        Ok(SessionTurn { id, incremental: true })
    }

    /// A new session, if there is a slot or one can be made free.
    fn open(&mut self, request: &FetchRequest, now_ns: u64) -> i32 {
        let mut session = Session {
            epoch: following(INITIAL_EPOCH),
            created_ns: now_ns,
            used_ns: now_ns,
            entries: Vec::new(),
        };
        session.change(request);
        if session.entries.is_empty() || !self.make_room(session.entries.len(), now_ns) {
            return NO_SESSION;
        }
        let id = loop {
            let id = (self.ids.next_u32() >> 1) as i32;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                break id;
            }
        };
        self.sessions.insert(id, session);
        id
    }

    /// Gives up the session that was not used for longest, if that is long; else one that has lived long enough and is
    /// smaller than the new one. A session in use is never given up because it is old (KAFKA-9137).
    fn make_room(&mut self, size: usize, now_ns: u64) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let is_over = |since_ns: u64| now_ns - since_ns > EVICTION_NS;
        let idle = self.sessions.iter().min_by_key(|(_, session)| session.used_ns);
        let idle = idle.filter(|(_, session)| is_over(session.used_ns));
        let smaller = || {
            let old = self.sessions.iter().filter(|(_, session)| is_over(session.created_ns));
            old.min_by_key(|(_, session)| session.entries.len()).filter(|(_, old)| old.entries.len() < size)
        };
        let Some(id) = idle.or_else(smaller).map(|(id, _)| *id) else { return false };
        self.sessions.remove(&id);
        true
    }

    /// Leaves out of a response what is no news to the session.
    pub(super) fn end(&mut self, turn: SessionTurn, response: &mut FetchResponse) {
        response.session_id = turn.id;
        let Some(session) = self.sessions.get_mut(&turn.id) else { return };
        for topic in &mut response.topics {
            topic.partitions.retain(|read| session.tell(&topic.topic, read) || !turn.incremental);
        }
        if turn.incremental {
            response.topics.retain(|topic| !topic.partitions.is_empty());
        }
        let (rest, told): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut session.entries).into_iter().partition(|entry| {
                !response.topics.iter().any(|topic| entry.is_in(&topic.topic, &topic.partitions))
            });
        session.entries = rest.into_iter().chain(told).collect();
    }
}

impl Session {
    fn change(&mut self, request: &FetchRequest) {
        for topic in &request.forgotten_topics_data {
            self.entries.retain(|entry| {
                !(entry.is_of(&topic.topic, topic.topic_id)
                    && topic.partitions.contains(&entry.partition.partition))
            });
        }
        for topic in &request.topics {
            for partition in &topic.partitions {
                let known = self.entries.iter_mut().find(|entry| {
                    entry.is_of(&topic.topic, topic.topic_id)
                        && entry.partition.partition == partition.partition
                });
                let partition = partition.clone();
                if let Some(entry) = known {
                    entry.partition = partition;
                    continue;
                }
                let (topic, topic_id) = (topic.topic.clone(), topic.topic_id);
                self.entries.push(Entry { topic, topic_id, partition, told: None });
            }
        }
    }

    fn topics(&self) -> Vec<FetchTopic> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for entry in &self.entries {
            match topics.last_mut() {
                Some(last) if entry.is_of(&last.topic, last.topic_id) => {
                    last.partitions.push(entry.partition.clone());
                }
                _ => topics.push(
                    FetchTopic::default()
                        .with_topic(entry.topic.clone())
                        .with_topic_id(entry.topic_id)
                        .with_partitions(vec![entry.partition.clone()]),
                ),
            }
        }
        topics
    }

    /// Notes what the fetcher is told of a partition; says whether it is news.
    fn tell(&mut self, topic: &TopicKey, read: &FetchedPartition) -> bool {
        let known = self.entries.iter_mut().find(|entry| entry.is_in(topic, std::slice::from_ref(read)));
        let Some(entry) = known else { return true };
        let now = (read.high_watermark.0, read.log_start.0);
        let elsewhere = read.diverging.is_some() || read.preferred.is_some();
        let news = read.bytes() > 0 || read.error != 0 || elsewhere || entry.told != Some(now);
        // An error is told again until it is over.
        entry.told = (read.error == 0).then_some(now);
        news
    }
}

impl Entry {
    fn is_of(&self, topic: &TopicName, topic_id: Uuid) -> bool {
        self.topic == *topic && self.topic_id == topic_id
    }

    fn is_in(&self, topic: &TopicKey, partitions: &[FetchedPartition]) -> bool {
        let same_topic = match topic {
            TopicKey::Name(name) => *name == self.topic.0,
            TopicKey::Id(id) => id == self.topic_id.as_bytes(),
        };
        same_topic && partitions.iter().any(|read| read.partition.0 == self.partition.partition)
    }
}

/// Epochs wrap to 1: 0 and −1 have a meaning of their own.
fn following(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::fetch_request::ForgottenTopic;
    use kafka_protocol::protocol::StrBytes;

    use super::*;
    use crate::ids::{Offset, PartitionId};
    use crate::wire::FetchedTopic;

    const HOUR_NS: u64 = 3_600_000_000_000;

    fn name() -> StrBytes {
        StrBytes::from_static_str("orders")
    }

    fn request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let partitions = partitions.iter().map(|(partition, offset)| {
            FetchPartition::default().with_partition(*partition).with_fetch_offset(*offset)
        });
        let topic = FetchTopic::default().with_topic(TopicName(name())).with_partitions(partitions.collect());
        let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
        FetchRequest::default().with_session_id(id).with_session_epoch(epoch).with_topics(topics)
    }

    fn asked(request: &FetchRequest) -> Vec<(i32, i64)> {
        let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
    }

    fn read(partition: i32, high_watermark: i64, records: &'static [u8]) -> FetchedPartition {
        FetchedPartition {
            high_watermark: Offset(high_watermark),
            log_start: Offset(0),
            records: vec![Bytes::from_static(records)],
            ..FetchedPartition::error(PartitionId(partition), 0)
        }
    }

    fn told(sessions: &mut FetchSessions, turn: SessionTurn, partitions: Vec<FetchedPartition>) -> Vec<i32> {
        let topics = vec![FetchedTopic { topic: TopicKey::Name(name()), partitions }];
        let mut response = FetchResponse { topics, ..FetchResponse::default() };
        sessions.end(turn, &mut response);
        assert_eq!(response.session_id, turn.id);
        response.topics.iter().flat_map(|topic| &topic.partitions).map(|read| read.partition.0).collect()
    }

    /// Two partitions in a session; its id.
    fn opened(sessions: &mut FetchSessions) -> i32 {
        let turn = sessions.begin(&mut request(0, 0, &[(0, 5), (1, 6)]), 0).expect("a session");
        assert_eq!(told(sessions, turn, vec![read(0, 5, b""), read(1, 6, b"")]), [0, 1]);
        turn.id
    }

    #[test]
    fn a_session_knows_its_partitions_and_tells_only_news() {
        let mut sessions = FetchSessions::new(10, 1);
        let id = opened(&mut sessions);
        let mut next = request(id, 1, &[(1, 9)]);
        let turn = sessions.begin(&mut next, 0).expect("the session");
        assert_eq!(asked(&next), [(0, 5), (1, 9)]);
        assert_eq!(told(&mut sessions, turn, vec![read(0, 5, b""), read(1, 9, b"x")]), [1]);
        let turn = sessions.begin(&mut request(id, 2, &[]), 0).expect("the session");
        assert_eq!(
            told(&mut sessions, turn, vec![read(0, 6, b""), read(1, 9, b"")]),
            [0],
            "a new high watermark"
        );
    }

    #[test]
    fn an_error_is_told_until_it_is_over() {
        let mut sessions = FetchSessions::new(10, 1);
        let id = opened(&mut sessions);
        let failed = || FetchedPartition::error(PartitionId(0), 6);
        for epoch in 1..3 {
            let turn = sessions.begin(&mut request(id, epoch, &[]), 0).expect("the session");
            assert_eq!(told(&mut sessions, turn, vec![failed(), read(1, 6, b"")]), [0]);
        }
        let turn = sessions.begin(&mut request(id, 3, &[]), 0).expect("the session");
        assert_eq!(told(&mut sessions, turn, vec![read(0, 5, b""), read(1, 6, b"")]), [0]);
    }

    #[test]
    fn who_had_records_is_read_last_next_time() {
        let mut sessions = FetchSessions::new(10, 1);
        let id = opened(&mut sessions);
        let turn = sessions.begin(&mut request(id, 1, &[]), 0).expect("the session");
        told(&mut sessions, turn, vec![read(0, 5, b"x"), read(1, 6, b"")]);
        let mut next = request(id, 2, &[]);
        sessions.begin(&mut next, 0).expect("the session");
        assert_eq!(asked(&next), [(1, 6), (0, 5)]);
    }

    #[test]
    fn a_wrong_epoch_and_a_session_that_is_gone_are_errors() {
        let mut sessions = FetchSessions::new(10, 1);
        let id = opened(&mut sessions);
        let wrong = sessions.begin(&mut request(id, 2, &[]), 0);
        assert_eq!(wrong, Err(ResponseError::InvalidFetchSessionEpoch));
        sessions.begin(&mut request(id, FINAL_EPOCH, &[(0, 1)]), 0).expect("the end of the session");
        let gone = sessions.begin(&mut request(id, 1, &[]), 0);
        assert_eq!(gone, Err(ResponseError::FetchSessionIdNotFound));
    }

    #[test]
    fn forgotten_partitions_are_read_no_more_and_the_last_one_ends_the_session() {
        let mut sessions = FetchSessions::new(10, 1);
        let id = opened(&mut sessions);
        let forgetting = |epoch, partition: i32| {
            let topic =
                ForgottenTopic::default().with_topic(TopicName(name())).with_partitions(vec![partition]);
            request(id, epoch, &[]).with_forgotten_topics_data(vec![topic])
        };
        let mut next = forgetting(1, 0);
        sessions.begin(&mut next, 0).expect("the session");
        assert_eq!(asked(&next), [(1, 6)]);
        assert_eq!(sessions.begin(&mut forgetting(2, 1), 0), Ok(SessionTurn::default()));
        assert!(sessions.sessions.is_empty());
    }

    #[test]
    fn a_session_in_use_stays_and_one_that_is_idle_makes_room() {
        let mut sessions = FetchSessions::new(2, 1);
        let (hot, idle) = (opened(&mut sessions), opened(&mut sessions));
        sessions.begin(&mut request(hot, 1, &[]), HOUR_NS).expect("the session");
        let fresh = sessions.begin(&mut request(0, 0, &[(0, 0)]), HOUR_NS).expect("a session");
        assert_ne!(fresh.id, NO_SESSION);
        assert!(sessions.sessions.contains_key(&hot) && !sessions.sessions.contains_key(&idle));
        let none = sessions.begin(&mut request(0, 0, &[(0, 0)]), HOUR_NS).expect("an answer");
        assert_eq!(none.id, NO_SESSION, "a smaller one has to do without");
        let larger =
            sessions.begin(&mut request(0, 0, &[(0, 0), (1, 0), (2, 0)]), HOUR_NS).expect("a session");
        assert_ne!(larger.id, NO_SESSION);
        assert!(!sessions.sessions.contains_key(&hot), "the smallest that has lived long enough goes");
    }
}
