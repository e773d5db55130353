//! The side that logs in.

use super::ITERATIONS;
use super::error::ScramError;
use super::keys::ScramKeys;
use super::message::{self, ServerFirst, encoded, escaped};
use crate::auth::hash::{self, Hash};

/// Whoever asks for more would keep this node busy.
const ITERATIONS_MAX: u32 = 16 * ITERATIONS;

/// No channel binding, on no one else's behalf; and the same in base64.
const HEADER: &str = "n,,";
const HEADER_BASE64: &str = "biws";

/// One exchange, from the first message on.
#[derive(Debug)]
pub(crate) struct ScramClient {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// An exchange whose last word is the server's: the signature that it must send.
#[derive(Debug)]
pub(crate) struct Unsigned(Vec<u8>);

impl ScramClient {
    pub(in crate::auth) fn new(hash: Hash, user: &str, nonce: String) -> Self {
        let bare = format!("n={},r={nonce}", escaped(user));
        Self { hash, nonce, bare }
    }

    /// What to begin with.
    pub(in crate::auth) fn first(&self) -> Vec<u8> {
        format!("{HEADER}{}", self.bare).into_bytes()
    }

    /// Takes the server's answer to the first message; returns the last one.
    pub(in crate::auth) fn answered(
        self,
        answer: &[u8],
        password: &[u8],
    ) -> Result<(Vec<u8>, Unsigned), ScramError> {
        let server = ServerFirst::parse(answer)?;
        if !server.nonce.starts_with(&self.nonce) || server.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        if !(ITERATIONS..=ITERATIONS_MAX).contains(&server.iterations) {
            return Err(ScramError::Iterations(server.iterations));
        }
        let salted = self.hash.salted(password, &server.salt, server.iterations);
        let keys = ScramKeys::from_salted(self.hash, &salted);
        let without_proof = format!("c={HEADER_BASE64},r={}", server.nonce);
        let answer = std::str::from_utf8(answer).map_err(|_| ScramError::Malformed("not UTF-8"))?;
        let messages = format!("{},{answer},{without_proof}", self.bare);
        let proof = keys.proof(self.hash, &salted, messages.as_bytes());
        let last = format!("{without_proof},p={}", encoded(&proof));
        Ok((last.into_bytes(), Unsigned(keys.signature(self.hash, messages.as_bytes()))))
    }
}

impl Unsigned {
    /// Takes the server's last message.
    pub(in crate::auth) fn answered(self, answer: &[u8]) -> Result<(), ScramError> {
        let signature = message::server_final(answer)?;
        if hash::same(&signature, &self.0) { Ok(()) } else { Err(ScramError::ServerSignature) }
    }
}
