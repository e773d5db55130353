//! The messages of SCRAM (RFC 5802, section 7).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::error::ScramError;

/// `n,,n=user,r=nonce`.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    /// What stands before the bare message: about channel binding, and on whose behalf.
    pub(super) header: &'a str,
    pub(super) bare: &'a str,
    pub(super) authorization_id: Option<String>,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

/// `r=nonce,s=salt,i=4096`.
#[derive(Debug)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// `c=biws,r=nonce,p=proof`.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) without_proof: &'a str,
    pub(super) header: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let text = text(message)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(authorization), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramError::Malformed("no header"));
        };
        match flag {
            // `y`: the client could bind the channel and thinks that we cannot, in which it is right.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed("no flag of channel binding")),
        }
        let authorization_id = match authorization {
            "" => None,
            _ => Some(unescaped(value("a=", Some(authorization))?)?),
        };
        let mut attributes = bare.split(',');
        let first = attributes.next();
        if first.is_some_and(|first| first.starts_with("m=")) {
            return Err(ScramError::Extension);
        }
        let user = unescaped(value("n=", first)?)?;
        let nonce = nonce(value("r=", attributes.next())?)?;
        let header = &text[..text.len() - bare.len()];
        Ok(Self { header, bare, authorization_id, user, nonce })
    }
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut attributes = text(message)?.split(',');
        let first = attributes.next();
        if first.is_some_and(|first| first.starts_with("m=")) {
            return Err(ScramError::Extension);
        }
        let nonce = nonce(value("r=", first)?)?;
        let salt = decoded(value("s=", attributes.next())?)?;
        let iterations = value("i=", attributes.next())?;
        let iterations = iterations.parse().map_err(|_| ScramError::Malformed("no number of iterations"))?;
        Ok(Self { nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, ScramError> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let header = decoded(value("c=", attributes.next())?)?;
        let nonce = nonce(value("r=", attributes.next())?)?;
        Ok(Self { without_proof, header, nonce, proof: decoded(proof)? })
    }
}

/// The signature in `v=signature`.
pub(super) fn server_final(message: &[u8]) -> Result<Vec<u8>, ScramError> {
    decoded(value("v=", text(message)?.split(',').next())?)
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// A name as it is written in a message.
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed("not UTF-8"))
}

fn value<'a>(key: &'static str, attribute: Option<&'a str>) -> Result<&'a str, ScramError> {
    attribute.and_then(|attribute| attribute.strip_prefix(key)).ok_or(ScramError::Malformed(key))
}

fn decoded(value: &str) -> Result<Vec<u8>, ScramError> {
    BASE64_STANDARD.decode(value).map_err(|_| ScramError::Malformed("not base64"))
}

fn nonce(value: &str) -> Result<&str, ScramError> {
    let printable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    if printable { Ok(value) } else { Err(ScramError::Malformed("no nonce")) }
}

fn unescaped(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed("`=` in a name")),
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    if plain.is_empty() { Err(ScramError::Malformed("no name")) } else { Ok(plain) }
}
