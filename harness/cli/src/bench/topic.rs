//! A topic of a block: where its partitions are led, and how much is in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mqproof_drivers::admin::{Admin, ClusterInfo, NewTopic};

use super::error::BenchError;

/// How long one question may take.
const ASK: Duration = Duration::from_secs(3);
/// How long a topic may take to be made, and to have all its leaders and replicas.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// What the client library calls a topic setting that the broker refuses.
const BAD_SETTING: &str = "InvalidConfig";
/// How long the last acknowledged record may take until any client can see it.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);

/// A topic that was made for a block.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Addresses of brokers, and the partitions that each of them leads.
    pub leaders: BTreeMap<String, Vec<i32>>,
}

impl Topic {
    /// Makes it, and waits until each partition has a leader and all its replicas in sync. A cluster that is short of a broker
    /// for a moment is asked again; one that does not know a setting is not.
    pub fn create(admin: &dyn Admin, new: &NewTopic) -> Result<Self, BenchError> {
        let create = || admin.create_topics(std::slice::from_ref(new), READY_WITHIN).err();
        let mut refused = create();
        let until = Instant::now() + READY_WITHIN;
        loop {
            if let Some(error) = refused.take_if(|error| error.why.contains(BAD_SETTING)) {
                return Err(error.into());
            }
            let why = match Self::ready(admin, new) {
                Ok(topic) => return Ok(topic),
                Err(why) => why,
            };
            if Instant::now() > until {
                let topic = new.name.clone();
                return Err(refused.map_or(BenchError::NotReady { topic, why }, BenchError::Admin));
            }
            std::thread::sleep(Duration::from_millis(10));
            if refused.is_some() {
                refused = create();
            }
        }
    }

    /// The topic, if nothing is missing.
    fn ready(admin: &dyn Admin, new: &NewTopic) -> Result<Self, String> {
        let told = admin.describe(std::slice::from_ref(&new.name), ASK).map_err(|error| error.to_string())?;
        let topic = Self { name: new.name.clone(), leaders: leaders(&told, new)? };
        // Whoever named the leaders may be ahead of them.
        topic.ends(admin).map_err(|error| error.to_string())?;
        Ok(topic)
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> u32 {
        self.leaders.values().map(Vec::len).sum::<usize>() as u32
    }

    /// Where each partition ends.
    pub fn ends(&self, admin: &dyn Admin) -> Result<BTreeMap<i32, u64>, BenchError> {
        (0..self.partitions())
            .map(|partition| Ok((partition as i32, admin.log_bounds(&self.name, partition, ASK)?.1)))
            .collect()
    }

    /// Checks that as much is stored as was acknowledged. The high watermark that clients see may lag a little behind an
    /// acknowledgement by the leader alone.
    pub fn check(&self, admin: &dyn Admin, acknowledged: u64) -> Result<(), BenchError> {
        let until = Instant::now() + VISIBLE_WITHIN;
        loop {
            let stored = self.ends(admin)?.values().sum();
            if stored >= acknowledged {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(BenchError::Lost { topic: self.name.clone(), acknowledged, stored });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Deletes it.
    pub fn delete(&self, admin: &dyn Admin) -> Result<(), BenchError> {
        Ok(admin.delete_topics(std::slice::from_ref(&self.name), READY_WITHIN)?)
    }
}

/// Who leads what, or what is missing.
fn leaders(cluster: &ClusterInfo, new: &NewTopic) -> Result<BTreeMap<String, Vec<i32>>, String> {
    let mut leaders: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for number in 0..new.partitions {
        let found = cluster.partitions.iter().find(|one| one.topic == new.name && one.partition == number);
        let Some(found) = found else { return Err(format!("partition {number} is not there")) };
        if found.isr.len() < new.replicas as usize {
            return Err(format!(
                "partition {number} has {} of {} replicas in sync",
                found.isr.len(),
                new.replicas
            ));
        }
        let broker = cluster.brokers.iter().find(|broker| Some(broker.id) == found.leader);
        let Some(broker) = broker else { return Err(format!("partition {number} has no leader")) };
        leaders.entry(broker.address.clone()).or_default().push(number as i32);
    }
    Ok(leaders)
}

#[cfg(test)]
mod tests {
    use mqproof_drivers::admin::{BrokerInfo, PartitionInfo};

    use super::*;

    fn cluster() -> ClusterInfo {
        let partition = |partition, leader| PartitionInfo {
            topic: "t".into(),
            partition,
            leader: Some(leader),
            replicas: vec![1, 2],
            isr: vec![1, 2],
        };
        ClusterInfo {
            brokers: [1, 2].map(|id| BrokerInfo { id, address: format!("h:{id}") }).into(),
            partitions: vec![partition(0, 1), partition(1, 2), partition(2, 1)],
            controller: None,
        }
    }

    fn new(partitions: u32) -> NewTopic {
        NewTopic { name: "t".into(), partitions, replicas: 2, groups: Vec::new(), settings: BTreeMap::new() }
    }

    #[test]
    fn partitions_are_grouped_by_the_address_of_their_leader() {
        let wanted = BTreeMap::from([("h:1".to_owned(), vec![0, 2]), ("h:2".to_owned(), vec![1])]);
        assert_eq!(leaders(&cluster(), &new(3)), Ok(wanted));
    }

    #[test]
    fn what_is_missing_is_told() {
        assert_eq!(leaders(&cluster(), &new(4)), Err("partition 3 is not there".into()));
        let mut lagging = cluster();
        lagging.partitions[1].isr.pop();
        assert_eq!(leaders(&lagging, &new(3)), Err("partition 1 has 1 of 2 replicas in sync".into()));
        let mut headless = cluster();
        headless.partitions[2].leader = None;
        assert_eq!(leaders(&headless, &new(3)), Err("partition 2 has no leader".into()));
    }
}
