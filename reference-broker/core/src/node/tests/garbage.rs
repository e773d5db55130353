//! Frames that nobody should send.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ResponseKind};
use proptest::prelude::*;

use crate::ids::NodeId;
use crate::wire::{self, Asked};

use super::cluster::Cluster;

#[test]
fn an_unknown_version_of_api_versions_gets_the_list_all_the_same() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(NodeId(1));
    cluster.send_frame(client, Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 7, 255, 255]));
    let answer = cluster.await_answer(client, ApiKey::ApiVersions, 0);
    let ResponseKind::ApiVersions(answer) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.error_code, answer.api_keys.len() > 15), (35, true));
}

#[test]
fn a_huge_count_closes_the_connection() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(NodeId(1));
    // Metadata version 1 with 2³¹−1 topics.
    cluster.send_frame(client, Bytes::from_static(&[0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 127, 255, 255, 255]));
    assert!(cluster.closed.contains(&client));
}

#[test]
fn an_oversized_frame_closes_the_connection() {
    let mut cluster = Cluster::start(1, |config| config.request_max_bytes = 1_000);
    let client = cluster.connect(NodeId(1));
    cluster.send_frame(client, Bytes::from(vec![0; 1_001]));
    assert!(cluster.closed.contains(&client));
}

#[test]
fn an_internal_request_is_refused_at_the_client_listener() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(NodeId(1));
    let asked = Asked { api: ApiKey::BrokerHeartbeat, version: 1, correlation: 7 };
    let request = kafka_protocol::messages::BrokerHeartbeatRequest::default();
    let frame = wire::encode_request(asked, "x", &request.into()).expect("encodes");
    cluster.send_frame(client, frame);
    assert!(cluster.closed.contains(&client));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_frame_makes_a_node_panic(
        key in 0_i16..70,
        version in 0_i16..13,
        body in proptest::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..120),
    ) {
        let mut cluster = Cluster::start(1, |_| {});
        let client = cluster.connect(NodeId(1));
        let mut frame = Vec::new();
        frame.extend_from_slice(&key.to_be_bytes());
        frame.extend_from_slice(&version.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 7]);
        frame.extend_from_slice(&body);
        cluster.send_frame(client, frame.into());
        cluster.run_ms(20);
    }
}
