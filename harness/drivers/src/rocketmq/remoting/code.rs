//! Request and response codes: `org.apache.rocketmq.remoting.protocol.{RequestCode, ResponseCode}` of 5.5.0.

pub(crate) const PULL_MESSAGE: u16 = 11;
pub(crate) const QUERY_CONSUMER_OFFSET: u16 = 14;
pub(crate) const UPDATE_CONSUMER_OFFSET: u16 = 15;
pub(crate) const UPDATE_AND_CREATE_TOPIC: u16 = 17;
pub(crate) const GET_BROKER_CONFIG: u16 = 26;
pub(crate) const GET_BROKER_RUNTIME_INFO: u16 = 28;
pub(crate) const GET_MAX_OFFSET: u16 = 30;
pub(crate) const GET_MIN_OFFSET: u16 = 31;
pub(crate) const HEART_BEAT: u16 = 34;
pub(crate) const UNREGISTER_CLIENT: u16 = 35;
pub(crate) const GET_CONSUMER_LIST_BY_GROUP: u16 = 38;
/// Of a broker to its clients: members of a group came or went.
pub(crate) const NOTIFY_CONSUMER_IDS_CHANGED: u16 = 40;
pub(crate) const LOCK_BATCH_MQ: u16 = 41;
pub(crate) const UNLOCK_BATCH_MQ: u16 = 42;
pub(crate) const GET_ROUTE_BY_TOPIC: u16 = 105;
pub(crate) const GET_BROKER_CLUSTER_INFO: u16 = 106;
pub(crate) const UPDATE_AND_CREATE_SUBSCRIPTION_GROUP: u16 = 200;
pub(crate) const DELETE_TOPIC_IN_BROKER: u16 = 215;
pub(crate) const DELETE_TOPIC_IN_NAME_SERVER: u16 = 216;
pub(crate) const SEND_MESSAGE_V2: u16 = 310;
pub(crate) const SEND_BATCH_MESSAGE: u16 = 320;
pub(crate) const GET_TOPIC_CONFIG: u16 = 351;
/// Of the leading controller: masters, in-sync and other replicas with their addresses, of the brokers in the body.
pub(crate) const CONTROLLER_GET_SYNC_STATE_DATA: u16 = 1006;

pub(crate) const SUCCESS: i32 = 0;
pub(crate) const TOPIC_NOT_EXIST: i32 = 17;
pub(crate) const PULL_NOT_FOUND: i32 = 19;
pub(crate) const PULL_RETRY_IMMEDIATELY: i32 = 20;
pub(crate) const PULL_OFFSET_MOVED: i32 = 21;
pub(crate) const QUERY_NOT_FOUND: i32 = 22;
