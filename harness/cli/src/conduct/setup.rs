//! Before the load: topics, leaders, and the settings that are really in force.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mqproof_core::contract::{ExpectedSetting, SettingScope, expected_settings, topic_settings};
use mqproof_core::plan::{Durability, Plan, TopicPlan};
use mqproof_drivers::admin::{Admin, ClusterInfo, NewTopic};

use super::error::CellError;

/// How long one question may take.
pub const ASK: Duration = Duration::from_secs(3);
/// How long topics may take to be created: each first election of an old quorum queue some six seconds.
const CREATE: Duration = Duration::from_mins(1);
/// How long the cluster is given to have a leader and a full ISR everywhere.
const LEADERS_WITHIN: Duration = Duration::from_secs(20);

/// Waits until so many brokers are live.
pub fn wait_for_brokers(admin: &dyn Admin, count: usize, within: Duration) -> Result<ClusterInfo, String> {
    let until = Instant::now() + within;
    loop {
        let why = match admin.describe(&[], Duration::from_millis(500)) {
            Ok(cluster) if cluster.brokers.len() >= count => return Ok(cluster),
            Ok(cluster) => format!("{} of {count} brokers are live", cluster.brokers.len()),
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(why);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Creates the plan's topics and waits until each partition has a leader and all replicas in sync.
pub fn create_topics(admin: &dyn Admin, plan: &Plan, system: &str) -> Result<(), CellError> {
    let topics: Vec<NewTopic> =
        plan.topology.topics.iter().map(|(name, topic)| new_topic(system, plan, name, topic)).collect();
    let refused = |error: &dyn std::fmt::Display| {
        CellError::Settings(format!("the cluster refused the topics: {error}"))
    };
    admin.create_topics(&topics, CREATE).map_err(|error| refused(&error))?;
    wait_for_full_isr(admin, plan, LEADERS_WITHIN).map_err(|why| refused(&why))
}

fn new_topic(system: &str, plan: &Plan, name: &str, topic: &TopicPlan) -> NewTopic {
    let mut groups: Vec<String> = plan
        .consumers
        .iter()
        .filter(|consumer| consumer.topic == name)
        .map(|consumer| consumer.group.clone())
        .collect();
    groups.dedup();
    NewTopic {
        name: name.to_owned(),
        partitions: topic.partitions,
        replicas: topic.replicas,
        groups,
        settings: topic_settings(system, plan, topic),
    }
}

/// Waits until each partition of the plan has a leader and all its replicas in sync; says what is missing.
pub fn wait_for_full_isr(admin: &dyn Admin, plan: &Plan, within: Duration) -> Result<(), String> {
    let until = Instant::now() + within;
    let names: Vec<String> = plan.topology.topics.keys().cloned().collect();
    loop {
        let missing = match admin.describe(&names, Duration::from_millis(500)) {
            Ok(cluster) => missing(plan, &cluster),
            Err(error) => Some(error.to_string()),
        };
        let Some(why) = missing else { return Ok(()) };
        if Instant::now() > until {
            return Err(why);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn missing(plan: &Plan, cluster: &ClusterInfo) -> Option<String> {
    for (name, topic) in &plan.topology.topics {
        for number in 0..topic.partitions {
            let found = cluster.partitions.iter().find(|one| one.topic == *name && one.partition == number);
            let Some(found) = found else { return Some(format!("{name}/{number} is not there")) };
            if found.leader.is_none() {
                return Some(format!("{name}/{number} has no leader"));
            }
            // How many there are to be is read back with the settings; a product may have a class with one copy.
            if found.isr.len() < found.replicas.len() {
                return Some(format!(
                    "{name}/{number} has {} of {} replicas in sync",
                    found.isr.len(),
                    found.replicas.len()
                ));
            }
        }
    }
    None
}

/// Settings as the cluster tells them.
struct InForce {
    topics: BTreeMap<String, BTreeMap<String, String>>,
    brokers: BTreeMap<i32, BTreeMap<String, String>>,
}

/// Asks until all is told: any broker may answer, and one whose metadata lags does not know a new topic yet.
fn in_force(admin: &dyn Admin, plan: &Plan) -> Result<InForce, String> {
    let until = Instant::now() + LEADERS_WITHIN;
    loop {
        match ask(admin, plan) {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            told => return told,
        }
    }
}

fn ask(admin: &dyn Admin, plan: &Plan) -> Result<InForce, String> {
    let names: Vec<String> = plan.topology.topics.keys().cloned().collect();
    let cluster = admin.describe(&names, ASK).map_err(|error| error.to_string())?;
    if let Some(why) = missing(plan, &cluster) {
        return Err(why);
    }
    let mut topics = BTreeMap::new();
    for name in names {
        let mut settings = admin.topic_settings(&name, ASK).map_err(|error| error.to_string())?;
        let partitions = cluster.partitions.iter().filter(|one| one.topic == name);
        let replicas = partitions.map(|one| one.replicas.len()).min().unwrap_or(0);
        settings.insert("replication.factor".into(), replicas.to_string());
        topics.insert(name, settings);
    }
    let mut brokers = BTreeMap::new();
    for broker in &cluster.brokers {
        let settings = admin.broker_settings(broker.id, ASK).map_err(|error| error.to_string())?;
        brokers.insert(broker.id, settings);
    }
    Ok(InForce { topics, brokers })
}

/// Reads back what the durability class needs. Returns all that was read, to be shown; a setting that is not what the
/// class needs is an error.
pub fn read_back(
    admin: &dyn Admin,
    plan: &Plan,
    system: &str,
    profile: &[&str],
) -> Result<BTreeMap<String, String>, CellError> {
    let InForce { topics, brokers } = in_force(admin, plan).map_err(CellError::Settings)?;
    let mut shown = BTreeMap::new();
    for expected in expected_settings(system, profile, plan) {
        match &expected.scope {
            // The client says what it has in force when it is connected: `compare_producer`.
            SettingScope::Producer => {}
            SettingScope::Topic(name) => {
                let found = topics.get(name).and_then(|settings| settings.get(expected.name));
                compare(
                    &mut shown,
                    &format!("{name}: {}", expected.name),
                    found,
                    &expected,
                    plan.durability,
                )?;
            }
            SettingScope::Broker => {
                for (id, settings) in &brokers {
                    let key = format!("broker {id}: {}", expected.name);
                    compare(&mut shown, &key, settings.get(expected.name), &expected, plan.durability)?;
                }
            }
        }
    }
    Ok(shown)
}

/// Compares what a producer of a role said it has in force with what the durability class needs.
pub fn compare_producer(
    role: &str,
    told: &BTreeMap<String, String>,
    plan: &Plan,
    system: &str,
    profile: &[&str],
) -> Result<(), CellError> {
    let expected = expected_settings(system, profile, plan);
    expected.iter().filter(|one| one.scope == SettingScope::Producer).try_for_each(|one| {
        let key = format!("{role}: {}", one.name);
        compare(&mut BTreeMap::new(), &key, told.get(one.name), one, plan.durability)
    })
}

fn compare(
    shown: &mut BTreeMap<String, String>,
    key: &str,
    found: Option<&String>,
    expected: &ExpectedSetting,
    durability: Durability,
) -> Result<(), CellError> {
    let value = found.map_or("(not told)", String::as_str);
    if found.is_none() || !expected.accepts(value) {
        return Err(CellError::Settings(format!(
            "`{key}` is `{value}` where durability `{}` needs `{}`\nhint: change the setting, or ask for another class with `--set durability=…`",
            durability.name(),
            expected.needed()
        )));
    }
    shown.insert(key.to_owned(), value.to_owned());
    Ok(())
}
