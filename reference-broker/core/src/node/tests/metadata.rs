//! What brokers make of the metadata: whom they name to clients, and what they keep on their disks.

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{ApiKey, DeleteTopicsRequest, MetadataRequest, RequestKind, ResponseKind};

use crate::controller::BrokerState;
use crate::ids::NodeId;

use super::cluster::{CONTROLLER, Cluster};
use super::requests::{batch, topic_name};

#[test]
fn a_broker_that_knows_itself_fenced_still_names_itself() {
    let mut cluster = Cluster::start(1, |_| {});
    let broker = NodeId(1);
    let client = cluster.connect(broker);
    let state =
        |cluster: &mut Cluster, of: NodeId| cluster.node(of).image().broker(broker).map(|it| it.state);
    cluster.cut(broker, CONTROLLER);
    cluster.until("the silent broker is fenced", |cluster| {
        state(cluster, CONTROLLER) == Some(BrokerState::Fenced)
    });
    cluster.heal();
    cluster
        .until_event("the broker hears of it", |cluster| state(cluster, broker) == Some(BrokerState::Fenced));
    let request = RequestKind::Metadata(MetadataRequest::default().with_topics(Some(Vec::new())));
    cluster.send_first(client, ApiKey::Metadata, 9, request);
    let Some(ResponseKind::Metadata(answer)) = cluster.answer(client, ApiKey::Metadata, 9) else {
        panic!("no answer")
    };
    assert_eq!(state(&mut cluster, broker), Some(BrokerState::Fenced));
    let named: Vec<i32> = answer.brokers.iter().map(|it| it.node_id.0).collect();
    assert_eq!((named, answer.controller_id.0), (vec![1], 1));
}

#[test]
fn a_broker_removes_what_was_deleted_while_it_was_away_and_keeps_the_rest() {
    let mut cluster = Cluster::start(3, |_| {});
    cluster.create("orders", 3, &[]);
    cluster.create("kept", 3, &[]);
    let leader = cluster.leader("kept", 0);
    let client = cluster.connect(leader);
    cluster.send_produce(client, "kept", -1, batch(&["a"]));
    assert_eq!(cluster.await_produced(client), (0, 0));
    let away = NodeId(3);
    let holds = |cluster: &Cluster, topic: &str| {
        cluster.paths(away).iter().any(|path| path.starts_with(&format!("{topic}-0.")))
    };
    cluster.until("both are stored", |cluster| holds(cluster, "orders") && holds(cluster, "kept"));
    cluster.kill(away);
    let client = cluster.connect(NodeId(1));
    let topic = DeleteTopicState::default().with_name(Some(topic_name("orders")));
    let request = DeleteTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(5_000);
    cluster.ask(client, ApiKey::DeleteTopics, 6, RequestKind::DeleteTopics(request));
    assert!(holds(&cluster, "orders"));
    cluster.boot(away);
    cluster.until("the broker is ready again", |cluster| cluster.node(away).is_ready());
    assert!(!holds(&cluster, "orders"));
    assert!(holds(&cluster, "kept"));
    cluster.until("the record is there", |cluster| cluster.committed(away, "kept", 0).len() > 60);
}
