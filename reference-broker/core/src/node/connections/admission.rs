//! The way in: no frame reaches the node but through here.
//!
//! In:  every frame of an accepted connection. Out: those of peers that have logged in, or need not; the answers to logins.
//! As in Kafka, whoever has not logged in may ask for the versions, choose a mechanism and send its tokens. Everything else
//! closes the connection.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, RequestKind, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Connections, Login};
use crate::auth::{Authority, LOGIN_FRAME_MAX, LoginError, Session};
use crate::ids::ConnId;
use crate::node::{Effect, ListenerKind};
use crate::wire::{self, Asked, Body, Door};

/// What stands for the request of a token that came without one (version 0 of the handshake).
const BARE_TOKEN: Asked = Asked { api: ApiKey::SaslAuthenticate, version: 0, correlation: 0 };

impl Connections {
    /// Lets a frame in, or deals with it.
    pub(crate) fn admit(
        &mut self,
        conn: ConnId,
        door: Door,
        frame: Bytes,
        effects: &mut Vec<Effect>,
    ) -> Option<Bytes> {
        let login = self.accepted.get(&conn)?.login.as_ref();
        let stranger = login.is_some_and(|login| !login.session.is_logged_in());
        let sasl = matches!(wire::api_of(&frame), Some(ApiKey::SaslHandshake | ApiKey::SaslAuthenticate));
        if !stranger && !sasl {
            return Some(frame);
        }
        if stranger && frame.len() > LOGIN_FRAME_MAX {
            tracing::warn!(?conn, size = frame.len(), "closing: too large for a login");
            self.close(conn, effects);
            return None;
        }
        if login.is_some_and(|login| login.bare_tokens && login.session.expects_token()) {
            self.bare_token(conn, door.listener, &frame, effects);
            return None;
        }
        let choosing = login.is_some_and(|login| !login.session.expects_token());
        let request = match wire::decode_request(door, frame.clone()) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(?conn, %error, "closing: bad request");
                self.close(conn, effects);
                return None;
            }
        };
        match request.body {
            Body::UnknownApiVersions if choosing => return Some(frame),
            Body::Known(body) => match *body {
                RequestKind::ApiVersions(_) if choosing => return Some(frame),
                RequestKind::SaslHandshake(body) => {
                    self.handshake(conn, door.listener, request.asked, &body, effects);
                    return None;
                }
                RequestKind::SaslAuthenticate(body) if !(stranger && choosing) => {
                    self.token(conn, door.listener, request.asked, &body, effects);
                    return None;
                }
                _ => {}
            },
            Body::UnknownApiVersions | Body::AncientProduce(_) => {}
        }
        tracing::warn!(?conn, api = ?request.asked.api, "closing: a request before the login");
        self.close(conn, effects);
        None
    }

    fn handshake(
        &mut self,
        conn: ConnId,
        listener: ListenerKind,
        asked: Asked,
        body: &SaslHandshakeRequest,
        effects: &mut Vec<Effect>,
    ) {
        let reply = self.expect(conn, asked);
        let Some((login, authority)) = self.login(conn, listener) else {
            let response = handshake_response(ResponseError::IllegalSaslState.code(), None);
            return self.respond(reply, &response.into(), effects);
        };
        let done = login.session.handshake(&body.mechanism, authority);
        let (error, close) = match done {
            Ok(()) => {
                login.bare_tokens = asked.version == 0;
                (0, false)
            }
            Err(LoginError::UnsupportedMechanism) => (ResponseError::UnsupportedSaslMechanism.code(), true),
            Err(_) => (ResponseError::IllegalSaslState.code(), true),
        };
        let response = handshake_response(error, Some(&*authority));
        self.respond(reply, &response.into(), effects);
        if close {
            tracing::warn!(?conn, mechanism = ?body.mechanism, error, "closing: handshake refused");
            self.close(conn, effects);
        }
    }

    fn token(
        &mut self,
        conn: ConnId,
        listener: ListenerKind,
        asked: Asked,
        body: &SaslAuthenticateRequest,
        effects: &mut Vec<Effect>,
    ) {
        let reply = self.expect(conn, asked);
        let done = self.advance(conn, listener, &body.auth_bytes, effects);
        let failed = matches!(done, Err(LoginError::Failed(..)));
        let response = match done {
            Ok(answer) => SaslAuthenticateResponse::default().with_auth_bytes(answer.into()),
            Err(LoginError::Failed(_, text)) => refused(ResponseError::SaslAuthenticationFailed, text),
            Err(_) => {
                let text = "SaslAuthenticate request received after successful authentication";
                refused(ResponseError::IllegalSaslState, text.into())
            }
        };
        self.respond(reply, &response.into(), effects);
        if failed {
            self.close(conn, effects);
        }
    }

    /// A token without a request around it is answered without one; a refusal has no form.
    fn bare_token(&mut self, conn: ConnId, listener: ListenerKind, token: &[u8], effects: &mut Vec<Effect>) {
        let reply = self.expect(conn, BARE_TOKEN);
        match self.advance(conn, listener, token, effects) {
            Ok(answer) => self.reply(reply, vec![answer.into()], effects),
            Err(_) => self.close(conn, effects),
        }
    }

    fn advance(
        &mut self,
        conn: ConnId,
        listener: ListenerKind,
        token: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<Vec<u8>, LoginError> {
        let (login, authority) = self.login(conn, listener).ok_or(LoginError::IllegalState)?;
        let done = login.session.token(token, authority);
        match &done {
            Ok(_) if login.session.is_logged_in() => {
                tracing::debug!(?conn, user = login.session.name(), "logged in");
                effects.push(Effect::Admitted { conn });
            }
            Ok(_) => {}
            Err(LoginError::Failed(refusal, _)) => tracing::warn!(?conn, %refusal, "closing: login failed"),
            Err(_) => {}
        }
        done
    }

    fn login(&mut self, conn: ConnId, listener: ListenerKind) -> Option<(&mut Login, &mut Authority)> {
        let login = self.accepted.get_mut(&conn)?.login.as_mut()?;
        Some((login, self.authorities.of(listener)?))
    }
}

impl Login {
    pub(super) fn new() -> Self {
        Self { session: Session::default(), bare_tokens: false }
    }
}

fn handshake_response(error: i16, authority: Option<&Authority>) -> SaslHandshakeResponse {
    let mechanisms = authority.into_iter().flat_map(Authority::mechanisms);
    let mechanisms = mechanisms.map(|mechanism| StrBytes::from_static_str(mechanism.name()));
    SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(mechanisms.collect())
}

fn refused(error: ResponseError, text: String) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(text)))
}
