#!/bin/bash
# Programs of RabbitMQ run as `rabbitmq`, also where the container starts as root; the node's data is then made theirs.
set -euo pipefail
if [[ ${1:-} == rabbitmq* ]] && [ "$(id -u)" = 0 ]; then
  if [ "$1" = rabbitmq-server ]; then
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq {} +
  fi
  exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups "$0" "$@"
fi
exec "$@"
