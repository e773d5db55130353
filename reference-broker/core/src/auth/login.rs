//! How this node shows other nodes who it is, and sees that they are nodes of its cluster: SCRAM proves the password of
//! both sides.

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, RequestKind, ResponseKind, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::config::{AuthConfig, Password};
use super::hash::Hash;
use super::mechanism::Mechanism;
use super::random::Random;
use super::scram::{ScramClient, ScramError, Unsigned};

/// The versions that the internal listener offers.
const HANDSHAKE_VERSION: i16 = 1;
const AUTHENTICATE_VERSION: i16 = 2;

/// Name and password of this node.
#[derive(Debug)]
pub(crate) struct Login {
    user: String,
    password: Password,
    random: Random,
}

/// One login, which goes on.
#[derive(Debug)]
pub(crate) struct OngoingLogin {
    password: Password,
    awaited: Awaited,
}

#[derive(Debug)]
enum Awaited {
    Handshake(ScramClient),
    Challenge(ScramClient),
    Signature(Unsigned),
}

/// A request and its version.
pub(crate) type LoginRequest = (RequestKind, ApiKey, i16);

/// Why a node is not logged in at another one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginFailed {
    /// It does not take the mechanism.
    #[error("the other node refuses the mechanism, with error {0}")]
    Handshake(i16),
    /// It does not take the password.
    #[error("the other node refuses: {0}")]
    Refused(String),
    /// It says what it should not.
    #[error("the other node is not one of this cluster: {0}")]
    Server(#[from] ScramError),
    /// It answers what was not asked.
    #[error("an answer to another request")]
    OtherAnswer,
}

impl Login {
    /// `None` if nodes do not log in.
    pub(crate) fn new(config: &AuthConfig) -> Option<Self> {
        let (user, password) = config.users.get_key_value(config.inter_node_user.as_ref()?)?;
        let random = Random::new(config.entropy, "logins");
        Some(Self { user: user.clone(), password: password.clone(), random })
    }

    /// Begins with a connection that stands.
    pub(crate) fn begin(&mut self) -> (OngoingLogin, LoginRequest) {
        let client = ScramClient::new(Hash::Sha256, &self.user, self.random.nonce());
        let mechanism = StrBytes::from_static_str(Mechanism::ScramSha256.name());
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let login = OngoingLogin { password: self.password.clone(), awaited: Awaited::Handshake(client) };
        (login, (request.into(), ApiKey::SaslHandshake, HANDSHAKE_VERSION))
    }
}

impl OngoingLogin {
    /// Takes the answer to the last request; returns the next one, or nothing when both sides know each other.
    pub(crate) fn answered(
        self,
        response: ResponseKind,
    ) -> Result<Option<(Self, LoginRequest)>, LoginFailed> {
        match (self.awaited, response) {
            (Awaited::Handshake(client), ResponseKind::SaslHandshake(answer)) => {
                if answer.error_code != 0 {
                    return Err(LoginFailed::Handshake(answer.error_code));
                }
                let first = client.first();
                Ok(Some(ask(self.password, Awaited::Challenge(client), first)))
            }
            (Awaited::Challenge(client), ResponseKind::SaslAuthenticate(answer)) => {
                accepted(answer.error_code, answer.error_message)?;
                let (last, unsigned) = client.answered(&answer.auth_bytes, self.password.as_bytes())?;
                Ok(Some(ask(self.password, Awaited::Signature(unsigned), last)))
            }
            (Awaited::Signature(unsigned), ResponseKind::SaslAuthenticate(answer)) => {
                accepted(answer.error_code, answer.error_message)?;
                unsigned.answered(&answer.auth_bytes)?;
                Ok(None)
            }
            _ => Err(LoginFailed::OtherAnswer),
        }
    }
}

fn ask(password: Password, awaited: Awaited, token: Vec<u8>) -> (OngoingLogin, LoginRequest) {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
    let login = OngoingLogin { password, awaited };
    (login, (request.into(), ApiKey::SaslAuthenticate, AUTHENTICATE_VERSION))
}

fn accepted(error: i16, message: Option<StrBytes>) -> Result<(), LoginFailed> {
    if error == 0 {
        return Ok(());
    }
    let message = message.map(|message| message.to_string());
    Err(LoginFailed::Refused(message.unwrap_or_else(|| format!("error {error}"))))
}
