#!/bin/bash
# A node of the RocketMQ profiles in docker-compose.yml: a name server with a controller in it, and a copy of the broker.
# NODE is its number and NODES those of all; every node is at 127.0.0.1, with ports of its own.
set -euo pipefail
name_server=$((9875 + NODE)) controller=$((9975 + NODE))
# Two below the broker's port is its second one.
broker=109${NODE}1 replication=109${NODE}2

if [ "${1:-}" = is-healthy ]; then
  : </dev/tcp/127.0.0.1/$name_server </dev/tcp/127.0.0.1/$controller </dev/tcp/127.0.0.1/$broker
  exit
fi

joined() { # first [named]: the addresses of all nodes, whose ports begin after `first`; as `n1-` and so on if they are named
  local all='' node
  for node in $NODES; do all+="${all:+;}${2:+n$node-}127.0.0.1:$(($1 + node))"; done
  printf '%s' "$all"
}

copies=$(wc -w <<< "$NODES")
data=/home/rocketmq/store/$NODE
mkdir -p "$data"
cat > "$data/namesrv.conf" <<CONF
listenPort=$name_server
enableControllerInNamesrv=true
controllerType=DLedger
controllerDLegerGroup=mqproof
controllerDLegerPeers=$(joined 9975 named)
controllerDLegerSelfId=n$NODE
controllerStorePath=$data/controller
mappedFileSize=16777216
enableElectUncleanMaster=false
notifyBrokerRoleChanged=true
CONF
cat > "$data/broker.conf" <<CONF
brokerClusterName=mqproof
brokerName=broker
brokerId=-1
brokerRole=SLAVE
brokerIP1=127.0.0.1
brokerIP2=127.0.0.1
listenPort=$broker
haListenPort=$replication
namesrvAddr=$(joined 9875)
enableControllerMode=true
controllerAddr=$(joined 9975)
totalReplicas=$copies
allAckInSyncStateSet=true
minInSyncReplicas=$((copies < 2 ? copies : 2))
flushDiskType=ASYNC_FLUSH
storePathRootDir=$data/store
storePathCommitLog=$data/store/commitlog
mappedFileSizeCommitLog=67108864
mappedFileSizeConsumeQueue=600000
messageIndexEnable=false
timerWheelEnable=false
autoCreateTopicEnable=false
autoCreateSubscriptionGroup=true
CONF

# Called directly: the image's scripts ask for gigabytes. Java 8, of the official image, does not know the last option.
java=(java -cp "$ROCKETMQ_HOME/lib/*" -XX:+UseSerialGC -XX:MaxDirectMemorySize=64m "-Duser.home=$data"
  -XX:+IgnoreUnrecognizedVMOptions --add-opens=java.base/java.lang=ALL-UNNAMED)
"${java[@]}" -Xms64m -Xmx64m org.apache.rocketmq.namesrv.NamesrvStartup -c "$data/namesrv.conf" &
exec "${java[@]}" -Xms128m -Xmx128m org.apache.rocketmq.broker.BrokerStartup -c "$data/broker.conf"
