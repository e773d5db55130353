//! The life of brokers: registered (fenced), active, shutting down, fenced (KIP-631).

use std::collections::BTreeSet;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::broker_registration_request::Listener;
use kafka_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
    UnregisterBrokerRequest, UnregisterBrokerResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::controller::{Controller, Decision};
use super::image::{BrokerImage, BrokerState};
use super::record::MetadataRecord;
use crate::ids::{NodeId, Offset};
use crate::node::{Endpoint, Now};

/// The name of the listener that clients are told of, in a registration.
pub(super) const CLIENT_LISTENER: &str = "CLIENT";
/// The name of the listener that other brokers are told of, in a registration.
pub(super) const INTERNAL_LISTENER: &str = "INTERNAL";

impl Controller {
    /// A process takes the place of its broker id. While another process is heard under that id it is refused; a
    /// repeated request of the same process changes nothing. If it cannot name the epoch of the last process, that one did
    /// not stop in an orderly way (KIP-966).
    pub(super) fn register(&mut self, now: Now, request: &BrokerRegistrationRequest) -> Decision {
        let broker = NodeId(request.broker_id.0);
        let refuse = |error: ResponseError| {
            let response = BrokerRegistrationResponse::default().with_error_code(error.code());
            (Vec::new(), response.with_broker_epoch(-1).into())
        };
        let accept = |records, epoch: i64| {
            (records, BrokerRegistrationResponse::default().with_broker_epoch(epoch).into())
        };
        if request.cluster_id.as_str() != self.config.cluster_id {
            return refuse(ResponseError::InconsistentClusterId);
        }
        let endpoint =
            |name: &str| request.listeners.iter().find(|it| it.name.as_str() == name).map(endpoint_of);
        let (Some(client), Some(internal)) = (endpoint(CLIENT_LISTENER), endpoint(INTERNAL_LISTENER)) else {
            return refuse(ResponseError::InvalidRegistration);
        };
        let known = self.image.broker(broker);
        if let Some(known) = known {
            if known.incarnation == request.incarnation_id {
                let epoch = known.epoch.0;
                self.sessions.touch(now, broker, Offset(-1));
                return accept(Vec::new(), epoch);
            }
            if self.sessions.is_live(broker, now) {
                return refuse(ResponseError::DuplicateBrokerRegistration);
            }
        }
        let crashed = known.filter(|known| known.epoch.0 != request.previous_broker_epoch).map(|_| broker);
        let epoch = self.image.next_offset().0;
        let mut records = vec![MetadataRecord::RegisterBroker {
            broker,
            incarnation: request.incarnation_id,
            client,
            internal,
            rack: request.rack.as_ref().filter(|rack| !rack.is_empty()).map(ToString::to_string),
        }];
        // The session of its former process may be over without having been fenced yet.
        records.extend(self.settle(|node| node != broker && self.image.is_active(node), crashed));
        self.sessions.end(broker);
        self.sessions.touch(now, broker, Offset(-1));
        accept(records, epoch)
    }

    /// A broker is alive, and says what it wants.
    pub(super) fn heartbeat(&mut self, now: Now, request: &BrokerHeartbeatRequest) -> Decision {
        let id = NodeId(request.broker_id.0);
        let refuse = |error: ResponseError| {
            (Vec::new(), BrokerHeartbeatResponse::default().with_error_code(error.code()).into())
        };
        let Some(broker) = self.image.broker(id).cloned() else {
            return refuse(ResponseError::BrokerIdNotRegistered);
        };
        if broker.epoch.0 != request.broker_epoch {
            return refuse(ResponseError::StaleBrokerEpoch);
        }
        self.sessions.touch(now, id, Offset(request.current_metadata_offset));
        // A broker that was fenced must know by now who leads in its place.
        let caught_up = request.current_metadata_offset >= broker.since.0;
        let (records, state) = self.next_state(id, &broker, request, caught_up);
        let should_shut_down = request.want_shut_down && state == BrokerState::Fenced;
        if should_shut_down {
            // So that its next process need not wait for this session to end.
            self.sessions.end(id);
        }
        let response = BrokerHeartbeatResponse::default()
            .with_is_caught_up(caught_up)
            .with_is_fenced(state == BrokerState::Fenced)
            .with_should_shut_down(should_shut_down);
        (records, response.into())
    }

    fn next_state(
        &mut self,
        id: NodeId,
        broker: &BrokerImage,
        request: &BrokerHeartbeatRequest,
        caught_up: bool,
    ) -> (Vec<MetadataRecord>, BrokerState) {
        match broker.state {
            BrokerState::Fenced if caught_up && !request.want_fence && !request.want_shut_down => {
                (self.unfence(id), BrokerState::Active)
            }
            BrokerState::Fenced => (Vec::new(), BrokerState::Fenced),
            BrokerState::Active if request.want_shut_down => {
                let records = self.leave(&BTreeSet::from([id]), BrokerState::ShuttingDown);
                let last = self.image.next_offset().0 + records.len() as i64 - 1;
                self.sessions.begin_shutdown(id, Offset(last));
                (records, BrokerState::ShuttingDown)
            }
            BrokerState::Active if request.want_fence => {
                (self.leave(&BTreeSet::from([id]), BrokerState::Fenced), BrokerState::Fenced)
            }
            BrokerState::Active => (Vec::new(), BrokerState::Active),
            BrokerState::ShuttingDown if self.sessions.may_stop(id, self.image.active_brokers()) => {
                (self.leave(&BTreeSet::from([id]), BrokerState::Fenced), BrokerState::Fenced)
            }
            BrokerState::ShuttingDown => (Vec::new(), BrokerState::ShuttingDown),
        }
    }

    /// A broker is known no more. A process of it that still runs registers again.
    pub(super) fn unregister(&mut self, request: &UnregisterBrokerRequest) -> Decision {
        let id = NodeId(request.broker_id.0);
        if self.image.broker(id).is_none() {
            let error = ResponseError::BrokerIdNotRegistered.code();
            let message = StrBytes::from_string(format!("broker `{id}` is not registered"));
            let response = UnregisterBrokerResponse::default().with_error_code(error);
            return (Vec::new(), response.with_error_message(Some(message)).into());
        }
        let mut records = self.leave(&BTreeSet::from([id]), BrokerState::Fenced);
        records.push(MetadataRecord::UnregisterBroker { broker: id });
        self.sessions.end(id);
        (records, UnregisterBrokerResponse::default().into())
    }

    /// Fences brokers that were not heard any more.
    pub(super) fn fence(&self, gone: &BTreeSet<NodeId>) -> Vec<MetadataRecord> {
        self.leave(gone, BrokerState::Fenced)
    }

    /// The broker takes part again: partitions that nobody leads may be led by it.
    fn unfence(&self, id: NodeId) -> Vec<MetadataRecord> {
        let mut records = self.broker_changes(&BTreeSet::from([id]), BrokerState::Active);
        records.extend(self.settle(|node| node == id || self.image.is_active(node), None));
        records
    }

    /// Brokers are active no longer: others lead what they led.
    fn leave(&self, gone: &BTreeSet<NodeId>, state: BrokerState) -> Vec<MetadataRecord> {
        let mut records = self.broker_changes(gone, state);
        records.extend(self.settle(|node| self.image.is_active(node) && !gone.contains(&node), None));
        records
    }

    fn broker_changes(&self, brokers: &BTreeSet<NodeId>, state: BrokerState) -> Vec<MetadataRecord> {
        let known = brokers.iter().filter_map(|id| self.image.broker(*id).map(|broker| (*id, broker)));
        let changed = known.filter(|(_, broker)| broker.state != state);
        changed
            .map(|(id, broker)| MetadataRecord::BrokerChange { broker: id, epoch: broker.epoch, state })
            .collect()
    }

    /// What must change in partitions so that only those lead who may.
    fn settle(&self, may_lead: impl Fn(NodeId) -> bool, crashed: Option<NodeId>) -> Vec<MetadataRecord> {
        let election = self.election();
        let mut records = Vec::new();
        for topic in self.image.topics() {
            for (&partition, image) in &topic.partitions {
                if let Some(state) = election.settle(topic, image, &may_lead, crashed) {
                    records.push(MetadataRecord::PartitionChange { topic: topic.id, partition, state });
                }
            }
        }
        records
    }
}

fn endpoint_of(listener: &Listener) -> Endpoint {
    Endpoint { host: listener.host.to_string(), port: listener.port }
}
