"""librdkafka's own test suite, whose sources ship with the crate `rdkafka-sys`.

They are copied to target/conformance and built once per version, for which OpenSSL and RapidJSON (`libssl-dev`, `rapidjson-dev`)
have to be there. Each number of the suite runs as a process of its own.
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
from conformance.setups import DEFAULT, SETUPS, setup_of

name = "librdkafka"
about = "librdkafka's own test suite, from the crate `rdkafka-sys`, on three brokers, without the tests that need none."

# A test that hangs is a failure; the slowest, of what a group does when much changes, waits for eleven minutes.
TEST_SECONDS = 900
# What the suite may expect of the broker.
BROKER_VERSION = "4.0.0"
STATES = {"PASSED": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}


def version():
    return crate("rdkafka-sys")[1]


def tests():
    return [name for names in by_number().values() for name in names]


@functools.cache
def by_number():
    """Names of the tests that need a broker, by the cluster and number that they run under, in the order of the suite."""
    source = (crate("rdkafka-sys")[0] / "librdkafka/tests/test.c").read_text()
    table = source[source.index("struct test tests[] = {") :]
    numbers = {}
    for entry in table[: table.index("};")].split("_TEST(")[1:]:
        name, flags = re.match(r"\s*(\d{4}_\w+),\s*([^,)]+)", entry).groups()
        if "TEST_F_LOCAL" in flags or "TEST_F_MANUAL" in flags:
            continue
        scenario = re.search(r'\.scenario = "(\w+)"', entry)
        number = name[:4]
        numbers.setdefault((setup_of(scenario[1] if scenario else DEFAULT, number), number), []).append(name)
    return numbers


def build():
    """The test runner."""
    place = BUILD / f"librdkafka-{version()}"
    runner = place / "tests/test-runner"
    if runner.exists():
        return runner
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(crate("rdkafka-sys")[0] / "librdkafka", place)
    log = BUILD / "librdkafka.log"
    commands = [
        ["./configure", "--disable-gssapi", "--disable-curl"],
        ["make", "-j2", "libs"],
        ["make", "-C", "tests", "-j2", "test-runner", "interceptor_test"],
    ]
    with log.open("w") as out:
        for command in commands:
            if subprocess.run(command, cwd=place, stdout=out, stderr=out, check=False).returncode:
                stop(f"`{' '.join(command)}` failed; see {log}")
    return runner


def run(wanted, on, logs):
    runner = build()
    numbers = {key: names for key, names in by_number().items() if set(names) & set(wanted)}
    for setup in sorted({setup for setup, _ in numbers}):
        with contextlib.nullcontext(on) if on else cluster(SETUPS[setup].settings) as address:
            every = f"metadata.broker.list={address}\ntest.timeout.multiplier=2\ntest.topic.random=true\n"
            (logs / "test.conf").write_text(every if on else every + SETUPS[setup].conf)
            for (of, number), names in numbers.items():
                if of == setup:
                    found = run_number(runner, setup, number, logs)
                    yield from (found(name) for name in names if name in wanted)


def run_number(runner, setup, number, logs):
    """What became of the tests of a number."""
    stem = number if setup == DEFAULT else f"{number}-{setup}"
    report, log = logs / f"{stem}.json", logs / f"{stem}.log"
    report.unlink(missing_ok=True)
    environment = os.environ | {"TESTS": number, "TEST_REPORT": str(report), "RDKAFKA_TEST_CONF": str(logs / "test.conf")}
    environment["LD_LIBRARY_PATH"] = f"{runner.parent}/../src:{runner.parent}/../src-cpp"
    began = time.monotonic()
    command = [runner, "-p1", "-L", "-r", "-V", BROKER_VERSION, "-s", SETUPS[setup].scenario]
    status = process.run(command, log, TEST_SECONDS, cwd=runner.parent, env=environment)
    seconds = time.monotonic() - began
    said = last_words(log.read_text(errors="replace"))
    try:
        told = json.loads(report.read_text())["tests"]
    except (OSError, ValueError):
        told = {}

    def found(name):
        state = STATES.get(told.get(name, {}).get("state"), FAILED)
        words = said.get(name) or said.get("") or ("" if status == 0 else f"ended with {status}")
        return Result(name, state, "" if state == PASSED else words, told.get(name, {}).get("duration", seconds))

    return found


def last_words(text):
    """The reason that the suite gives in its summary, by test; under "" the last failure that it shouted."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    words = {}
    for name, reason in re.findall(r"^\|\s*(\d{4}_\w+)\s*\|\s*(?:FAILED|SKIPPED)\s*\|[^|]*\|\s*(.*)$", plain, re.M):
        words[name] = reason.strip()
    shouted = re.search(r"### Test \"(?!<MAIN>)[^\n]*failed at (\S+).*###\s*\n+(.+)", plain)
    if shouted:
        place, what = shouted.groups()
        words[""] = f"{place.removesuffix('()')}: {what.strip()}"
    return words
