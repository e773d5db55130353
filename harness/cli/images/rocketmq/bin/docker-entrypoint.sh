#!/bin/bash
# `nameserver`, `broker` and `controller` are roles; anything else is a command.
set -euo pipefail
case ${NODE_ROLE:-${1:-}} in
  nameserver) program=./mqnamesrv ;;
  broker) program=./mqbroker ;;
  controller) program=./mqcontroller ;;
  *) exec "$@" ;;
esac
[ "${1:-}" = "${NODE_ROLE:-${1:-}}" ] && shift
exec "$program" "$@"
