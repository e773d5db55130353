//! Bodies of answers.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Brokers by name, as a name server tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClusterBody {
    pub(crate) broker_addr_table: BTreeMap<String, BrokerData>,
}

/// The copies of one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BrokerData {
    pub(crate) broker_name: String,
    /// By broker id; 0 is the master.
    pub(crate) broker_addrs: BTreeMap<String, String>,
}

/// Where a topic is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Route {
    pub(crate) broker_datas: Vec<BrokerData>,
    pub(crate) queue_datas: Vec<QueueData>,
}

/// The queues of a topic on one broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct QueueData {
    pub(crate) broker_name: String,
    pub(crate) read_queue_nums: u32,
    pub(crate) write_queue_nums: u32,
}

/// What the leading controller knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SyncStates {
    pub(crate) replicas_info_table: BTreeMap<String, Replicas>,
}

/// The copies of one broker, as the controller knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the controller's own names")]
pub(crate) struct Replicas {
    pub(crate) master_address: Option<String>,
    pub(crate) master_epoch: Option<i64>,
    pub(crate) sync_state_set_epoch: Option<i64>,
    pub(crate) in_sync_replicas: Vec<Replica>,
    pub(crate) not_in_sync_replicas: Vec<Replica>,
}

/// One copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Replica {
    pub(crate) broker_address: String,
    pub(crate) alive: Option<bool>,
}

/// A topic's configuration on a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct TopicConfig {
    pub(crate) read_queue_nums: u32,
    pub(crate) write_queue_nums: u32,
    pub(crate) perm: u32,
    pub(crate) order: bool,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The queues that a broker gave to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct LockedQueues {
    #[serde(rename = "lockOKMQSet")]
    pub(crate) queues: Vec<serde_json::Value>,
}

/// The members of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ConsumerIds {
    pub(crate) consumer_id_list: Vec<String>,
}

/// A broker's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Table {
    #[serde(default)]
    pub(crate) table: BTreeMap<String, String>,
}

/// Reads a body; fastjson leaves numbers that are keys without quotes.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body)
        .or_else(|_| serde_json::from_slice(&with_quoted_keys(body)))
        .map_err(|why| why.to_string())
}

fn with_quoted_keys(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 32);
    let (mut in_string, mut escaped, mut key_may_begin) = (false, false, false);
    let mut at = 0;
    while at < body.len() {
        let byte = body[at];
        if !in_string && key_may_begin && byte.is_ascii_digit() {
            let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = &body[at..at + digits];
            at += digits;
            if body.get(at) == Some(&b':') {
                out.push(b'"');
                out.extend_from_slice(number);
                out.push(b'"');
            } else {
                out.extend_from_slice(number);
            }
            key_may_begin = false;
            continue;
        }
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else {
            in_string = byte == b'"';
            key_may_begin = matches!(byte, b'{' | b',') || (key_may_begin && byte.is_ascii_whitespace());
        }
        out.push(byte);
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_keys_get_quotes_and_nothing_else_does() {
        let odd = br#"{"a":{0:"x,1:y",12:"\",3:"},"b":[1,2,{7:8}]}"#;
        let fixed = r#"{"a":{"0":"x,1:y","12":"\",3:"},"b":[1,2,{"7":8}]}"#;
        assert_eq!(String::from_utf8(with_quoted_keys(odd)).unwrap(), fixed);
    }

    #[test]
    fn the_brokers_of_a_cluster_are_read_from_a_name_servers_own_json() {
        let body = br#"{"brokerAddrTable":{"b":{"brokerAddrs":{0:"10.0.0.2:10911",2:"10.0.0.3:10911"},"brokerName":"b","cluster":"C","enableActingMaster":false}},"clusterAddrTable":{"C":["b"]}}"#;
        let cluster: ClusterBody = parse(body).unwrap();
        let broker = &cluster.broker_addr_table["b"];
        assert_eq!(broker.broker_addrs["0"], "10.0.0.2:10911");
        assert_eq!(broker.broker_addrs.len(), 2);
        assert!(parse::<ClusterBody>(b"<html>").is_err());
    }

    #[test]
    fn the_controllers_word_is_read_with_and_without_a_master() {
        let body = br#"{"replicasInfoTable":{"b":{"inSyncReplicas":[{"alive":true,"brokerAddress":"10.0.0.2:10911","brokerId":1,"brokerName":"b"}],"masterAddress":"10.0.0.2:10911","masterBrokerId":1,"masterEpoch":3,"notInSyncReplicas":[{"alive":false,"brokerAddress":"10.0.0.3:10911","brokerId":2,"brokerName":"b"}],"syncStateSetEpoch":5}}}"#;
        let states: SyncStates = parse(body).unwrap();
        let replicas = &states.replicas_info_table["b"];
        assert_eq!((replicas.master_epoch, replicas.sync_state_set_epoch), (Some(3), Some(5)));
        assert_eq!(replicas.not_in_sync_replicas[0].alive, Some(false));
        let none: SyncStates = parse(br#"{"replicasInfoTable":{"b":{"masterEpoch":4}}}"#).unwrap();
        assert_eq!(none.replicas_info_table["b"].master_address, None);
    }
}
