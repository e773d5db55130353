//! One of the two connections.

use std::collections::VecDeque;

use kafka_protocol::messages::ApiKey;

use super::effect::CallId;

/// What a request on its way is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The broker's registration.
    Register,
    /// A heartbeat.
    Heartbeat,
    /// News of the metadata log.
    Fetch,
    /// A request forwarded for another room.
    Call(CallId),
}

/// A request on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) purpose: Purpose,
    pub(super) key: ApiKey,
    pub(super) version: i16,
    /// When the connection is given up for lack of an answer. Forwarded requests have none: the heartbeats behind them do.
    pub(super) deadline_ns: u64,
}

/// One of the two connections.
#[derive(Debug)]
pub(super) enum Link {
    /// Not dialled.
    Down,
    /// Dialled, until the deadline.
    Dialling { deadline_ns: u64 },
    /// Up; answers come in the order of the requests.
    Up { in_flight: VecDeque<InFlight> },
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    /// When it must have come a step further.
    pub(super) fn deadline_ns(&self) -> u64 {
        match self {
            Self::Down => u64::MAX,
            Self::Dialling { deadline_ns } => *deadline_ns,
            Self::Up { in_flight } => in_flight.iter().map(|it| it.deadline_ns).min().unwrap_or(u64::MAX),
        }
    }

    /// Whether a request of this purpose is on its way.
    pub(super) fn awaits(&self, purpose: Purpose) -> bool {
        matches!(self, Self::Up { in_flight } if in_flight.iter().any(|it| it.purpose == purpose))
    }

    /// The request that the next answer belongs to.
    pub(super) fn oldest(&self) -> Option<&InFlight> {
        match self {
            Self::Up { in_flight } => in_flight.front(),
            _ => None,
        }
    }

    /// Takes the request that an answer belongs to.
    pub(super) fn take_oldest(&mut self) -> Option<InFlight> {
        match self {
            Self::Up { in_flight } => in_flight.pop_front(),
            _ => None,
        }
    }
}
