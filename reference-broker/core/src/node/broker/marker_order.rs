//! Tells requests for markers that come late from those that do not.
//!
//! A marker names a producer and its epoch, which in the first protocol stays the same for the next transaction (KIP-890). A coordinator
//! that has lost a connection asks again over another one, and goes on with the next transaction when it is answered there. What is
//! still under way on the lost one would then end that transaction, as KAFKA-17754 has it of EndTxn. So requests between brokers
//! are numbered, and whoever has taken one takes none that was sent before it.
//!
//! If another broker led meanwhile, and took the repetition, this one knows nothing of it. So a marker also names the leader epoch that
//! it was sent to, and is refused in any other.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::WriteTxnMarkersRequest;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;

use crate::ids::{BrokerEpoch, LeaderEpoch, NodeId};

/// A tagged field of our own: who sends (4 bytes), under which registration (8), and its how manieth request this is (8), all big-endian.
const TAG: i32 = 10_001;
/// Another one, of a marker: the leader epoch of its one partition (4 bytes, big-endian).
const EPOCH_TAG: i32 = 10_002;

/// The numbers of what a broker has sent, and of the newest that it has taken from each other one.
#[derive(Debug, Default)]
pub(in crate::node) struct MarkerOrder {
    sent: u64,
    newest: BTreeMap<NodeId, (BrokerEpoch, u64)>,
}

impl MarkerOrder {
    /// Numbers a request of this broker.
    pub(in crate::node) fn number(
        &mut self,
        request: WriteTxnMarkersRequest,
        sender: NodeId,
        registration: BrokerEpoch,
    ) -> WriteTxnMarkersRequest {
        self.sent += 1;
        let mut value = BytesMut::new();
        value.put_i32(sender.0);
        value.put_i64(registration.0);
        value.put_u64(self.sent);
        request.with_unknown_tagged_field(TAG, value.freeze())
    }

    /// Takes a request, unless one was taken that its sender has sent later. Who does not number asks but once.
    pub(in crate::node) fn takes(&mut self, request: &WriteTxnMarkersRequest) -> bool {
        let Some((sender, number)) = request.unknown_tagged_fields.get(&TAG).and_then(parse) else {
            return true;
        };
        let newest = self.newest.entry(sender).or_insert(number);
        let in_order = number >= *newest;
        *newest = number.max(*newest);
        in_order
    }
}

/// A marker for one partition, to be written by its leader of this epoch.
pub(in crate::node) fn sent_to(marker: WritableTxnMarker, epoch: LeaderEpoch) -> WritableTxnMarker {
    marker.with_unknown_tagged_field(EPOCH_TAG, Bytes::copy_from_slice(&epoch.0.to_be_bytes()))
}

/// The leader epoch that a marker was sent to, if its sender says so.
pub(super) fn epoch_of(marker: &WritableTxnMarker) -> Option<LeaderEpoch> {
    let mut value = marker.unknown_tagged_fields.get(&EPOCH_TAG)?.clone();
    value.try_get_i32().ok().map(LeaderEpoch)
}

fn parse(value: &Bytes) -> Option<(NodeId, (BrokerEpoch, u64))> {
    let mut value = value.clone();
    let sender = NodeId(value.try_get_i32().ok()?);
    Some((sender, (BrokerEpoch(value.try_get_i64().ok()?), value.try_get_u64().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_what_was_taken_comes_too_late() {
        let mut coordinator = MarkerOrder::default();
        let mut send = |registration: i64| {
            coordinator.number(WriteTxnMarkersRequest::default(), NodeId(1), BrokerEpoch(registration))
        };
        let (first, second, third) = (send(7), send(7), send(7));
        let mut leader = MarkerOrder::default();
        assert!(leader.takes(&first));
        assert!(leader.takes(&third));
        assert!(!leader.takes(&second));
        // A broker that begins anew counts from the beginning.
        let anew =
            MarkerOrder::default().number(WriteTxnMarkersRequest::default(), NodeId(1), BrokerEpoch(8));
        assert!(leader.takes(&anew));
        assert!(!leader.takes(&third));
        let other =
            MarkerOrder::default().number(WriteTxnMarkersRequest::default(), NodeId(2), BrokerEpoch(3));
        assert!(leader.takes(&other));
        assert!(leader.takes(&WriteTxnMarkersRequest::default()), "of a tool");
    }
}
