//! What a listener knows of those who may come in.

use std::collections::BTreeMap;

use super::config::{AuthConfig, Password};
use super::hash::{self, Hash};
use super::mechanism::Mechanism;
use super::random::Random;
use super::scram::{ITERATIONS, ScramKeys};

/// How long a salt is, in bytes.
const SALT_BYTES: usize = 16;

/// The mechanisms and users of one listener.
#[derive(Debug)]
pub(crate) struct Authority {
    mechanisms: Vec<Mechanism>,
    users: BTreeMap<String, Credentials>,
    random: Random,
}

/// What is kept of a password. The passwords themselves are needed no more.
#[derive(Debug)]
struct Credentials {
    /// For PLAIN. No slow hash: the file that the password came from has it in clear text, and a wrong guess must not keep
    /// the node busy.
    digest: Vec<u8>,
    scram: BTreeMap<Hash, ScramKeys>,
}

impl Authority {
    /// Of clients; `None` if they are not asked who they are.
    pub(crate) fn of_clients(config: &AuthConfig) -> Option<Self> {
        let asked = !config.mechanisms.is_empty();
        asked.then(|| Self::new(&config.mechanisms, &config.users, Random::new(config.entropy, "clients")))
    }

    /// Of other nodes; `None` if they are not asked who they are.
    pub(crate) fn of_nodes(config: &AuthConfig) -> Option<Self> {
        let name = config.inter_node_user.as_ref()?;
        let users = config.users.get_key_value(name).into_iter();
        let users = users.map(|(name, password)| (name.clone(), password.clone())).collect();
        Some(Self::new(&[Mechanism::ScramSha256], &users, Random::new(config.entropy, "nodes")))
    }

    fn new(mechanisms: &[Mechanism], users: &BTreeMap<String, Password>, random: Random) -> Self {
        let credentials = |(name, password): (&String, &Password)| {
            let keys = |hash| {
                let salt = salt(&random, hash, name);
                (hash, ScramKeys::new(hash, password.as_bytes(), &salt, ITERATIONS))
            };
            let scram = mechanisms.iter().filter_map(|mechanism| mechanism.hash()).map(keys).collect();
            (name.clone(), Credentials { digest: random.of("password", password.as_bytes()), scram })
        };
        let users = users.iter().map(credentials).collect();
        Self { mechanisms: mechanisms.to_vec(), users, random }
    }

    /// What may be logged in with.
    pub(crate) fn mechanisms(&self) -> &[Mechanism] {
        &self.mechanisms
    }

    pub(super) fn knows_password(&self, name: &str, password: &[u8]) -> bool {
        let unknown = Vec::new();
        let expected = self.users.get(name).map_or(&unknown, |user| &user.digest);
        hash::same(expected, &self.random.of("password", password))
    }

    /// The salt and the keys of a user. There is always a salt, and the same one for the same name, so that it does not tell
    /// who exists.
    pub(super) fn scram(&self, hash: Hash, name: &str) -> (Vec<u8>, Option<&ScramKeys>) {
        let keys = self.users.get(name).and_then(|user| user.scram.get(&hash));
        (salt(&self.random, hash, name), keys)
    }

    pub(super) fn nonce(&mut self) -> String {
        self.random.nonce()
    }
}

/// A function of the name and of this process's entropy: another one after each start.
fn salt(random: &Random, hash: Hash, name: &str) -> Vec<u8> {
    let what = match hash {
        Hash::Sha256 => "salt for SHA-256",
        Hash::Sha512 => "salt for SHA-512",
    };
    let mut salt = random.of(what, name.as_bytes());
    salt.truncate(SALT_BYTES);
    salt
}
