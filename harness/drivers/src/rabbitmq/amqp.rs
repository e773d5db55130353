//! Connections to a cluster: one node after another, each attempt within its time.

use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties};

use super::settings::Settings;

/// How long an attempt may take. A frozen node takes the TCP connection and then says nothing.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Goes round the addresses of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    settings: Settings,
    name: String,
    next: usize,
}

impl Dialer {
    /// Begins at an address of this number; `name` is shown in the broker's list of connections.
    pub(super) fn new(settings: Settings, name: String, first: usize) -> Self {
        Self { settings, name, next: first }
    }

    /// Tries the next address.
    pub(super) async fn dial(&mut self) -> Result<Connection, String> {
        let (host, port) = self.settings.addresses[self.next % self.settings.addresses.len()].clone();
        self.next += 1;
        connect(&self.settings, &host, port, &self.name).await.map_err(|why| format!("{host}:{port}: {why}"))
    }
}

/// Opens a connection to one node.
pub(super) async fn connect(
    settings: &Settings,
    host: &str,
    port: u16,
    name: &str,
) -> Result<Connection, String> {
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQP,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: settings.user.clone(), password: settings.password.clone() },
            host: host.to_owned(),
            port,
        },
        vhost: "/".to_owned(),
        query: AMQPQueryString { heartbeat: Some(settings.heartbeat_s), ..AMQPQueryString::default() },
    };
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    within(ATTEMPT, Connection::connect_uri(uri, properties)).await
}

/// Waits for an answer of the broker, but not for ever: a frozen node gives none.
pub(super) async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, lapin::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(time, answer).await {
        Ok(answer) => answer.map_err(|why| why.to_string()),
        Err(_) => Err(format!("no answer within {} ms", time.as_millis())),
    }
}
