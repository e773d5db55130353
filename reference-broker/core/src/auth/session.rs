//! What is known of the peer on one accepted connection.

use super::authority::Authority;
use super::mechanism::Mechanism;
use super::plain;
use super::scram::{ScramError, ScramServer, ServerStep};

/// The state of a connection whose peer has to log in.
#[derive(Debug, Default)]
pub(crate) struct Session {
    stage: Stage,
    /// Who has logged in; kept while it does so again.
    principal: Option<Principal>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was said.
    #[default]
    Stranger,
    /// A mechanism is chosen.
    Tokens(Exchange),
    /// The next message gets this answer.
    Refused(Refusal),
    LoggedIn,
}

/// The messages of one mechanism.
#[derive(Debug)]
enum Exchange {
    Plain,
    Scram(Mechanism, ScramServer),
}

/// Somebody, and how it has shown who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Principal {
    name: String,
    mechanism: Mechanism,
}

/// Why a step of a login is not taken.
#[derive(Debug)]
pub(crate) enum LoginError {
    /// There is no such mechanism here.
    UnsupportedMechanism,
    /// It is not the time for it.
    IllegalState,
    /// The peer has not shown who it is; for it, a text that tells what Kafka would.
    Failed(Refusal, String),
}

/// Why a login fails.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A reason that the peer may know.
    #[error("{0}")]
    Told(String),
    /// Nobody acts for another one here.
    #[error("Authentication failed: Client requested an authorization id that is different from username")]
    AuthorizationId,
    /// A reason for the log only.
    #[error("{0}")]
    Scram(ScramError),
}

impl Session {
    /// Whether the peer has logged in, and is not doing so again.
    pub(crate) fn is_logged_in(&self) -> bool {
        matches!(self.stage, Stage::LoggedIn)
    }

    /// Whether a mechanism is chosen, so that only tokens are expected.
    pub(crate) fn expects_token(&self) -> bool {
        matches!(self.stage, Stage::Tokens(_) | Stage::Refused(_))
    }

    /// Who has logged in.
    pub(crate) fn name(&self) -> &str {
        self.principal.as_ref().map_or("", |principal| &principal.name)
    }

    /// The peer chooses a mechanism, for the first time or to log in again (KIP-368).
    pub(crate) fn handshake(&mut self, name: &str, authority: &Authority) -> Result<(), LoginError> {
        if self.expects_token() {
            return Err(LoginError::IllegalState);
        }
        let mechanism = name.parse().ok().filter(|mechanism| authority.mechanisms().contains(mechanism));
        let mechanism = mechanism.ok_or(LoginError::UnsupportedMechanism)?;
        self.stage = match &self.principal {
            Some(before) if before.mechanism != mechanism => Stage::Refused(Refusal::Told(format!(
                "SASL mechanism '{mechanism}' requested by client is not supported for re-authentication of mechanism '{}'",
                before.mechanism
            ))),
            _ => Stage::Tokens(Exchange::new(mechanism)),
        };
        Ok(())
    }

    /// The peer's next message; returns the answer. After an error the connection is to be closed.
    pub(crate) fn token(&mut self, token: &[u8], authority: &mut Authority) -> Result<Vec<u8>, LoginError> {
        match std::mem::take(&mut self.stage) {
            Stage::Stranger => Err(LoginError::IllegalState),
            Stage::LoggedIn => {
                self.stage = Stage::LoggedIn;
                Err(LoginError::IllegalState)
            }
            Stage::Refused(refusal) => Err(told(refusal, Mechanism::Plain, true)),
            Stage::Tokens(exchange) => {
                let mechanism = exchange.mechanism();
                self.advance(exchange, token, authority)
                    .map_err(|refusal| told(refusal, mechanism, self.principal.is_some()))
            }
        }
    }

    fn advance(
        &mut self,
        exchange: Exchange,
        token: &[u8],
        authority: &mut Authority,
    ) -> Result<Vec<u8>, Refusal> {
        match exchange {
            Exchange::Plain => {
                let name = plain::user(token, authority)?;
                self.logged_in(Principal { name, mechanism: Mechanism::Plain })?;
                Ok(Vec::new())
            }
            Exchange::Scram(mechanism, server) => match server.step(token, authority)? {
                ServerStep::Continue { server, answer } => {
                    self.stage = Stage::Tokens(Exchange::Scram(mechanism, server));
                    Ok(answer)
                }
                ServerStep::Done { user, answer } => {
                    self.logged_in(Principal { name: user, mechanism })?;
                    Ok(answer)
                }
            },
        }
    }

    fn logged_in(&mut self, principal: Principal) -> Result<(), Refusal> {
        if let Some(before) = &self.principal
            && before.name != principal.name
        {
            return Err(Refusal::Told(format!(
                "Cannot change principals during re-authentication from User.{}: User.{}",
                before.name, principal.name
            )));
        }
        self.principal = Some(principal);
        self.stage = Stage::LoggedIn;
        Ok(())
    }
}

impl Exchange {
    fn new(mechanism: Mechanism) -> Self {
        match mechanism.hash() {
            None => Self::Plain,
            Some(hash) => Self::Scram(mechanism, ScramServer::new(hash)),
        }
    }

    fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain => Mechanism::Plain,
            Self::Scram(mechanism, _) => *mechanism,
        }
    }
}

/// What the peer is told: of SCRAM not more than that it failed, in Kafka's words.
fn told(refusal: Refusal, mechanism: Mechanism, again: bool) -> LoginError {
    let text = match &refusal {
        Refusal::Scram(_) => {
            let what = if again { "re-authentication" } else { "authentication" };
            format!(
                "Authentication failed during {what} due to invalid credentials with SASL mechanism {mechanism}"
            )
        }
        refusal => refusal.to_string(),
    };
    LoginError::Failed(refusal, text)
}
