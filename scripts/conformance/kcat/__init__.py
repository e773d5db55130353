"""Checks of ours that drive kcat, the command-line client, and compare what it prints."""

import contextlib
import functools
import re
import shutil
import subprocess
import time
import traceback
import uuid

from conformance.cluster import cluster
from conformance.kcat.checks import CHECKS
from conformance.kcat.client import Client, Mismatch
from conformance.paths import stop
from conformance.results import FAILED, PASSED, Result

name = "kcat"
about = "Checks of what kcat, the command-line client, prints, on three brokers (`scripts/conformance/kcat/checks.py`)."

# Members that come and go one after another need not wait for each other.
SETTINGS = {"group.initial.rebalance.delay.ms": 100}


@functools.cache
def version():
    if not shutil.which("kcat"):
        stop("`kcat` is not there\nhint: apt-get install kcat")
    said = subprocess.run(["kcat", "-V"], check=True, capture_output=True, text=True).stdout
    return re.search(r"Version (\S+)", said)[1]


def tests():
    return list(CHECKS)


def run(wanted, on, logs):
    version()
    with contextlib.nullcontext(on) if on else cluster(lambda _: SETTINGS) as address:
        for test in wanted:
            with (logs / f"{test}.log").open("w", errors="surrogateescape") as log:
                yield run_check(test, Client(address, log))


def run_check(test, client):
    began = time.monotonic()
    state, said = PASSED, ""
    try:
        topic = f"{test}-{uuid.uuid4().hex[:8]}"
        client.create(topic)
        CHECKS[test](client, topic)
    except (Mismatch, subprocess.TimeoutExpired) as error:
        state, said = FAILED, str(error)
        traceback.print_exc(file=client.log)
    return Result(test, state, said, time.monotonic() - began)
