//! The settings of security, and what becomes of them.

use std::path::{Path, PathBuf};

use broker_core::auth::{AuthConfig, Entropy, Mechanism};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::SecurityError;
use super::files::NamedFile;
use super::protocol::SecurityProtocol;
use super::{tls, users};

/// Who may connect, and how. By default everybody, in clear text.
#[derive(Clone, Debug, Default)]
pub struct SecurityOptions {
    /// `security.protocol`: what clients speak.
    pub clients: SecurityProtocol,
    /// `security.inter.broker.protocol`: what nodes speak; by default the same.
    pub nodes: Option<SecurityProtocol>,
    /// `sasl.enabled.mechanisms`: how clients log in.
    pub mechanisms: Vec<Mechanism>,
    /// `sasl.users.file`: names and passwords.
    pub users_file: Option<PathBuf>,
    /// `sasl.inter.broker.user`: as whom nodes log in at each other.
    pub inter_broker_user: Option<String>,
    /// `ssl.certificate.file`: PEM, the node's own first.
    pub certificate_file: Option<PathBuf>,
    /// `ssl.key.file`: PEM.
    pub key_file: Option<PathBuf>,
    /// `ssl.ca.file`: PEM, whoever signs the certificates of nodes.
    pub ca_file: Option<PathBuf>,
    /// `ssl.client.ca.file`: PEM, whoever signs those of clients, which then must have one.
    pub client_ca_file: Option<PathBuf>,
}

/// What the options come to.
pub(crate) struct Security {
    /// For the core.
    pub(crate) auth: AuthConfig,
    /// At the listener for clients, if they speak TLS.
    pub(crate) clients: Option<TlsAcceptor>,
    /// At the listener for nodes, if they speak TLS.
    pub(crate) nodes: Option<TlsAcceptor>,
    /// Towards other nodes, likewise.
    pub(crate) dial: Option<TlsConnector>,
}

impl SecurityOptions {
    /// What nodes speak.
    pub fn nodes(&self) -> SecurityProtocol {
        self.nodes.unwrap_or(self.clients)
    }

    /// Whether the settings fit each other, without a look at the files.
    pub fn check(&self) -> Result<(), SecurityError> {
        let certified = self.clients.is_encrypted() && self.client_ca_file.is_some();
        let clients_are_asked = self.clients.asks_for_login() || certified;
        if clients_are_asked && !self.nodes().asks_for_login() {
            return conflict(format!(
                "clients have to show who they are, but with `security.inter.broker.protocol = \"{}\"` whoever reaches \
                 `listener.internal` is taken for a node\nhint: `SASL_PLAINTEXT` or `SASL_SSL`",
                self.nodes()
            ));
        }
        self.check_logins()?;
        self.check_encryption()
    }

    fn check_logins(&self) -> Result<(), SecurityError> {
        let (clients, nodes) = (self.clients, self.nodes());
        if clients.asks_for_login() && self.mechanisms.is_empty() {
            return conflict(format!(
                "`security.protocol = \"{clients}\"` needs `sasl.enabled.mechanisms`\nhint: {}",
                Mechanism::ALL.map(|it| format!("`{it}`")).join(", ")
            ));
        }
        if !clients.asks_for_login() && !self.mechanisms.is_empty() {
            return conflict(format!(
                "`sasl.enabled.mechanisms` is set, but with `security.protocol = \"{clients}\"` nobody is asked to log in\n\
                 hint: `SASL_PLAINTEXT` or `SASL_SSL`"
            ));
        }
        let any = clients.asks_for_login() || nodes.asks_for_login();
        needed(any, self.users_file.is_some(), "sasl.users.file", "a login")?;
        let user = self.inter_broker_user.is_some();
        needed(nodes.asks_for_login(), user, "sasl.inter.broker.user", "a login of nodes")
    }

    fn check_encryption(&self) -> Result<(), SecurityError> {
        let (clients, nodes) = (self.clients.is_encrypted(), self.nodes().is_encrypted());
        let any = clients || nodes;
        needed(any, self.certificate_file.is_some(), "ssl.certificate.file", "TLS")?;
        needed(any, self.key_file.is_some(), "ssl.key.file", "TLS")?;
        needed(nodes, self.ca_file.is_some(), "ssl.ca.file", "TLS between nodes")?;
        if self.client_ca_file.is_some() && !clients {
            return conflict(
                "`ssl.client.ca.file` is set, but clients do not speak TLS\nhint: `security.protocol`".into(),
            );
        }
        Ok(())
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<Security, SecurityError> {
        self.check()?;
        let identity = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => Some(tls::Identity::read(
                &NamedFile::new("ssl.certificate.file", certificate),
                NamedFile::new("ssl.key.file", key),
            )?),
            _ => None,
        };
        let client_ca = authorities("ssl.client.ca.file", self.client_ca_file.as_deref())?;
        let ca = authorities("ssl.ca.file", self.ca_file.as_deref())?;
        let clients = identity.as_ref().filter(|_| self.clients.is_encrypted());
        let clients = clients.map(|identity| identity.acceptor(client_ca)).transpose()?;
        let nodes = identity.as_ref().zip(ca).filter(|_| self.nodes().is_encrypted());
        let (nodes, dial) = match nodes {
            Some((identity, ca)) => {
                (Some(identity.acceptor(Some(ca.clone()))?), Some(identity.connector(&ca)?))
            }
            None => (None, None),
        };
        Ok(Security { auth: self.auth()?, clients, nodes, dial })
    }

    fn auth(&self) -> Result<AuthConfig, SecurityError> {
        let Some(path) = &self.users_file else { return Ok(AuthConfig::default()) };
        let file = NamedFile::new("sasl.users.file", path);
        let auth = AuthConfig {
            mechanisms: self.mechanisms.clone(),
            users: users::read(&file)?,
            inter_node_user: self.inter_broker_user.clone(),
            entropy: Entropy(tls::random_bytes()?),
        };
        auth.check().map_err(|error| file.error(error.to_string()))?;
        Ok(auth)
    }
}

fn authorities(key: &'static str, path: Option<&Path>) -> Result<Option<tls::Authorities>, SecurityError> {
    path.map(|path| tls::Authorities::read(&NamedFile::new(key, path))).transpose()
}

/// A key that is missing, or that is of no effect although it looks like protection.
fn needed(wanted: bool, given: bool, key: &str, what: &str) -> Result<(), SecurityError> {
    match (wanted, given) {
        (true, false) => conflict(format!("{what} needs `{key}`")),
        (false, true) => {
            conflict(format!("`{key}` is set, but of no effect without {what}\nhint: `security.protocol`"))
        }
        _ => Ok(()),
    }
}

fn conflict(text: String) -> Result<(), SecurityError> {
    Err(SecurityError::Conflict(text))
}

#[cfg(test)]
mod tests {
    use super::SecurityProtocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
    use super::*;

    fn with(clients: SecurityProtocol, nodes: SecurityProtocol) -> SecurityOptions {
        let any = || Some(PathBuf::from("f"));
        let login = clients.asks_for_login() || nodes.asks_for_login();
        let tls = clients.is_encrypted() || nodes.is_encrypted();
        SecurityOptions {
            clients,
            nodes: Some(nodes),
            mechanisms: if clients.asks_for_login() { vec![Mechanism::Plain] } else { Vec::new() },
            users_file: any().filter(|_| login),
            inter_broker_user: nodes.asks_for_login().then(|| "node".into()),
            certificate_file: any().filter(|_| tls),
            key_file: any().filter(|_| tls),
            ca_file: any().filter(|_| nodes.is_encrypted()),
            client_ca_file: None,
        }
    }

    fn refusal(options: &SecurityOptions) -> String {
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn clients_that_log_in_want_nodes_that_do() {
        for (clients, nodes, fine) in [
            (Plaintext, Plaintext, true),
            (Plaintext, SaslSsl, true),
            (Ssl, Plaintext, true),
            (SaslPlaintext, SaslPlaintext, true),
            (SaslSsl, SaslPlaintext, true),
            (SaslSsl, SaslSsl, true),
            (SaslPlaintext, Plaintext, false),
            (SaslSsl, Ssl, false),
        ] {
            let result = with(clients, nodes).check();
            assert_eq!(result.is_ok(), fine, "{clients} {nodes}: {result:?}");
        }
        let text = refusal(&with(SaslSsl, Plaintext));
        assert!(
            text.contains("security.inter.broker.protocol") && text.contains("listener.internal"),
            "{text}"
        );
    }

    #[test]
    fn clients_with_certificates_want_nodes_that_log_in() {
        let certified = |nodes| SecurityOptions { client_ca_file: Some("ca".into()), ..with(Ssl, nodes) };
        assert!(refusal(&certified(Ssl)).contains("security.inter.broker.protocol"));
        certified(SaslPlaintext).check().unwrap();
    }

    #[test]
    fn nodes_speak_what_clients_speak_unless_told_otherwise() {
        let options = SecurityOptions { nodes: None, ..with(SaslSsl, SaslSsl) };
        assert_eq!(options.nodes(), SaslSsl);
        options.check().unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let full = || with(SaslSsl, SaslSsl);
        let cases = [
            (SecurityOptions { mechanisms: Vec::new(), ..full() }, "needs `sasl.enabled.mechanisms`"),
            (SecurityOptions { users_file: None, ..full() }, "a login needs `sasl.users.file`"),
            (
                SecurityOptions { inter_broker_user: None, ..full() },
                "a login of nodes needs `sasl.inter.broker.user`",
            ),
            (SecurityOptions { certificate_file: None, ..full() }, "TLS needs `ssl.certificate.file`"),
            (SecurityOptions { key_file: None, ..full() }, "TLS needs `ssl.key.file`"),
            (SecurityOptions { ca_file: None, ..full() }, "TLS between nodes needs `ssl.ca.file`"),
        ];
        for (options, expected) in cases {
            let text = refusal(&options);
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn what_looks_like_protection_and_is_none_is_refused() {
        let any = || Some(PathBuf::from("f"));
        let open = SecurityOptions::default;
        let cases = [
            (SecurityOptions { mechanisms: vec![Mechanism::Plain], ..open() }, "nobody is asked"),
            (SecurityOptions { users_file: any(), ..open() }, "without a login"),
            (
                SecurityOptions { inter_broker_user: Some("node".into()), ..open() },
                "without a login of nodes",
            ),
            (SecurityOptions { certificate_file: any(), ..open() }, "without TLS"),
            (SecurityOptions { key_file: any(), ..open() }, "without TLS"),
            (SecurityOptions { ca_file: any(), ..open() }, "without TLS between nodes"),
            (SecurityOptions { client_ca_file: any(), ..open() }, "clients do not speak TLS"),
        ];
        for (options, expected) in cases {
            let text = refusal(&options);
            assert!(text.contains(expected), "{text}");
        }
    }
}
