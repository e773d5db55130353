//! The side that is logged in at.

use super::ITERATIONS;
use super::error::ScramError;
use super::keys::ScramKeys;
use super::message::{ClientFinal, ClientFirst, encoded};
use crate::auth::authority::Authority;
use crate::auth::hash::Hash;
use crate::auth::session::Refusal;

/// One exchange, before the client's first or last message.
#[derive(Debug)]
pub(crate) struct ScramServer {
    hash: Hash,
    challenge: Option<Challenge>,
}

/// What the client has to answer.
#[derive(Debug)]
struct Challenge {
    user: String,
    /// None of a user that does not exist: it is told only at the end, like a wrong password.
    keys: Option<ScramKeys>,
    header: String,
    nonce: String,
    /// The bare first message of the client, a comma, and our answer.
    messages: String,
}

/// What follows from a message.
#[derive(Debug)]
pub(crate) enum ServerStep {
    /// One more is expected.
    Continue { server: ScramServer, answer: Vec<u8> },
    /// The client knows the password of this user.
    Done { user: String, answer: Vec<u8> },
}

impl ScramServer {
    pub(in crate::auth) fn new(hash: Hash) -> Self {
        Self { hash, challenge: None }
    }

    /// Takes the client's next message.
    pub(in crate::auth) fn step(
        self,
        message: &[u8],
        authority: &mut Authority,
    ) -> Result<ServerStep, Refusal> {
        match self.challenge {
            None => {
                let nonce = authority.nonce();
                let first = ClientFirst::parse(message).map_err(Refusal::Scram)?;
                let (salt, keys) = authority.scram(self.hash, &first.user);
                self.challenge(&first, &nonce, &salt, keys.cloned())
            }
            Some(challenge) => challenge.answered(self.hash, message).map_err(Refusal::Scram),
        }
    }

    /// Takes the client's last message.
    #[cfg(test)]
    pub(super) fn last_step(self, message: &[u8]) -> Result<ServerStep, Refusal> {
        let challenge = self.challenge.expect("the first message has come");
        challenge.answered(self.hash, message).map_err(Refusal::Scram)
    }

    pub(super) fn challenge(
        self,
        first: &ClientFirst<'_>,
        own_nonce: &str,
        salt: &[u8],
        keys: Option<ScramKeys>,
    ) -> Result<ServerStep, Refusal> {
        if first.authorization_id.as_ref().is_some_and(|id| *id != first.user) {
            return Err(Refusal::AuthorizationId);
        }
        let nonce = format!("{}{own_nonce}", first.nonce);
        let answer = format!("r={nonce},s={},i={ITERATIONS}", encoded(salt));
        let challenge = Challenge {
            user: first.user.clone(),
            keys,
            header: first.header.to_owned(),
            messages: format!("{},{answer}", first.bare),
            nonce,
        };
        let server = Self { challenge: Some(challenge), ..self };
        Ok(ServerStep::Continue { server, answer: answer.into_bytes() })
    }
}

impl Challenge {
    fn answered(self, hash: Hash, message: &[u8]) -> Result<ServerStep, ScramError> {
        let last = ClientFinal::parse(message)?;
        if last.header != self.header.as_bytes() {
            return Err(ScramError::OtherHeader);
        }
        if last.nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        let messages = format!("{},{}", self.messages, last.without_proof);
        let keys = self.keys.ok_or(ScramError::UnknownUser)?;
        if !keys.prove(hash, messages.as_bytes(), &last.proof) {
            return Err(ScramError::Proof);
        }
        let answer = format!("v={}", encoded(&keys.signature(hash, messages.as_bytes())));
        Ok(ServerStep::Done { user: self.user, answer: answer.into_bytes() })
    }
}
