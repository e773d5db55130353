//! Every offered version of every API, there and back.

pub(crate) mod samples;

use bytes::Bytes;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{
    ApiKey, BrokerId, FetchResponse as CodecFetchResponse, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionId, ProducerId};
use crate::node::{ListenerKind, Role};

use super::shape::{self, ShapeError};
use super::*;

const DOORS: [Door; 3] = [
    Door { role: Role::Broker, listener: ListenerKind::Client },
    Door { role: Role::Broker, listener: ListenerKind::Internal },
    Door { role: Role::Controller, listener: ListenerKind::Internal },
];

/// Every door, API and version, but for the versions of Produce that are only advertised.
fn all() -> impl Iterator<Item = (Door, ApiKey, i16)> {
    DOORS.into_iter().flat_map(|door| {
        advertised(door).iter().flat_map(move |offer| {
            let min = if offer.api == ApiKey::Produce { 3 } else { offer.min };
            (min..=offer.max).map(move |version| (door, offer.api, version))
        })
    })
}

fn asked(api: ApiKey, version: i16) -> Asked {
    Asked { api, version, correlation: 0x0102_0304 }
}

#[test]
fn a_request_of_every_offered_version_comes_through_as_it_was() {
    for (door, api, version) in all() {
        let request = samples::request(api, version);
        let frame = encode_request(asked(api, version), "kcat", &request).expect("encodes");
        let decoded =
            decode_request(door, frame).unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
        assert_eq!(decoded.asked, asked(api, version));
        assert_eq!(decoded.client_id.as_str(), "kcat");
        let Body::Known(body) = decoded.body else { panic!("{api:?} {version}") };
        assert_eq!(*body, request, "{api:?} {version}");
    }
}

#[test]
fn the_shape_of_every_offered_version_covers_the_whole_body() {
    for (_, api, version) in all() {
        let mut body = bytes::BytesMut::new();
        samples::request(api, version).encode(&mut body, version).expect("encodes");
        assert_eq!(shape::walk(api, version, &body), Ok(body.len()), "{api:?} {version}");
    }
}

#[test]
fn a_body_that_is_cut_anywhere_is_found_out() {
    for (_, api, version) in all() {
        let mut body = bytes::BytesMut::new();
        samples::request(api, version).encode(&mut body, version).expect("encodes");
        for length in 0..body.len() {
            let walked = shape::walk(api, version, &body[..length]);
            assert_eq!(walked, Err(ShapeError::TooShort), "{api:?} {version}, {length} of {}", body.len());
        }
    }
}

#[test]
fn records_stay_slices_of_the_frame() {
    let records = Bytes::from(vec![7; 1_000]);
    let RequestKind::Produce(mut request) = samples::request(ApiKey::Produce, 9) else { panic!() };
    request.topic_data[0].partition_data[0].records = Some(records);
    let frame = encode_request(asked(ApiKey::Produce, 9), "kcat", &request.into()).expect("encodes");
    let range = frame.as_ptr_range();
    let Body::Known(body) = decode_request(DOORS[0], frame).expect("decodes").body else { panic!() };
    let RequestKind::Produce(request) = *body else { panic!() };
    let records = request.topic_data[0].partition_data[0].records.clone().expect("records");
    assert!(range.contains(&records.as_ptr()));
}

#[test]
fn the_hand_written_fetch_response_is_what_the_codec_writes() {
    let id = Uuid::from_u128(9);
    let name = StrBytes::from_static_str("orders");
    let records: [&'static [u8]; 2] = [b"first batch", b"second"];
    for version in 4..=15 {
        let topic = if version >= 13 { TopicKey::Id(*id.as_bytes()) } else { TopicKey::Name(name.clone()) };
        let full = FetchedPartition {
            partition: PartitionId(3),
            error: 0,
            high_watermark: Offset(20),
            last_stable: Offset(18),
            log_start: Offset(5),
            aborted: Some(vec![(ProducerId(900), Offset(7)), (ProducerId(901), Offset(9))]),
            diverging: None,
            preferred: (version >= 11).then_some(NodeId(2)),
            records: records.map(Bytes::from_static).to_vec(),
        };
        let mut diverging = FetchedPartition::error(PartitionId(4), 6);
        if version >= 12 {
            diverging.diverging = Some((LeaderEpoch(2), Offset(17)));
        }
        let response = FetchResponse {
            topics: vec![FetchedTopic { topic, partitions: vec![full, diverging] }],
            ..FetchResponse::default()
        };
        let frame = Bytes::from(response.encode(asked(ApiKey::Fetch, version)).concat());

        let mut topic = FetchableTopicResponse::default();
        if version >= 13 {
            topic.topic_id = id;
        } else {
            topic.topic = TopicName(name.clone());
        }
        let start = |offset| if version >= 5 { offset } else { -1 };
        let aborted = [(900, 7), (901, 9)].map(|(producer, first)| {
            AbortedTransaction::default().with_producer_id(producer.into()).with_first_offset(first)
        });
        let aborted = aborted.to_vec();
        let full = PartitionData::default()
            .with_partition_index(3)
            .with_high_watermark(20)
            .with_last_stable_offset(18)
            .with_log_start_offset(start(5))
            .with_aborted_transactions(Some(aborted))
            .with_preferred_read_replica(BrokerId(if version >= 11 { 2 } else { -1 }))
            .with_records(Some(Bytes::from(records.concat())));
        let mut other = PartitionData::default()
            .with_partition_index(4)
            .with_error_code(6)
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_aborted_transactions(None)
            .with_records(Some(Bytes::new()));
        if version >= 12 {
            other.diverging_epoch = EpochEndOffset::default().with_epoch(2).with_end_offset(17);
        }
        let expected =
            CodecFetchResponse::default().with_responses(vec![topic.with_partitions(vec![full, other])]);
        let expected =
            encode_response(asked(ApiKey::Fetch, version), &ResponseKind::Fetch(expected)).expect("encodes");
        assert_eq!(frame, expected, "version {version}");
    }
}

#[test]
fn stored_batches_are_sent_without_a_copy() {
    let records = Bytes::from(vec![7; 1_000]);
    let partition =
        FetchedPartition { records: vec![records.clone()], ..FetchedPartition::error(PartitionId(0), 0) };
    let topic =
        FetchedTopic { topic: TopicKey::Name(StrBytes::from_static_str("t")), partitions: vec![partition] };
    let parts =
        FetchResponse { topics: vec![topic], ..FetchResponse::default() }.encode(asked(ApiKey::Fetch, 11));
    assert!(parts.iter().any(|part| part.as_ptr() == records.as_ptr()));
}

#[test]
fn a_version_that_is_not_offered_is_refused_and_api_versions_is_answered_all_the_same() {
    let decode = |key: i16, version: i16| {
        let [k, v] = [key.to_be_bytes(), version.to_be_bytes()];
        decode_request(DOORS[0], Bytes::from([k, v, [0, 0], [0, 1], [255, 255]].concat()))
    };
    assert!(matches!(decode(18, 77), Ok(Request { body: Body::UnknownApiVersions, .. })));
    assert!(matches!(decode(3, 77), Err(FrameError::NotOffered { key: 3, version: 77 })));
    assert!(matches!(decode(62, 4), Err(FrameError::NotOffered { key: 62, version: 4 })));
    assert!(matches!(decode(-3, 0), Err(FrameError::NotOffered { .. })));
    assert!(matches!(decode_request(DOORS[0], Bytes::from_static(&[0, 3])), Err(FrameError::TooShort(2))));
}

#[test]
fn a_tagged_field_may_not_lie_about_its_size() {
    // Metadata version 9 ends with one tagged field of 127 bytes that are not there.
    let body = [1, 0, 0, 0, 1, 0, 127];
    assert_eq!(shape::walk(ApiKey::Metadata, 9, &body), Err(ShapeError::TooShort));
}
