#!/usr/bin/env bash
# One Apache Kafka 4.3.1 node (broker and controller in one process) from Maven Central jars, in the foreground.
#
#   node.sh DIR PORT      stores under DIR, listens for clients at 127.0.0.1:PORT and for its controller at PORT + 1
#   node.sh --jars        only fetches the jars
#
# Needs java (17 or newer) and mvn. The jars are kept in ${MQPROOF_KAFKA_JARS:-target/kafka-4.3.1/lib of the checkout}.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
jars=${MQPROOF_KAFKA_JARS:-$here/../../../../target/kafka-4.3.1/lib}

for tool in java mvn; do
  command -v "$tool" >/dev/null || { echo "error: \`$tool\` is missing" >&2; exit 4; }
done
if [ ! -e "$jars/.complete" ]; then
  mkdir -p "$jars"
  mvn --batch-mode --quiet -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >&2
  touch "$jars/.complete"
fi
[ "${1:-}" = --jars ] && exit 0

dir=${1:?usage: node.sh DIR PORT} port=${2:?usage: node.sh DIR PORT}
mkdir -p "$dir"
cat > "$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=CLIENT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=CLIENT://127.0.0.1:$port
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=CLIENT
controller.listener.names=CONTROLLER
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.segment.bytes=67108864
PROPERTIES
cat > "$dir/log4j2.yaml" <<LOG
Configuration:
  Appenders: {Console: {name: stderr, target: SYSTEM_ERR, PatternLayout: {pattern: "%d{HH:mm:ss.SSS} %-5p %c{1} %m%n"}}}
  Loggers: {Root: {level: WARN, AppenderRef: {ref: stderr}}}
LOG
class_path="$jars/*"
java -Xmx128m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$dir/log4j2.yaml" -cp "$class_path" \
  kafka.tools.StorageTool format -t bXFwcm9vZi1saXZlLWthZg -c "$dir/server.properties" --ignore-formatted >&2
exec java -Xms256m -Xmx256m -Dlog4j2.configurationFile="$dir/log4j2.yaml" -cp "$class_path" kafka.Kafka "$dir/server.properties"
