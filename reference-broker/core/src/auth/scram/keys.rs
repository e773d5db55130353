//! What a server keeps of a password (RFC 5802, section 3).

use crate::auth::hash::{self, Hash};

/// With these a password can be checked, but a client not be played.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ScramKeys {
    /// `H(ClientKey)`.
    stored: Vec<u8>,
    /// Proves that the server knows the password, too.
    server: Vec<u8>,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys(…)")
    }
}

impl ScramKeys {
    pub(in crate::auth) fn new(hash: Hash, password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = hash.salted(password, salt, iterations);
        Self::from_salted(hash, &salted)
    }

    pub(super) fn from_salted(hash: Hash, salted: &[u8]) -> Self {
        Self { stored: hash.digest(&client_key(hash, salted)), server: hash.hmac(salted, b"Server Key") }
    }

    /// Whether this proof was made by somebody who knows the password.
    pub(super) fn prove(&self, hash: Hash, messages: &[u8], proof: &[u8]) -> bool {
        let signature = hash.hmac(&self.stored, messages);
        proof.len() == signature.len()
            && hash::same(&hash.digest(&hash::xor(proof, &signature)), &self.stored)
    }

    /// `ClientProof`.
    pub(super) fn proof(&self, hash: Hash, salted: &[u8], messages: &[u8]) -> Vec<u8> {
        hash::xor(&client_key(hash, salted), &hash.hmac(&self.stored, messages))
    }

    /// `ServerSignature`.
    pub(super) fn signature(&self, hash: Hash, messages: &[u8]) -> Vec<u8> {
        hash.hmac(&self.server, messages)
    }
}

fn client_key(hash: Hash, salted: &[u8]) -> Vec<u8> {
    hash.hmac(salted, b"Client Key")
}
