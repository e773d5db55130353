#!/usr/bin/env python3
"""The full matrix on real products: hours, in parts that are kept, so that it goes on where it was stopped.

    scripts/nightly.py DIR [--on kafka,rabbitmq,rocketmq] [--runs 20] [--controls 5] [--only PART]

For each product, on a cluster of three nodes in containers:
  scenarios   every scenario of smoke, delivery and durability, beside the reference broker
  control     what must lose, and its negative arm, which must not: `--controls` seeds of each
  strong      the strong class when a leader dies as a process and as a machine: `--runs` seeds, five to a part

Each part is a run directory under DIR. A part that came to a verdict is not run again. In the end all parts are folded into
DIR/report by `mqproof compare`. Exit status: that of the report, or 2 if a part has no verdict.
MQPROOF names the binary (default: target/release/mqproof).
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHUNK = 5
DISK = "scenarios/durability/leader-dies-with-its-disk.yaml"
PROGRESS = "scenarios/groups/progress-survives-leader-kill.yaml"
AUTOMATIC = "scenarios/delivery/auto-ack-loses-in-flight.yaml"
ALONE = "scenarios/controls/leader-alone-loses.yaml"
LOSES = ["--set", "expect.acked_loss=demonstrated"]
HOLDS = ["--set", "expect.acked_loss=never"]
# By product: a name, the arm that must lose, and the one that must not.
CONTROLS = {
    "kafka": [("alone", [ALONE, "--on", "kafka"], [ALONE, "--on", "kafka", "--set", "durability=quorum"] + HOLDS)],
    "rabbitmq": [
        (
            "automatic",
            [AUTOMATIC, "--on", "rabbitmq", "--set", "consumers.slow.settle=auto"] + LOSES,
            [AUTOMATIC, "--on", "rabbitmq", "--set", "consumers.slow.settle=after"],
        )
    ],
    "rocketmq": [
        ("alone", [ALONE, "--on", "rocketmq"], [ALONE, "--on", "rocketmq", "--set", "durability=quorum"] + HOLDS),
        (
            "classic-disk",
            [DISK, "--on", "rocketmq@classic", "--set", "durability=leader"] + LOSES,
            [DISK, "--on", "rocketmq@classic", "--set", "durability=quorum"],
        ),
        ("progress", [PROGRESS, "--on", "rocketmq"], [PROGRESS, "--on", "rocketmq@fastjson2"]),
    ],
}


def parts(product, runs, controls):
    """Names and arguments of all parts of a product."""
    yield f"{product}-scenarios", ["scenarios/smoke", "scenarios/delivery", "scenarios/durability", "--on", f"reference,{product}", "--seed", "1"]
    for control, loses, holds in CONTROLS[product]:
        seeds = ["--seed", "1", "--repeat", str(controls)]
        yield f"{product}-control-{control}", loses + seeds
        yield f"{product}-control-{control}-negative", holds + seeds
    for first in range(1, runs + 1, CHUNK):
        count = min(CHUNK, runs + 1 - first)
        seeds = ["--on", product, "--seed", str(first), "--repeat", str(count)]
        yield f"{product}-strong-{first:03}", ["scenarios/durability/leader-dies-two-ways.yaml"] + seeds


def has_verdict(directory):
    """Whether a part ran to its end, and the trouble, if any, was the product's."""
    try:
        run = json.loads((directory / "verdict.json").read_text())["run"]
    except (OSError, ValueError, KeyError):
        return False
    return not run["interrupted"] and run["exit_status"] in (0, 1, 2)


def main():
    about, _, _ = __doc__.partition("\n")
    options = argparse.ArgumentParser(description=about)
    options.add_argument("dir", type=pathlib.Path)
    options.add_argument("--on", default="kafka,rabbitmq,rocketmq")
    options.add_argument("--runs", type=int, default=20)
    options.add_argument("--controls", type=int, default=5)
    options.add_argument("--only", default="", help="parts whose names contain this")
    options = options.parse_args()
    mqproof = pathlib.Path(os.environ.get("MQPROOF", ROOT / "target/release/mqproof")).resolve()
    out = options.dir.resolve()
    out.mkdir(parents=True, exist_ok=True)
    done, open_parts = [], []
    for product in options.on.split(","):
        for name, arguments in parts(product, options.runs, options.controls):
            if options.only not in name:
                continue
            directory = out / name
            if not has_verdict(directory):
                shutil.rmtree(directory, ignore_errors=True)
                print(f"==> {name}: mqproof run {' '.join(arguments)}", flush=True)
                subprocess.run([mqproof, "run", *arguments, "--out", directory], cwd=ROOT, check=False)
            (done if has_verdict(directory) else open_parts).append(directory)
    shutil.rmtree(out / "report", ignore_errors=True)
    status = 2
    if done:
        status = subprocess.run([mqproof, "compare", *done, "--out", out / "report"], check=False).returncode
    for directory in open_parts:
        print(f"no verdict: {directory.name}", file=sys.stderr)
    return status or (2 if open_parts else 0)


if __name__ == "__main__":
    sys.exit(main())
