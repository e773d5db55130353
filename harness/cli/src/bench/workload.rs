//! What is measured: one named row each.

use std::collections::BTreeMap;

use mqproof_drivers::kafka::light::Acks;

/// What clients do in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Send as fast as it is acknowledged.
    Produce,
    /// Send at a fixed rate, and time each request from the moment when it was due.
    FixedRate,
    /// Read what others write meanwhile.
    Tail,
    /// Read a full log from its start.
    CatchUp,
    /// Not a block: memory of the brokers.
    Memory,
    /// Not a block: from nothing to the first acknowledgement.
    Start,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workload {
    /// Its name, also for `--only`.
    pub name: &'static str,
    /// In a few words.
    pub about: &'static str,
    /// What clients do.
    pub shape: Shape,
    /// Bytes of a record's value.
    pub record_bytes: u32,
    /// What an acknowledgement waits for.
    pub acks: Acks,
    /// One record in each request.
    pub tiny: bool,
    /// The broker flushes before it acknowledges.
    pub flushes: bool,
}

const fn produce(name: &'static str, about: &'static str, record_bytes: u32, acks: Acks) -> Workload {
    Workload { name, about, shape: Shape::Produce, record_bytes, acks, tiny: false, flushes: false }
}

const fn of(name: &'static str, about: &'static str, shape: Shape) -> Workload {
    Workload { name, about, shape, record_bytes: KB, acks: Acks::All, tiny: false, flushes: false }
}

const KB: u32 = 1024;

impl Workload {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 11] = [
        of("start", "from nothing to the first acknowledgement of all replicas", Shape::Start),
        produce("produce-1k-acks1", "1 KiB records, acknowledged by the leader", KB, Acks::Leader),
        produce("produce-1k-all", "1 KiB records, acknowledged by all replicas", KB, Acks::All),
        produce("produce-100b-acks1", "100 B records, acknowledged by the leader", 100, Acks::Leader),
        produce("produce-100b-all", "100 B records, acknowledged by all replicas", 100, Acks::All),
        Self {
            tiny: true,
            ..produce("tiny-batches", "100 B, one record a request, by the leader", 100, Acks::Leader)
        },
        Self {
            flushes: true,
            ..produce("flush-before-ack", "1 KiB records, flushed by all replicas first", KB, Acks::All)
        },
        of("fetch-tail", "1 KiB records, read while they are written", Shape::Tail),
        of("fetch-catch-up", "1 KiB records, a full log from its start", Shape::CatchUp),
        of("latency", "1 KiB records at a fixed rate, by all replicas", Shape::FixedRate),
        of("memory", "resident memory of all processes of the cluster", Shape::Memory),
    ];

    /// Settings of its topics, in Kafka's names. The segments are of one size for all systems.
    pub fn topic_settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::from([("segment.bytes".to_owned(), (64 << 20).to_string())]);
        if self.flushes {
            settings.insert("flush.messages".to_owned(), "1".to_owned());
        }
        settings
    }

    /// Whether it is measured block by block.
    pub fn has_blocks(&self) -> bool {
        !matches!(self.shape, Shape::Memory | Shape::Start)
    }
}

/// Those whose names are, or begin with, one of these words; all of them without a word. An unknown word is the error.
pub fn chosen(words: &[String]) -> Result<Vec<Workload>, String> {
    let named = |word: &String, workload: &Workload| workload.name.starts_with(word.as_str());
    if let Some(unknown) = words.iter().find(|word| !Workload::ALL.iter().any(|one| named(word, one))) {
        return Err(unknown.clone());
    }
    let is_chosen = |one: &Workload| words.is_empty() || words.iter().any(|word| named(word, one));
    Ok(Workload::ALL.into_iter().filter(is_chosen).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Result<Vec<&'static str>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(chosen(&words)?.iter().map(|workload| workload.name).collect())
    }

    #[test]
    fn a_word_chooses_all_that_begin_with_it() {
        assert_eq!(names(&[]).map(|all| all.len()), Ok(Workload::ALL.len()));
        assert_eq!(names(&["latency", "fetch"]), Ok(vec!["fetch-tail", "fetch-catch-up", "latency"]));
        assert_eq!(names(&["produce-1k-all"]), Ok(vec!["produce-1k-all"]));
        assert_eq!(names(&["fetch", "prodcue"]), Err("prodcue".to_owned()));
    }
}
