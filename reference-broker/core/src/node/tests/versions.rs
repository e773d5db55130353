//! What is advertised is answered: each version of each API, by a real broker.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, ResponseKind};

use crate::ids::NodeId;
use crate::node::{ListenerKind, Role};
use crate::wire::tests::samples;
use crate::wire::{Door, advertised};

use super::cluster::Cluster;

#[test]
fn every_advertised_version_gets_a_response_that_its_version_can_carry() {
    let door = Door { role: Role::Broker, listener: ListenerKind::Client };
    for offer in advertised(door) {
        let mut cluster = Cluster::start(1, |_| {});
        cluster.create("orders", 1, &[]);
        cluster.create("__consumer_offsets", 1, &[]);
        for version in offer.min..=offer.max {
            let client = cluster.connect(NodeId(1));
            if offer.api == ApiKey::Produce && version < 3 {
                // One topic `t` with partition 0 and no records.
                let body: [u8; 27] =
                    [0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                let header: [u8; 10] = [0, 0, 0, version as u8, 0, 0, 0, 7, 255, 255];
                cluster.send_frame(client, Bytes::from([&header[..], &body[..25]].concat()));
                let answer = cluster.raw_answer(client).expect("an answer");
                assert_eq!(&answer[19..21], [0, 35], "UNSUPPORTED_VERSION in version {version}: {answer:?}");
                continue;
            }
            let answer = cluster.ask(client, offer.api, version, samples::request(offer.api, version));
            assert!(!cluster.closed.contains(&client), "{:?} {version}", offer.api);
            if let ResponseKind::ApiVersions(answer) = answer {
                assert_eq!(answer.api_keys.len(), advertised(door).len());
            }
        }
    }
}
