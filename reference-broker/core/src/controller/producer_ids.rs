//! Blocks of producer ids (KIP-730): no id is given away twice.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, ProducerId as WireProducerId,
};

use super::controller::Decision;
use super::image::MetadataImage;
use super::record::MetadataRecord;
use crate::ids::{NodeId, ProducerId};

/// Ids in a block, as in Kafka.
const BLOCK_IDS: i32 = 1000;

/// Gives the next block to a broker.
pub(super) fn allocate_producer_ids(image: &MetadataImage, request: &AllocateProducerIdsRequest) -> Decision {
    let broker = image.broker(NodeId(request.broker_id.0));
    if broker.is_none_or(|broker| broker.epoch.0 != request.broker_epoch) {
        let error = ResponseError::StaleBrokerEpoch.code();
        return (Vec::new(), AllocateProducerIdsResponse::default().with_error_code(error).into());
    }
    let start = image.next_producer_id();
    let record = MetadataRecord::ProducerIds { next: ProducerId(start.0 + i64::from(BLOCK_IDS)) };
    let response = AllocateProducerIdsResponse::default()
        .with_producer_id_start(WireProducerId(start.0))
        .with_producer_id_len(BLOCK_IDS);
    (vec![record], response.into())
}
