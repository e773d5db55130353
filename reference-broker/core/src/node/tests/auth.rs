//! Logins over the wire, and what a stranger can do.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, RequestKind, ResponseKind, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::auth::{AuthConfig, Entropy, Mechanism};
use crate::ids::NodeId;
use crate::node::{BootError, ListenerKind, Node, NodeConfig, Role};
use crate::wire::tests::samples;
use crate::wire::{Door, advertised};

use super::cluster::{CONTROLLER, Client, Cluster};

const B1: NodeId = NodeId(1);

fn guarded(config: &mut NodeConfig) {
    config.auth = AuthConfig {
        mechanisms: Mechanism::ALL.to_vec(),
        users: [("alice", "wonder"), ("node", "peer")].map(|(name, word)| (name.into(), word.into())).into(),
        inter_node_user: Some("node".into()),
        entropy: Entropy([config.node_id.0 as u8; 32]),
    };
}

fn handshake(cluster: &mut Cluster, client: Client, mechanism: &'static str) -> SaslHandshakeResponse {
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = cluster.ask(client, ApiKey::SaslHandshake, 1, RequestKind::SaslHandshake(request));
    let ResponseKind::SaslHandshake(answer) = answer else { panic!("{answer:?}") };
    answer
}

fn authenticate(cluster: &mut Cluster, client: Client, token: &'static [u8]) -> SaslAuthenticateResponse {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(token));
    let answer = cluster.ask(client, ApiKey::SaslAuthenticate, 2, RequestKind::SaslAuthenticate(request));
    let ResponseKind::SaslAuthenticate(answer) = answer else { panic!("{answer:?}") };
    answer
}

fn log_in(cluster: &mut Cluster, client: Client) {
    assert_eq!(handshake(cluster, client, "PLAIN").error_code, 0);
    assert_eq!(authenticate(cluster, client, b"\0alice\0wonder").error_code, 0);
}

#[test]
fn a_cluster_in_which_everybody_logs_in_replicates() {
    let mut cluster = Cluster::start(3, guarded);
    let client = cluster.connect(B1);
    log_in(&mut cluster, client);
    cluster.create_by(client, "orders", 3, &[]);
    let leader = cluster.leader("orders", 0);
    let client = cluster.connect(leader);
    log_in(&mut cluster, client);
    assert_eq!(cluster.produce(client, "orders", -1, &["a", "b"]), (0, 0));
    assert_eq!(cluster.fetch(client, "orders", 0).2, ["a", "b"]);
    cluster.until("all replicas have them", |cluster| {
        (1..=3)
            .map(NodeId)
            .all(|node| cluster.view(node, "orders", 0).is_some_and(|view| view.high_watermark.0 == 2))
    });
}

#[test]
fn nothing_but_the_versions_is_answered_before_the_login() {
    let mut cluster = Cluster::start(1, guarded);
    for (node, listener) in
        [(B1, ListenerKind::Client), (B1, ListenerKind::Internal), (CONTROLLER, ListenerKind::Internal)]
    {
        let role = if node == CONTROLLER { Role::Controller } else { Role::Broker };
        for offer in advertised(Door { role, listener }) {
            let client = cluster.connect_to(node, listener);
            let min = if offer.api == ApiKey::Produce { 3 } else { offer.min };
            cluster.send(client, offer.api, min, samples::request(offer.api, min));
            let answered = cluster.raw_answer(client).is_some();
            let expected = [ApiKey::ApiVersions, ApiKey::SaslHandshake].contains(&offer.api);
            assert_eq!(answered, expected, "{:?} at {listener:?}", offer.api);
            assert_eq!(cluster.closed.contains(&client), !expected, "{:?} at {listener:?}", offer.api);
        }
        // Produce of a version that the codec does not know, with and without a response.
        for acks in [0, 1] {
            let client = cluster.connect_to(node, listener);
            let body = [0, acks, 0, 0, 0, 9, 0, 0, 0, 0];
            cluster
                .send_frame(client, Bytes::from([&[0, 0, 0, 2, 0, 0, 0, 7, 255, 255][..], &body].concat()));
            assert!(cluster.raw_answer(client).is_none() && cluster.closed.contains(&client));
        }
    }
}

#[test]
fn the_versions_can_be_asked_for_first_in_any_version() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    // One that nobody knows is answered in version 0, with an error.
    cluster.send_frame(client, Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 7, 255, 255]));
    assert_eq!(cluster.raw_answer(client).unwrap()[4..6], [0, 35]);
    let answer = cluster.ask(client, ApiKey::ApiVersions, 0, ApiVersionsRequest::default());
    let ResponseKind::ApiVersions(answer) = answer else { panic!("{answer:?}") };
    assert!(answer.api_keys.iter().any(|key| key.api_key == ApiKey::SaslAuthenticate as i16));
    log_in(&mut cluster, client);
    assert_eq!(cluster.fetch(client, "nowhere", 0).0, ResponseError::UnknownTopicOrPartition.code());
}

#[test]
fn a_mechanism_that_is_not_there_is_answered_with_those_that_are_and_ends_the_connection() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    let answer = handshake(&mut cluster, client, "GSSAPI");
    assert_eq!(answer.error_code, ResponseError::UnsupportedSaslMechanism.code());
    assert_eq!(answer.mechanisms, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].map(StrBytes::from_static_str));
    assert!(cluster.closed.contains(&client));
}

#[test]
fn a_wrong_password_is_answered_and_ends_the_connection() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    handshake(&mut cluster, client, "PLAIN");
    let answer = authenticate(&mut cluster, client, b"\0alice\0wrong");
    assert_eq!(answer.error_code, ResponseError::SaslAuthenticationFailed.code());
    let text = answer.error_message.unwrap();
    assert_eq!(text.as_str(), "Authentication failed: Invalid username or password");
    assert!(cluster.closed.contains(&client));
}

#[test]
fn between_handshake_and_token_nothing_else_may_come() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    handshake(&mut cluster, client, "PLAIN");
    assert_eq!(handshake(&mut cluster, client, "PLAIN").error_code, ResponseError::IllegalSaslState.code());
    assert!(cluster.closed.contains(&client));
    let client = cluster.connect(B1);
    handshake(&mut cluster, client, "PLAIN");
    cluster.send(client, ApiKey::ApiVersions, 0, ApiVersionsRequest::default());
    assert!(cluster.raw_answer(client).is_none() && cluster.closed.contains(&client));
}

#[test]
fn a_login_again_goes_on_and_as_somebody_else_it_ends_the_connection() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    log_in(&mut cluster, client);
    let answer = authenticate(&mut cluster, client, b"\0alice\0wonder");
    assert_eq!(answer.error_code, ResponseError::IllegalSaslState.code(), "no handshake came before");
    log_in(&mut cluster, client);
    assert!(!cluster.closed.contains(&client));
    handshake(&mut cluster, client, "PLAIN");
    let answer = authenticate(&mut cluster, client, b"\0node\0peer");
    assert_eq!(answer.error_code, ResponseError::SaslAuthenticationFailed.code());
    assert!(cluster.closed.contains(&client));
}

#[test]
fn after_a_handshake_of_version_0_tokens_come_without_requests_around_them() {
    let mut cluster = Cluster::start(1, guarded);
    for (token, welcome) in [("\0alice\0wonder", true), ("\0alice\0wrong", false)] {
        let client = cluster.connect(B1);
        let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str("PLAIN"));
        cluster.ask(client, ApiKey::SaslHandshake, 0, request);
        cluster.send_frame(client, Bytes::from_static(token.as_bytes()));
        assert_eq!(cluster.raw_answer(client), welcome.then(Bytes::new));
        assert_eq!(cluster.closed.contains(&client), !welcome);
        if welcome {
            cluster.ask(client, ApiKey::ApiVersions, 0, ApiVersionsRequest::default());
        }
    }
}

#[test]
fn a_stranger_may_not_send_large_frames() {
    let mut cluster = Cluster::start(1, guarded);
    let client = cluster.connect(B1);
    cluster.send_frame(client, Bytes::from(vec![0; (512 << 10) + 1]));
    assert!(cluster.closed.contains(&client));
}

#[test]
fn clients_have_no_business_where_nodes_talk() {
    let mut cluster = Cluster::start(1, guarded);
    for node in [B1, CONTROLLER] {
        let client = cluster.connect_to(node, ListenerKind::Internal);
        let answer = handshake(&mut cluster, client, "PLAIN");
        assert_eq!(answer.error_code, ResponseError::UnsupportedSaslMechanism.code());
        assert_eq!(answer.mechanisms, [StrBytes::from_static_str("SCRAM-SHA-256")]);
        assert!(cluster.closed.contains(&client));
    }
}

#[test]
fn where_nobody_is_asked_a_login_is_out_of_place_and_does_no_harm() {
    let mut cluster = Cluster::start(1, |_| {});
    let client = cluster.connect(B1);
    let answer = handshake(&mut cluster, client, "PLAIN");
    assert_eq!(answer.error_code, ResponseError::IllegalSaslState.code());
    let answer = authenticate(&mut cluster, client, b"\0alice\0wonder");
    assert_eq!(answer.error_code, ResponseError::IllegalSaslState.code());
    assert_eq!(cluster.fetch(client, "nowhere", 0).0, ResponseError::UnknownTopicOrPartition.code());
}

#[test]
fn a_node_with_another_password_is_kept_out() {
    let mut cluster = Cluster::start(2, guarded);
    cluster.kill(NodeId(2));
    cluster.adapt(NodeId(2), |config| {
        config.auth.users.insert("node".into(), "guess".into());
    });
    cluster.boot(NodeId(2));
    cluster.run_ms(3_000);
    assert!(!cluster.node(NodeId(2)).is_ready());
    assert!(cluster.node(B1).is_ready());
}

#[test]
fn a_node_whose_internal_listener_would_be_open_does_not_start() {
    let mut cluster = Cluster::start(1, |_| {});
    let mut config = cluster.node(B1).config().clone();
    guarded(&mut config);
    config.auth.inter_node_user = None;
    let mut disk = crate::disk::MemDisk::new();
    let booted = Node::boot(config, cluster.now, &mut disk, &mut Vec::new());
    assert!(matches!(booted, Err(BootError::Auth(_))));
}
