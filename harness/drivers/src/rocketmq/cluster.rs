//! What a cluster says of itself: brokers, masters, controllers, queues.
//!
//! Every name server and every controller is asked at once and the newest answer wins, so that a frozen or dead node
//! neither delays an answer nor gives an old one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::remoting::json::{self, BrokerData, ClusterBody, Replicas, Route, SyncStates};
use super::remoting::{Peers, RemotingError, Request, Response, code};
use super::route_watch::Copies;
use super::settings;
use crate::Connection;

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error("{0}")]
    Remoting(#[from] RemotingError),
    #[error("`{address}` answers {code}: {remark}")]
    Refused { address: String, code: i32, remark: String },
    #[error("`{address}` answers what is not understood: {why}")]
    Body { address: String, why: String },
    #[error("no name server answers")]
    NoNameServer,
    #[error("no controller leads")]
    NoController,
    #[error("topic `{0}` has no route")]
    NoRoute(String),
    #[error("broker `{0}` has no master")]
    NoMaster(String),
    #[error("topic `{0}` has no queue {1}")]
    NoQueue(String, u32),
}

/// One queue of a topic; its place in the topic's list is its partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queue {
    pub(super) broker: String,
    pub(super) id: u32,
}

/// Copies of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BrokerSet {
    pub(super) master: Option<String>,
    /// Addresses of all copies, of those in sync, and of those that answer their controller.
    pub(super) all: BTreeSet<String>,
    pub(super) in_sync: BTreeSet<String>,
    pub(super) alive: BTreeSet<String>,
}

/// All brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) brokers: BTreeMap<String, BrokerSet>,
    /// Address of the leading controller; None without controllers.
    pub(super) controller: Option<String>,
}

/// What was learnt and does not change while a cluster lives.
#[derive(Debug, Default)]
struct Learnt {
    names: BTreeSet<String>,
    /// Every address that a broker ever had.
    addresses: BTreeSet<String>,
    /// None: not asked yet. Empty: a cluster without controllers.
    controllers: Option<Vec<String>>,
    queues: BTreeMap<String, Vec<Queue>>,
}

/// Asks one cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    peers: Peers,
    name_servers: Vec<String>,
    nodes: BTreeMap<String, i32>,
    learnt: Mutex<Learnt>,
}

impl Cluster {
    pub(super) fn new(connection: &Connection) -> Self {
        Self {
            peers: Peers::default(),
            name_servers: settings::name_servers(connection),
            nodes: settings::nodes(connection),
            learnt: Mutex::default(),
        }
    }

    /// The addresses of the name servers.
    pub(super) fn name_servers(&self) -> &[String] {
        &self.name_servers
    }

    /// Asks one address; an answer other than `code::SUCCESS` is an error.
    pub(super) fn ask(
        &self,
        address: &str,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, ClusterError> {
        done(address, self.peers.ask(address, request, deadline)?)
    }

    /// The number of the node at an address.
    pub(super) fn node(&self, address: &str) -> i32 {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        if let Some(node) = self.nodes.get(host) {
            return *node;
        }
        let learnt = self.learnt();
        let place = learnt.addresses.iter().position(|known| known == address);
        place.map_or(0, |place| place as i32 + 1)
    }

    /// The address of a broker by the number of its node.
    pub(super) fn broker_at(&self, node: i32, deadline: Instant) -> Result<String, ClusterError> {
        self.view(deadline)?;
        let known: Vec<String> = self.learnt().addresses.iter().cloned().collect();
        known
            .into_iter()
            .find(|address| self.node(address) == node)
            .ok_or_else(|| ClusterError::NoMaster(format!("node {node}")))
    }

    /// All brokers with their masters.
    pub(super) fn view(&self, deadline: Instant) -> Result<View, ClusterError> {
        let controllers = self.controllers(deadline)?;
        let view = if controllers.is_empty() {
            self.view_of_name_servers(deadline)?
        } else {
            self.view_of_controllers(&controllers, deadline)?
        };
        let addresses = view.brokers.values().flat_map(|broker| broker.all.iter().cloned());
        self.learnt().addresses.extend(addresses);
        Ok(view)
    }

    /// The address of the master of a broker.
    pub(super) fn master(&self, broker: &str, deadline: Instant) -> Result<String, ClusterError> {
        let mut view = self.view(deadline)?;
        let master = view.brokers.remove(broker).and_then(|broker| broker.master);
        master.ok_or_else(|| ClusterError::NoMaster(broker.to_owned()))
    }

    /// The queues of a topic, by partition.
    pub(super) fn queues(&self, topic: &str, deadline: Instant) -> Result<Vec<Queue>, ClusterError> {
        if let Some(queues) = self.learnt().queues.get(topic) {
            return Ok(queues.clone());
        }
        let route = self.route(topic, deadline)?;
        let mut queues: Vec<Queue> = route
            .queue_datas
            .iter()
            .flat_map(|data| {
                let count = data.read_queue_nums.max(data.write_queue_nums);
                (0..count).map(|id| Queue { broker: data.broker_name.clone(), id })
            })
            .collect();
        queues.sort();
        if queues.is_empty() {
            return Err(ClusterError::NoRoute(topic.to_owned()));
        }
        self.learnt().queues.insert(topic.to_owned(), queues.clone());
        Ok(queues)
    }

    /// One queue of a topic.
    pub(super) fn queue(
        &self,
        topic: &str,
        partition: u32,
        deadline: Instant,
    ) -> Result<Queue, ClusterError> {
        let mut queues = self.queues(topic, deadline)?;
        let at = partition as usize;
        if at >= queues.len() {
            return Err(ClusterError::NoQueue(topic.to_owned(), partition));
        }
        Ok(queues.swap_remove(at))
    }

    /// Asks the master of a partition's queue; `topic` and `queueId` are added to the question.
    pub(super) fn ask_master(
        &self,
        topic: &str,
        partition: u32,
        request: Request,
        deadline: Instant,
    ) -> Result<Response, ClusterError> {
        let queue = self.queue(topic, partition, deadline)?;
        let master = self.master(&queue.broker, deadline)?;
        self.ask(&master, &request.with("topic", topic).with("queueId", queue.id), deadline)
    }

    /// First and next offset of a partition's queue.
    pub(super) fn log_bounds(
        &self,
        topic: &str,
        partition: u32,
        deadline: Instant,
    ) -> Result<(u64, u64), ClusterError> {
        let offset = |code| {
            let answer = self.ask_master(topic, partition, Request::new(code), deadline)?;
            // A queue that never had a message says -1 for its first.
            Ok::<_, ClusterError>(answer.number("offset").unwrap_or(0).max(0) as u64)
        };
        let end = offset(code::GET_MAX_OFFSET)?;
        Ok((offset(code::GET_MIN_OFFSET)?.min(end), end))
    }

    /// First offset of a partition's queue, and the next one of the follower that is ahead of the others; without followers
    /// that answer, of the master.
    pub(super) fn replicated_bounds(
        &self,
        topic: &str,
        partition: u32,
        deadline: Instant,
    ) -> Result<(u64, u64), ClusterError> {
        let queue = self.queue(topic, partition, deadline)?;
        let mut view = self.view(deadline)?;
        let broker = view.brokers.remove(&queue.broker).unwrap_or_default();
        let followers: Vec<&String> =
            broker.alive.iter().filter(|address| broker.master.as_ref() != Some(address)).collect();
        let request = Request::new(code::GET_MAX_OFFSET).with("topic", topic).with("queueId", queue.id);
        let answers = self.peers.ask_all(followers, &request, deadline, |_| false);
        let offset = |answer: &Response| {
            (answer.code == code::SUCCESS).then(|| answer.number("offset").unwrap_or(0).max(0) as u64)
        };
        let furthest = answers.iter().filter_map(|(_, answer)| offset(answer.as_ref().ok()?)).max();
        let (start, end) = self.log_bounds(topic, partition, deadline)?;
        Ok((start, furthest.map_or(end, |furthest| furthest.clamp(start, end))))
    }

    /// The copies of the brokers that have a topic, as name servers tell clients. Of several answers the first one
    /// without `failed` as a master counts.
    pub(super) fn copies(
        &self,
        topic: &str,
        failed: Option<&str>,
        deadline: Instant,
    ) -> Result<Copies, ClusterError> {
        let good = |answer: &Response| answer.code == code::SUCCESS;
        let answers = self.peers.ask_all(&self.name_servers, &route_request(topic), deadline, good);
        let mut routes: Vec<Copies> = answers
            .into_iter()
            .filter_map(|(address, answer)| {
                let answer = done(&address, answer.ok()?).ok()?;
                Some(copies_in(json::parse(&answer.body).ok()?))
            })
            .collect();
        let has_failed =
            |route: &Copies| route.0.values().any(|copies| copies.get(&0).map(String::as_str) == failed);
        let best = failed.and_then(|_| routes.iter().position(|route| !has_failed(route))).unwrap_or(0);
        if best < routes.len() { Ok(routes.swap_remove(best)) } else { Err(ClusterError::NoNameServer) }
    }

    /// Whether every name server that answers knows the topic with its master.
    pub(super) fn is_routed(&self, topic: &str, deadline: Instant) -> bool {
        let answers = self.peers.ask_all(&self.name_servers, &route_request(topic), deadline, |_| true);
        let mut routes = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
        let ready = |answer: &Response| {
            let route =
                (answer.code == code::SUCCESS).then(|| json::parse::<Route>(&answer.body).ok()).flatten();
            route.is_some_and(|route| {
                !route.queue_datas.is_empty()
                    && route.broker_datas.iter().all(|broker| broker.broker_addrs.contains_key("0"))
            })
        };
        let mut any = false;
        routes.all(|answer| {
            any = true;
            ready(answer)
        }) && any
    }

    fn route(&self, topic: &str, deadline: Instant) -> Result<Route, ClusterError> {
        let good = |answer: &Response| answer.code == code::SUCCESS;
        let answers = self.peers.ask_all(&self.name_servers, &route_request(topic), deadline, good);
        let mut problem = ClusterError::NoNameServer;
        for (address, answer) in answers {
            match answer {
                Ok(answer) if answer.code == code::TOPIC_NOT_EXIST => {
                    problem = ClusterError::NoRoute(topic.to_owned());
                }
                Ok(answer) => match done(&address, answer) {
                    Ok(answer) => {
                        return json::parse(&answer.body).map_err(|why| ClusterError::Body { address, why });
                    }
                    Err(why) => problem = why,
                },
                Err(_) => {}
            }
        }
        Err(problem)
    }

    /// Which controllers the brokers use. Any broker says so; that it is learnt once, while the cluster is well.
    fn controllers(&self, deadline: Instant) -> Result<Vec<String>, ClusterError> {
        if let Some(controllers) = &self.learnt().controllers {
            return Ok(controllers.clone());
        }
        let view = self.view_of_name_servers(deadline)?;
        let brokers: BTreeSet<String> = view.brokers.into_values().flat_map(|broker| broker.all).collect();
        let request = Request::new(code::GET_BROKER_CONFIG);
        let answers = self.peers.ask_all(&brokers, &request, deadline, |answer| answer.code == code::SUCCESS);
        let mut problem = ClusterError::NoNameServer;
        for (address, answer) in answers {
            match answer.map_err(ClusterError::from).and_then(|answer| done(&address, answer)) {
                Ok(answer) => {
                    let controllers = controllers_in(&properties(&answer.body));
                    self.learnt().controllers = Some(controllers.clone());
                    return Ok(controllers);
                }
                Err(why) => problem = why,
            }
        }
        Err(problem)
    }

    fn view_of_name_servers(&self, deadline: Instant) -> Result<View, ClusterError> {
        let request = Request::new(code::GET_BROKER_CLUSTER_INFO);
        let answers =
            self.peers.ask_all(&self.name_servers, &request, deadline, |answer| answer.code == code::SUCCESS);
        let mut view: Option<View> = None;
        for (_, answer) in answers {
            let Ok(answer) = answer else { continue };
            let Ok(body) = json::parse::<ClusterBody>(&answer.body) else { continue };
            let brokers = &mut view.get_or_insert_default().brokers;
            for (name, data) in body.broker_addr_table {
                let broker = brokers.entry(name).or_default();
                broker.all.extend(data.broker_addrs.values().cloned());
                if let Some(master) = data.broker_addrs.get("0") {
                    broker.master = Some(master.clone());
                }
            }
        }
        let mut view = view.ok_or(ClusterError::NoNameServer)?;
        for broker in view.brokers.values_mut() {
            // Without controllers nobody says who is in sync; every copy that is registered counts.
            broker.in_sync.clone_from(&broker.all);
            broker.alive.clone_from(&broker.all);
        }
        self.learnt().names.extend(view.brokers.keys().cloned());
        Ok(view)
    }

    fn view_of_controllers(&self, controllers: &[String], deadline: Instant) -> Result<View, ClusterError> {
        let names: Vec<String> = self.learnt().names.iter().cloned().collect();
        let body = serde_json::to_vec(&names).expect("strings are always JSON");
        let request = Request::new(code::CONTROLLER_GET_SYNC_STATE_DATA).body(body);
        let good = |answer: &Response| answer.code == code::SUCCESS;
        let answers = self.peers.ask_all(controllers, &request, deadline, good);
        let states = answers.into_iter().filter_map(|(address, answer)| {
            let answer = done(&address, answer.ok()?).ok()?;
            Some((address, json::parse::<SyncStates>(&answer.body).ok()?))
        });
        newest(states).ok_or(ClusterError::NoController)
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done(address: &str, answer: Response) -> Result<Response, ClusterError> {
    if answer.code == code::SUCCESS {
        return Ok(answer);
    }
    Err(ClusterError::Refused { address: address.to_owned(), code: answer.code, remark: answer.remark })
}

fn copies_in(route: Route) -> Copies {
    let copies = |data: BrokerData| {
        let addresses = data.broker_addrs.into_iter();
        let addresses = addresses.filter_map(|(id, address)| Some((id.parse().ok()?, address))).collect();
        (data.broker_name, addresses)
    };
    Copies(route.broker_datas.into_iter().map(copies).collect())
}

fn route_request(topic: &str) -> Request {
    Request::new(code::GET_ROUTE_BY_TOPIC).with("topic", topic).with("acceptStandardJsonOnly", true)
}

/// `name=value` lines, as a broker tells its configuration.
pub(super) fn properties(body: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(body);
    let pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

fn controllers_in(config: &BTreeMap<String, String>) -> Vec<String> {
    if config.get("enableControllerMode").is_none_or(|value| value != "true") {
        return Vec::new();
    }
    let addresses = config.get("controllerAddr").map_or("", String::as_str).split(';').map(str::trim);
    addresses.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

/// Of the words of several controllers that each take themselves for the leader, the one with the newest epochs.
fn newest(states: impl Iterator<Item = (String, SyncStates)>) -> Option<View> {
    let epochs = |states: &SyncStates| {
        let of = |replicas: &Replicas| {
            (replicas.master_epoch.unwrap_or(0), replicas.sync_state_set_epoch.unwrap_or(0))
        };
        states.replicas_info_table.values().map(of).max()
    };
    let (controller, states) = states.max_by_key(|(_, states)| epochs(states))?;
    let brokers = states.replicas_info_table.into_iter().map(|(name, replicas)| {
        let copies = || replicas.in_sync_replicas.iter().chain(&replicas.not_in_sync_replicas);
        let alive = copies().filter(|copy| copy.alive != Some(false));
        let set = BrokerSet {
            all: copies().map(|copy| copy.broker_address.clone()).collect(),
            alive: alive.map(|copy| copy.broker_address.clone()).collect(),
            in_sync: replicas.in_sync_replicas.iter().map(|copy| copy.broker_address.clone()).collect(),
            master: replicas.master_address.filter(|address| !address.is_empty()),
        };
        (name, set)
    });
    Some(View { brokers: brokers.collect(), controller: Some(controller) })
}

#[cfg(test)]
mod tests {
    use super::super::remoting::json::Replica;
    use super::*;

    fn states(master: &str, epoch: i64, set_epoch: i64, in_sync: &[&str], out: &[&str]) -> SyncStates {
        let copies = |addresses: &[&str], alive| {
            let copy = |address: &&str| Replica { broker_address: (*address).to_owned(), alive: Some(alive) };
            addresses.iter().map(copy).collect()
        };
        let replicas = Replicas {
            master_address: Some(master.to_owned()),
            master_epoch: Some(epoch),
            sync_state_set_epoch: Some(set_epoch),
            in_sync_replicas: copies(in_sync, true),
            not_in_sync_replicas: copies(out, false),
        };
        SyncStates { replicas_info_table: BTreeMap::from([("b".to_owned(), replicas)]) }
    }

    #[test]
    fn of_two_leading_controllers_the_newer_word_wins() {
        let old = ("c1".to_owned(), states("m1", 1, 9, &["m1", "m2", "m3"], &[]));
        let new = ("c2".to_owned(), states("m2", 2, 1, &["m2"], &["m1", "m3"]));
        for words in [vec![old.clone(), new.clone()], vec![new.clone(), old.clone()]] {
            let view = newest(words.into_iter()).unwrap();
            assert_eq!(view.controller.as_deref(), Some("c2"));
            let broker = &view.brokers["b"];
            assert_eq!(broker.master.as_deref(), Some("m2"));
            assert_eq!((broker.all.len(), broker.in_sync.len(), broker.alive.len()), (3, 1, 1));
        }
        assert_eq!(newest(std::iter::empty()), None);
    }

    #[test]
    fn a_broker_without_a_master_has_none() {
        let view = newest([("c".to_owned(), states("", 3, 3, &[], &["m1"]))].into_iter()).unwrap();
        assert_eq!(view.brokers["b"].master, None);
    }

    #[test]
    fn controllers_are_those_of_the_brokers_configuration() {
        let config =
            properties(b"#note\nenableControllerMode=true\ncontrollerAddr=1.1.1.1:9878;1.1.1.2:9878\n");
        assert_eq!(controllers_in(&config), ["1.1.1.1:9878", "1.1.1.2:9878"]);
        let classic = properties(b"enableControllerMode=false\ncontrollerAddr=1.1.1.1:9878");
        assert!(controllers_in(&classic).is_empty());
    }

    #[test]
    fn nodes_are_numbered_as_told() {
        let settings = BTreeMap::from([("nodes".to_owned(), "1=10.0.0.2, 2=10.0.0.3".to_owned())]);
        let connection = Connection { bootstrap: "10.0.0.2:9876; 10.0.0.3:9876".to_owned(), settings };
        let cluster = Cluster::new(&connection);
        assert_eq!(cluster.name_servers, ["10.0.0.2:9876", "10.0.0.3:9876"]);
        assert_eq!(cluster.node("10.0.0.3:10911"), 2);
        assert_eq!(cluster.node("10.0.0.3:9878"), 2);
    }
}
