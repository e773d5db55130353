"""librdkafka's own test suite, whose sources ship with the crate `rdkafka-sys`.

They are copied to target/conformance and built once per version. Each number of the suite runs as a process of its own.
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

name = "librdkafka"
about = "librdkafka's own test suite, from the crate `rdkafka-sys`, without the tests that need no broker."

# A test that hangs is a failure; the slowest takes three minutes on two cores.
TEST_SECONDS = 400
# What the suite may expect of the broker.
BROKER_VERSION = "4.0.0"
# The suite's names of the two kinds of cluster that its tests run on.
DEFAULT, NO_AUTO_CREATE = "default", "noautocreate"
STATES = {"PASSED": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}


def version():
    return crate("rdkafka-sys")[1]


def tests():
    return [name for names in by_number().values() for name in names]


@functools.cache
def by_number():
    """Names of the tests that need a broker, by the scenario and number that they run under, in the order of the suite."""
    source = (crate("rdkafka-sys")[0] / "librdkafka/tests/test.c").read_text()
    table = source[source.index("struct test tests[] = {") :]
    numbers = {}
    for entry in table[: table.index("};")].split("_TEST(")[1:]:
        name, flags = re.match(r"\s*(\d{4}_\w+),\s*([^,)]+)", entry).groups()
        if "TEST_F_LOCAL" in flags or "TEST_F_MANUAL" in flags:
            continue
        scenario = re.search(r'\.scenario = "(\w+)"', entry)
        numbers.setdefault((scenario[1] if scenario else DEFAULT, name[:4]), []).append(name)
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
    for scenario in sorted({scenario for scenario, _ in numbers}):
        settings = {"auto.create.topics.enable": scenario != NO_AUTO_CREATE}
        with contextlib.nullcontext(on) if on else cluster(lambda _, settings=settings: settings) as address:
            for (of, number), names in numbers.items():
                if of == scenario:
                    found = run_number(runner, scenario, number, address, logs)
                    yield from (found(name) for name in names if name in wanted)


def run_number(runner, scenario, number, address, logs):
    """What became of the tests of a number."""
    stem = number if scenario == DEFAULT else f"{number}-{scenario}"
    report, log = logs / f"{stem}.json", logs / f"{stem}.log"
    conf = logs / "test.conf"
    conf.write_text(f"metadata.broker.list={address}\ntest.timeout.multiplier=2\ntest.topic.random=true\n")
    report.unlink(missing_ok=True)
    environment = os.environ | {"TESTS": number, "TEST_REPORT": str(report), "RDKAFKA_TEST_CONF": str(conf)}
    environment["LD_LIBRARY_PATH"] = f"{runner.parent}/../src:{runner.parent}/../src-cpp"
    began = time.monotonic()
    command = [runner, "-p1", "-L", "-r", "-V", BROKER_VERSION, "-s", scenario]
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
