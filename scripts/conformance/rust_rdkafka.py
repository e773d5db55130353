"""The tests of the crate `rdkafka`, which its sources bring along.

They are copied to target/conformance and built there, with the versions that the crate was released with. Each test runs as a
process of its own.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import time

from conformance import process
from conformance.cluster import cluster
from conformance.crates import crate
from conformance.paths import BUILD, stop
from conformance.results import FAILED, PASSED, SKIPPED, Result

name = "rust-rdkafka"
about = "The tests of the crate `rdkafka`, the binding of librdkafka to Rust, on one broker."

# A test that hangs is a failure.
TEST_SECONDS = 120
# What the tests may expect of the broker.
BROKER_VERSION = "4.0.0"
# The tests expect one broker of this number at this address, as their own compose file starts it.
ADDRESSES = {0: "127.0.0.1:9092"}
SETTINGS = {
    "num.partitions": 3,
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    # Kafka's default; a test writes records of 1970 and reads them before they are deleted for their age.
    "log.retention.check.interval.ms": 300000,
}
STATES = {"ok": PASSED, "FAILED": FAILED, "ignored": SKIPPED}


def version():
    return crate("rdkafka")[1]


@functools.cache
def tests():
    """Names as FILE::FUNCTION, from the sources."""
    attribute = r"^ *#\[(?:tokio::)?test\b.*\]\n(?: *#\[.*\]\n)*"
    return [
        f"{file.stem}::{function}"
        for file in sorted((crate("rdkafka")[0] / "tests").glob("*.rs"))
        for function in re.findall(attribute + r" *(?:async )?fn (\w+)", file.read_text(), re.M)
    ]


def build():
    """The executable of each file of tests."""
    place = BUILD / f"rdkafka-{version()}"
    if not place.exists():
        shutil.copytree(crate("rdkafka")[0], place)
        # It lies in a workspace that it is not of.
        with (place / "Cargo.toml").open("a") as manifest:
            manifest.write("\n[workspace]\n")
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD / "rdkafka-target"), "CARGO_INCREMENTAL": "0"}
    log = BUILD / "rdkafka.log"
    command = ["cargo", "test", "--no-run", "--locked", "--tests", "--message-format", "json-render-diagnostics"]
    with log.open("w") as said:
        built = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=said, check=False)
    if built.returncode:
        stop(f"`{' '.join(command)}` failed; see {log}")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return {one["target"]["name"]: one["executable"] for one in messages if one.get("executable")}


def run(wanted, on, logs):
    executables = build()
    with contextlib.nullcontext(on) if on else cluster(lambda _: SETTINGS, ADDRESSES) as address:
        environment = os.environ | {"KAFKA_HOST": address, "KAFKA_VERSION": BROKER_VERSION, "RUST_LOG": "off"}
        for test in wanted:
            file, function = test.split("::")
            yield run_test(test, executables[file], function, logs / f"{file}-{function}.log", environment)


def run_test(test, executable, function, log, environment):
    began = time.monotonic()
    status = process.run([executable, "--exact", path(executable, function)], log, TEST_SECONDS, env=environment)
    seconds = time.monotonic() - began
    text = log.read_text(errors="replace")
    told = re.search(rf"^test (?:\w+::)*{function} .*\.\.\. (?:.*\n)*?.*?(ok|FAILED|ignored)$", text, re.M)
    state = STATES[told[1]] if told and status >= 0 else FAILED
    return Result(test, state, "" if state == PASSED else last_words(text, status), seconds)


@functools.cache
def paths(executable):
    listed = subprocess.run([executable, "--list"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^(\S+): test$", listed, re.M)


def path(executable, function):
    """A test's name with the modules that it is in."""
    return next(path for path in paths(executable) if path.rpartition("::")[2] == function)


def last_words(text, status):
    """Where the test panicked, and why."""
    panicked = re.search(r"panicked at (\S+):\n(.+)", text) or re.search(r"^(Error): (.+)", text, re.M)
    return f"{panicked[1]}: {panicked[2].strip()}" if panicked else f"ended with {status}"
