//! Values of settings, whether from a TOML file or from `--set key=value`.

use std::str::FromStr;

use broker_core::{Endpoint, NodeId, Peer};

/// A value, as text: lists have several parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value(Vec<String>);

/// Why a value is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got `{got}`")]
pub struct BadValue {
    /// What the key takes.
    expected: String,
    /// What it was given.
    got: String,
}

impl Value {
    /// From the command line: commas separate the parts of a list.
    pub fn from_text(text: &str) -> Self {
        Self(text.split(',').map(|part| part.trim().to_owned()).collect())
    }

    pub(super) fn from_toml(value: &toml::Value) -> Self {
        match value {
            toml::Value::Array(parts) => Self(parts.iter().map(scalar).collect()),
            other => Self(vec![scalar(other)]),
        }
    }

    pub(super) fn bad(&self, expected: impl Into<String>) -> BadValue {
        BadValue { expected: expected.into(), got: self.0.join(",") }
    }

    /// The parts of a list, also of one in one string.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|part| part.split(',')).map(str::trim)
    }

    pub(super) fn text(&self) -> Result<&str, BadValue> {
        match &self.0[..] {
            [one] if !one.is_empty() => Ok(one),
            _ => Err(self.bad("one value")),
        }
    }

    /// One value, or none if it is empty.
    pub(super) fn optional(&self) -> Result<Option<&str>, BadValue> {
        match &self.0[..] {
            [] => Ok(None),
            [one] => Ok(Some(one.as_str()).filter(|one| !one.is_empty())),
            _ => Err(self.bad("one value")),
        }
    }

    /// A whole number in the range, also written with underscores.
    pub(super) fn number<N>(&self, min: N, max: N) -> Result<N, BadValue>
    where
        N: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let number = self.text()?.replace('_', "").parse::<N>().ok();
        number
            .filter(|number| (min..=max).contains(number))
            .ok_or_else(|| self.bad(format!("a whole number from {min} to {max}")))
    }

    pub(super) fn truth(&self) -> Result<bool, BadValue> {
        self.text()?.parse().map_err(|_| self.bad("`true` or `false`"))
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, BadValue> {
        parse_endpoint(self.text()?).ok_or_else(|| self.bad("`HOST:PORT`"))
    }

    pub(super) fn peers(&self) -> Result<Vec<Peer>, BadValue> {
        let peers = self.0.iter().filter(|part| !part.is_empty()).map(|part| parse_peer(part));
        peers.collect::<Option<_>>().ok_or_else(|| self.bad("a list of `ID@HOST:PORT`"))
    }
}

fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let valid = !host.is_empty();
    port.parse().ok().filter(|_| valid).map(|port| Endpoint { host: host.into(), port })
}

fn parse_peer(text: &str) -> Option<Peer> {
    let (id, endpoint) = text.split_once('@')?;
    Some(Peer { node: NodeId(id.parse().ok()?), endpoint: parse_endpoint(endpoint)? })
}
