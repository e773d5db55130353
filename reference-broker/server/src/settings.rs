//! Settings of a standalone node: a TOML file with Kafka's names, and overrides from the command line.
//!
//! In:  dotted keys with values (`log.segment.bytes = 1048576`; in TOML a dotted key needs no quotes).
//! Out: [`Settings`], from which the options of one node, or of a controller and a broker, are made.
//! Owns: the list of keys, their meaning and their checks.
//! Never: touches a file or an address.

mod keys;
mod value;

use std::path::PathBuf;

use broker_core::{Defect, Endpoint, FlushPolicy, NodeConfig, NodeId, Peer, Role};

use crate::options::NodeOptions;
use crate::security::{SecurityError, SecurityOptions};

pub use keys::{KEYS, Key};
pub use value::{BadValue, Value};

/// In one process with its broker, the controller's id is the broker's plus this.
const CONTROLLER_ID_OFFSET: i32 = 1000;

/// Why settings are refused; the process ends with status 3.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The file is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// There is no such key.
    #[error("unknown key `{key}`\nhint: did you mean `{nearest}`? `reference-broker --keys` lists them all")]
    UnknownKey {
        /// As written.
        key: String,
        /// The most similar one that there is.
        nearest: &'static str,
    },
    /// The value of a key cannot be used.
    #[error("key `{key}`: {error}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with its value.
        error: BadValue,
    },
    /// The settings contradict each other.
    #[error("{0}")]
    Conflict(String),
    /// They do not protect what they seem to.
    #[error(transparent)]
    Security(#[from] SecurityError),
}

/// What processes of this kind do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roles {
    /// One broker of a cluster whose controllers are named.
    Broker,
    /// One controller.
    Controller,
    /// A controller and a broker in one process: a cluster of one.
    Both,
}

/// The settings of a standalone process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `process.roles`; both, unless controllers are named.
    pub roles: Option<Roles>,
    /// `log.dir`.
    pub data: PathBuf,
    /// `listener.client`.
    pub client_listen: Endpoint,
    /// `listener.internal`; port 0 takes a free one.
    pub internal_listen: Endpoint,
    /// `advertised.client`, if not the listener.
    pub advertised_client: Option<Endpoint>,
    /// `advertised.internal`, if not the listener.
    pub advertised_internal: Option<Endpoint>,
    /// `default.replication.factor`: 3, and 1 in a cluster of one.
    pub replication_factor: Option<i16>,
    /// `log.flush.interval.ms`.
    pub flush_interval_ms: u64,
    /// `max.connections`.
    pub max_connections: usize,
    /// Who may connect, and how.
    pub security: SecurityOptions,
    /// Everything that the core knows; endpoints and replication factor are filled in later.
    pub config: NodeConfig,
}

impl Default for Settings {
    fn default() -> Self {
        let client_listen = Endpoint { host: "127.0.0.1".into(), port: 9092 };
        let internal_listen = Endpoint { host: "127.0.0.1".into(), port: 0 };
        let config = NodeConfig::new(NodeId(1), Role::Broker, client_listen.clone(), internal_listen.clone());
        Self {
            roles: None,
            data: PathBuf::from("reference-broker-data"),
            client_listen,
            internal_listen,
            advertised_client: None,
            advertised_internal: None,
            replication_factor: None,
            flush_interval_ms: 1000,
            max_connections: i32::MAX as usize,
            security: SecurityOptions::default(),
            config,
        }
    }
}

impl Settings {
    /// Takes every key of a TOML text.
    pub fn read(&mut self, text: &str) -> Result<(), SettingsError> {
        let table: toml::Table =
            toml::from_str(text).map_err(|error| SettingsError::Syntax(error.to_string()))?;
        for (key, value) in flatten(&table) {
            self.set(&key, &value)?;
        }
        Ok(())
    }

    /// Takes one key.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), SettingsError> {
        let Some(known) = KEYS.iter().find(|known| known.name == key) else {
            return Err(SettingsError::UnknownKey { key: key.into(), nearest: nearest(key) });
        };
        (known.apply)(self, value).map_err(|error| SettingsError::Value { key: key.into(), error })
    }

    /// Plants bugs.
    pub fn plant(&mut self, defects: impl IntoIterator<Item = Defect>) {
        self.config.defects = defects.into_iter().collect();
    }

    /// Fits the parts together.
    pub fn launch(mut self) -> Result<Launch, SettingsError> {
        let alone = self.config.controllers.is_empty();
        let roles = self.roles.unwrap_or(if alone { Roles::Both } else { Roles::Broker });
        if let FlushPolicy::IntervalMs(_) = self.config.flush {
            self.config.flush = FlushPolicy::IntervalMs(self.flush_interval_ms);
        }
        self.security.check()?;
        self.config.seed = self.config.node_id.0 as u64;
        self.config.default_replication_factor =
            self.replication_factor.unwrap_or(if roles == Roles::Both { 1 } else { 3 });
        if roles == Roles::Both {
            self.config.offsets_topic_replication_factor = 1;
            self.config.transaction_topic_replication_factor = 1;
        }
        self.config.advertised_client =
            advertised(self.advertised_client.take(), &self.client_listen, "client")?;
        self.config.advertised_internal =
            advertised(self.advertised_internal.take(), &self.internal_listen, "internal")?;
        let own_id = self.config.node_id;
        let votes = self.config.controllers.iter().any(|voter| voter.node == own_id);
        match roles {
            Roles::Broker if alone => {
                Err(SettingsError::Conflict("a broker needs `controller.quorum.voters`\nhint: leave out `process.roles` to run a controller and a broker in one process".into()))
            }
            Roles::Controller if !votes => Err(SettingsError::Conflict(format!(
                "`controller.quorum.voters` does not name this controller, `node.id` {own_id}"
            ))),
            Roles::Both if !alone => Err(SettingsError::Conflict(
                "one process runs both roles only without `controller.quorum.voters`".into(),
            )),
            Roles::Broker => Ok(Launch::One(Box::new(self.broker()))),
            Roles::Controller => Ok(Launch::One(Box::new(self.controller(own_id, self.data.clone())))),
            Roles::Both => Ok(self.pair()),
        }
    }

    fn broker(&self) -> NodeOptions {
        NodeOptions {
            config: NodeConfig { role: Role::Broker, ..self.config.clone() },
            data_dir: self.data.clone(),
            client_listen: Some(self.client_listen.clone()),
            internal_listen: self.internal_listen.clone(),
            max_connections: self.max_connections,
            security: self.security.clone(),
            handle_signals: true,
        }
    }

    fn controller(&self, node_id: NodeId, data_dir: PathBuf) -> NodeOptions {
        NodeOptions {
            config: NodeConfig {
                role: Role::Controller,
                node_id,
                seed: node_id.0 as u64,
                ..self.config.clone()
            },
            data_dir,
            client_listen: None,
            internal_listen: self.internal_listen.clone(),
            max_connections: self.max_connections,
            security: self.security.clone(),
            handle_signals: true,
        }
    }

    fn pair(&self) -> Launch {
        let node = NodeId(self.config.node_id.0 + CONTROLLER_ID_OFFSET);
        let endpoint = Endpoint { host: "127.0.0.1".into(), port: 0 };
        let mut controller = self.controller(node, self.data.join("controller"));
        controller.internal_listen = endpoint.clone();
        controller.config.advertised_internal = endpoint.clone();
        controller.config.controllers = vec![Peer { node, endpoint }];
        let broker = NodeOptions { data_dir: self.data.join("broker"), ..self.broker() };
        Launch::Pair { controller: Box::new(controller), broker: Box::new(broker) }
    }
}

/// What a process is to run.
#[derive(Debug)]
pub enum Launch {
    /// One node.
    One(Box<NodeOptions>),
    /// A controller and a broker.
    Pair {
        /// The only voter.
        controller: Box<NodeOptions>,
        /// The only broker.
        broker: Box<NodeOptions>,
    },
}

/// An address to listen on is not always one to connect to.
fn advertised(given: Option<Endpoint>, listen: &Endpoint, which: &str) -> Result<Endpoint, SettingsError> {
    match given {
        Some(endpoint) => Ok(endpoint),
        None if ["0.0.0.0", "::"].contains(&listen.host.as_str()) => Err(SettingsError::Conflict(format!(
            "nobody can connect to `{}`\nhint: set `advertised.{which}` to the address that others use",
            listen.host
        ))),
        None => Ok(listen.clone()),
    }
}

/// `{log: {segment: {bytes: 1}}}` → `log.segment.bytes`, 1.
fn flatten(table: &toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
            }
            other => flat.push((key.clone(), Value::from_toml(other))),
        }
    }
    flat
}

fn nearest(key: &str) -> &'static str {
    let similarity = |known: &Key| strsim::jaro_winkler(known.name, key);
    let best = KEYS.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    best.map_or("", |known| known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        settings.read(text).map(|()| settings)
    }

    #[test]
    fn the_example_file_names_every_key_with_its_default() {
        let example = include_str!("../example.toml");
        let uncommented: String = example
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let table: toml::Table = toml::from_str(&uncommented).unwrap();
        let named: Vec<String> = flatten(&table).into_iter().map(|(key, _)| key).collect();
        for key in KEYS {
            assert!(named.iter().any(|name| name == key.name), "`{}` is not in example.toml", key.name);
        }
        let (named, defaults) = (read(&uncommented).unwrap(), Settings::default());
        let core = |settings: &Settings| format!("{:?}", settings.config);
        assert_eq!(core(&named), core(&defaults));
        assert_eq!((named.client_listen, named.data), (defaults.client_listen, defaults.data));
        assert_eq!(named.flush_interval_ms, defaults.flush_interval_ms);
        assert_eq!(named.max_connections, defaults.max_connections);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let error = read("log.segment.byte = 5").unwrap_err();
        assert_eq!(
            error,
            SettingsError::UnknownKey { key: "log.segment.byte".into(), nearest: "log.segment.bytes" }
        );
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_key() {
        let error = read("min.insync.replicas = \"two\"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "key `min.insync.replicas`: expected a whole number from 1 to 2147483647, got `two`"
        );
        assert!(read("log.flush.policy = \"sometimes\"").is_err());
        assert!(read("listener.client = \"9092\"").is_err());
    }

    #[test]
    fn without_controllers_one_process_is_a_cluster_of_one() {
        let Launch::Pair { controller, broker } = read("node.id = 7").unwrap().launch().unwrap() else {
            panic!("not a pair")
        };
        assert_eq!(controller.config.controllers[0].node, controller.config.node_id);
        assert_ne!(controller.data_dir, broker.data_dir);
        assert_eq!((broker.config.node_id, broker.config.default_replication_factor), (NodeId(7), 1));
    }

    #[test]
    fn with_controllers_a_process_is_a_broker() {
        let settings =
            read("controller.quorum.voters = [\"9@127.0.0.1:9093\"]\nlog.flush.policy = \"interval\"")
                .unwrap();
        let Launch::One(broker) = settings.launch().unwrap() else { panic!("not one node") };
        assert_eq!(broker.config.role, Role::Broker);
        assert_eq!(broker.config.flush, FlushPolicy::IntervalMs(1000));
    }

    #[test]
    fn an_address_that_nobody_can_reach_must_not_be_advertised() {
        let error = read("listener.client = \"0.0.0.0:9092\"").unwrap().launch().unwrap_err();
        assert!(error.to_string().contains("advertised.client"), "{error}");
    }
}
