//! Unpredictable bytes, stretched from those that the shell has given.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::config::Entropy;
use super::hash::Hash;

/// How many bytes a nonce is made of; 24 characters in base64.
const NONCE_BYTES: usize = 18;

/// A stream of nonces, and secrets that are a function of a name.
#[derive(Clone, Debug)]
pub(super) struct Random {
    key: Entropy,
    drawn: u64,
}

impl Random {
    /// One for each `purpose`, so that no two draw the same.
    pub(super) fn new(entropy: Entropy, purpose: &str) -> Self {
        let key = Hash::Sha256.hmac(&entropy.0, purpose.as_bytes());
        let key = key.try_into().expect("SHA-256 has 32 bytes");
        Self { key: Entropy(key), drawn: 0 }
    }

    /// A nonce that was never drawn before, printable and without commas.
    pub(super) fn nonce(&mut self) -> String {
        self.drawn += 1;
        let bytes = Hash::Sha256.hmac(&self.key.0, &self.drawn.to_be_bytes());
        BASE64_STANDARD.encode(&bytes[..NONCE_BYTES])
    }

    /// The same bytes for the same names, in this process.
    pub(super) fn of(&self, what: &str, name: &[u8]) -> Vec<u8> {
        let text = [what.as_bytes(), &[0], name].concat();
        Hash::Sha256.hmac(&self.key.0, &text)
    }
}
