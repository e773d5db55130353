#!/usr/bin/env bash
# Runs scenarios under many seeds: each run must end with exit status 0, leave no process of its own behind, and write
# nowhere but into its run directory. Stops at the first that does not, and keeps its run directory.
#
#   scripts/seeds.sh [SEEDS] [FIRST] [PATH…]      default: 50 seeds from 1, scenarios/smoke
#
# MQPROOF names the binary (default: target/release/mqproof). Exit status 1 at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-50}
first=${2:-1}
if [ $# -gt 2 ]; then shift 2; else set -- scenarios/smoke; fi
mqproof=$(realpath "${MQPROOF:-target/release/mqproof}")
work=$(mktemp -d)
begun=$SECONDS

# What a run could write by mistake: the tree it was started in, and the directory of temporary files, which is its own.
tree() { git status --porcelain --ignored; find "$work/tmp" -mindepth 1; }

# Children are told by an environment variable that only they inherit.
left_over() { grep -lzsx "MQPROOF_SEEDS=$work" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

fail() {
  echo "seed $seed: $1; kept: $work/run" >&2
  exit 1
}

mkdir "$work/tmp"
for ((seed = first; seed < first + seeds; seed++)); do
  before=$(tree)
  status=0
  MQPROOF_SEEDS=$work TMPDIR=$work/tmp "$mqproof" run "$@" --seed "$seed" --out "$work/run" >"$work/log" 2>&1 || status=$?
  cp "$work/log" "$work/run/terminal.log" 2>/dev/null || cat "$work/log" >&2
  [ "$status" = 0 ] || fail "exit status $status"
  for ((tenths = 0; tenths < 10; tenths++)); do
    [ -n "$(left_over)" ] || break
    sleep 0.1
  done
  [ -z "$(left_over)" ] || fail "processes left: $(left_over | xargs)"
  [ "$(tree)" = "$before" ] || fail "files outside of the run directory: $(diff <(echo "$before") <(tree) | grep '^>' || true)"
  rm -r "$work/run"
done
rm -r "$work"
echo "$seeds seeds from $first, $*: exit status 0 in all, no process left, no file outside the run directory, $((SECONDS - begun)) s"
