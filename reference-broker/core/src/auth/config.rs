//! Who may log in.

use std::collections::BTreeMap;
use std::fmt;

use super::mechanism::Mechanism;

/// Who may log in, and how. By default nobody is asked.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// What clients may log in with, the first preferred; with none, clients are not asked who they are.
    pub mechanisms: Vec<Mechanism>,
    /// Names and passwords.
    pub users: BTreeMap<String, Password>,
    /// The user as which nodes log in at each other, by SCRAM-SHA-256; with none, the internal listener asks nobody. No
    /// other user gets in there.
    pub inter_node_user: Option<String>,
    /// Salts and nonces come from it.
    pub entropy: Entropy,
}

/// Why nobody could be protected by this.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthConfigError {
    /// Whoever speaks to a node as a node writes what it likes.
    #[error("clients have to log in, but nodes do not: the internal listener would be open to everybody")]
    InternalListenerOpen,
    /// Nobody could log in.
    #[error("there is no user")]
    NoUsers,
    /// The nodes could not log in.
    #[error("there is no user `{0}`, as which nodes would log in")]
    UnknownInterNodeUser(String),
}

impl AuthConfig {
    /// Whether it protects what it claims to.
    pub fn check(&self) -> Result<(), AuthConfigError> {
        match &self.inter_node_user {
            None if self.mechanisms.is_empty() => Ok(()),
            None => Err(AuthConfigError::InternalListenerOpen),
            Some(_) if self.users.is_empty() => Err(AuthConfigError::NoUsers),
            Some(name) if !self.users.contains_key(name) => {
                Err(AuthConfigError::UnknownInterNodeUser(name.clone()))
            }
            Some(_) => Ok(()),
        }
    }
}

/// A password, which is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Bytes that nobody can guess, drawn anew at each start: a salt or nonce that is known beforehand, or comes twice, takes the
/// worth from SCRAM. The core draws nothing from the system itself, so whoever starts a node must; zeros are for nodes that ask
/// nobody, and for tests.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Entropy(pub [u8; 32]);

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(…)")
    }
}
