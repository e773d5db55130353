#!/usr/bin/env python3
"""librdkafka's own test suite against a cluster of the reference broker, and the ledger of what it says.

    scripts/conformance.py [--tests 0001,0004] [--subset] [--on HOST:PORT] [--ledger docs/kafka-conformance.md]

The sources of the suite ship with the crate `rdkafka-sys`; they are copied to target/conformance and built once. Three brokers
and a controller are started on loopback (`--on` takes a cluster that is there, Apache Kafka say), and each test runs as a process of
its own, one after another. What is skipped, and what fails, needs a reason in scripts/conformance/reasons.toml.

`--subset` takes the tests that reasons.toml lists as `subset`: what is run with every change. `--ledger` writes the table.
REFERENCE_BROKER names the binary (default: target/release/reference-broker).
Exit status: 0 if nothing failed without a reason, and nothing passed that has one; 1 otherwise; 2 if the suite could not be run.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
REASONS = ROOT / "scripts/conformance/reasons.toml"
BUILD = ROOT / "target/conformance"
# A test that hangs is a failure; the slowest takes three minutes on two cores.
TEST_SECONDS = 400
READY_SECONDS = 20
# What the suite may expect of the broker.
BROKER_VERSION = "4.0.0"
# The suite's names of the two kinds of cluster that its tests run on.
DEFAULT, NO_AUTO_CREATE = "default", "noautocreate"
# Reasons of tests that are not counted in the share that passes.
OUT_OF_SCOPE = ("acl", "java")
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def stop(why):
    print(why, file=sys.stderr)
    sys.exit(2)


def sources():
    """The directory of librdkafka in the crate that the workspace builds with, and its version."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT, check=True, capture_output=True
    )
    for package in json.loads(metadata.stdout)["packages"]:
        if package["name"] == "rdkafka-sys":
            return pathlib.Path(package["manifest_path"]).parent / "librdkafka", package["version"]
    stop("the workspace has no crate `rdkafka-sys`")


def build():
    """The test runner, built once per version."""
    origin, version = sources()
    place = BUILD / f"librdkafka-{version}"
    runner = place / "tests/test-runner"
    if runner.exists():
        return runner, version
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(origin, place)
    log = BUILD / "build.log"
    commands = [
        ["./configure", "--disable-gssapi", "--disable-curl"],
        ["make", "-j2", "libs"],
        ["make", "-C", "tests", "-j2", "test-runner", "interceptor_test"],
    ]
    with log.open("w") as out:
        for command in commands:
            if subprocess.run(command, cwd=place, stdout=out, stderr=out, check=False).returncode:
                stop(f"`{' '.join(command)}` failed; see {log}")
    return runner, version


def tests_of(runner):
    """Names of the tests that need a broker, by the scenario and number that they run under, in the order of the suite."""
    source = (runner.parent / "test.c").read_text()
    table = source[source.index("struct test tests[] = {") :]
    tests = {}
    for entry in table[: table.index("};")].split("_TEST(")[1:]:
        name, flags = re.match(r"\s*(\d{4}_\w+),\s*([^,)]+)", entry).groups()
        if "TEST_F_LOCAL" in flags or "TEST_F_MANUAL" in flags:
            continue
        scenario = re.search(r'\.scenario = "(\w+)"', entry)
        tests.setdefault((scenario[1] if scenario else DEFAULT, name[:4]), []).append(name)
    return tests


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def cluster(scenario):
    """A controller and three brokers; yields the addresses of the brokers."""
    binary = pathlib.Path(os.environ.get("REFERENCE_BROKER", ROOT / "target/release/reference-broker")).resolve()
    if not binary.exists():
        stop(f"`{binary}` is not there\nhint: cargo build --release -p reference-broker")
    quorum, *ports = free_ports(4)
    nodes = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        place = pathlib.Path(directory)

        def start(node, settings):
            config = place / f"{node}.toml"
            config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
            log = (place / f"{node}.log").open("w")
            command = [binary, "--config", config, "--data", place / str(node), "--set", f"node.id={node}"]
            nodes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

        voters = [f"100@127.0.0.1:{quorum}"]
        common = {
            "controller.quorum.voters": voters,
            "default.replication.factor": 3,
            "num.partitions": 4,
            "auto.create.topics.enable": scenario != NO_AUTO_CREATE,
            # The suite keeps two cores busy, and says nothing of how fast failures are noticed.
            "broker.session.timeout.ms": 9000,
            "broker.heartbeat.interval.ms": 500,
            "replica.lag.time.max.ms": 30000,
            # Kafka's default; a test expects two members in the first generation.
            "group.initial.rebalance.delay.ms": 3000,
        }
        try:
            start(100, common | {"process.roles": "controller", "listener.internal": f"127.0.0.1:{quorum}"})
            for node, port in enumerate(ports, start=1):
                start(node, common | {"process.roles": "broker", "listener.client": f"127.0.0.1:{port}"})
            until = time.monotonic() + READY_SECONDS
            for port in ports:
                while not is_open(port):
                    if time.monotonic() > until or any(node.poll() is not None for node in nodes):
                        logs = "".join(path.read_text()[-2000:] for path in place.glob("*.log"))
                        stop(f"the cluster is not ready:\n{logs}")
                    time.sleep(0.1)
            yield ",".join(f"127.0.0.1:{port}" for port in ports)
            for number, node in enumerate(nodes):
                if node.poll() is not None:
                    logs = "".join(path.read_text()[-3000:] for path in place.glob("*.log"))
                    stop(f"node {number} ended with {node.returncode} meanwhile:\n{logs}")
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                try:
                    node.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    node.kill()
                    node.wait()


def is_open(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def run(runner, scenario, number, address, logs):
    """What became of the tests of a number: name → (state, what the suite said, seconds)."""
    stem = number if scenario == DEFAULT else f"{number}-{scenario}"
    report, log = logs / f"{stem}.json", logs / f"{stem}.log"
    conf = logs / "test.conf"
    conf.write_text(f"metadata.broker.list={address}\ntest.timeout.multiplier=2\ntest.topic.random=true\n")
    report.unlink(missing_ok=True)
    environment = os.environ | {"TESTS": number, "TEST_REPORT": str(report), "RDKAFKA_TEST_CONF": str(conf)}
    environment["LD_LIBRARY_PATH"] = f"{runner.parent}/../src:{runner.parent}/../src-cpp"
    began = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            [runner, "-p1", "-L", "-r", "-V", BROKER_VERSION, "-s", scenario],
            cwd=runner.parent,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            process.wait(timeout=TEST_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - began
    text = log.read_text(errors="replace")
    try:
        told = json.loads(report.read_text())["tests"]
    except (OSError, ValueError):
        told = {}
    states = {"PASSED": PASSED, "FAILED": FAILED, "SKIPPED": SKIPPED}
    said = last_words(text)
    return lambda name: (
        states.get(told.get(name, {}).get("state"), FAILED),
        said.get(name) or said.get("") or ("" if process.returncode == 0 else f"ended with {process.returncode}"),
        told.get(name, {}).get("duration", seconds),
    )


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


def judge(results, reasons):
    """Lines of what is not as the reasons say."""
    wrong = []
    for name, (state, said, _) in results.items():
        reason = reasons.get(name)
        if state == FAILED and not (reason and reason["state"] == FAILED):
            wrong.append(f"{name} failed without a reason: {said}")
        elif state == SKIPPED and not (reason and reason["state"] == SKIPPED):
            wrong.append(f"{name} was skipped without a reason: {said}")
        elif state == PASSED and reason:
            wrong.append(f"{name} passed, and reasons.toml says that it is {reason['state']}: {reason['why']}")
    return wrong


def ledger(results, reasons, codes, version, address):
    count = {state: sum(1 for one, *_ in results.values() if one == state) for state in (PASSED, FAILED, SKIPPED)}
    scope = [name for name in results if reasons.get(name, {}).get("code") not in OUT_OF_SCOPE]
    passed = sum(1 for name in scope if results[name][0] == PASSED)
    lines = [
        "# Conformance to the Kafka protocol",
        "",
        f"What librdkafka's own test suite (of `rdkafka-sys` {version}) says of a cluster of three reference brokers, test by test, "
        "without the tests that need no broker. Written by `scripts/conformance.py --ledger docs/kafka-conformance.md`; "
        "reasons stand in `scripts/conformance/reasons.toml`.",
        "",
        f"{count[PASSED]} passed, {count[FAILED]} failed, {count[SKIPPED]} skipped. Of the {len(scope)} that need neither access control "
        f"lists nor a Java tool, {passed} passed ({100 * passed // max(1, len(scope))} %).",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| `{code}` | {meaning} |" for code, meaning in codes.items()),
        "",
        "| test | result | reason |",
        "|---|---|---|",
    ]
    for name, (state, _, _) in sorted(results.items()):
        reason = reasons.get(name)
        why = f"`{reason['code']}` {reason['why']}" if reason and state != PASSED else ""
        lines.append(f"| {name} | {state} | {why} |")
    return "\n".join(lines) + "\n"


def main():
    about, _, _ = __doc__.partition("\n")
    options = argparse.ArgumentParser(description=about)
    options.add_argument("--tests", default="", help="numbers, comma-separated")
    options.add_argument("--subset", action="store_true")
    options.add_argument("--on", help="addresses of a cluster that is there")
    options.add_argument("--ledger", type=pathlib.Path)
    options.add_argument("--logs", type=pathlib.Path, default=BUILD / "logs")
    options = options.parse_args()
    known = tomllib.loads(REASONS.read_text())
    reasons = {one["test"]: one for one in known.get("reason", [])}
    runner, version = build()
    wanted = tests_of(runner)
    if options.tests or options.subset:
        numbers = options.tests.split(",") if options.tests else known["subset"]
        wanted = {(scenario, number): names for (scenario, number), names in wanted.items() if number in numbers}
    options.logs.mkdir(parents=True, exist_ok=True)
    logs = options.logs.resolve()
    results = {}
    for scenario in sorted({scenario for scenario, _ in wanted}):
        with contextlib.nullcontext(options.on) if options.on else cluster(scenario) as address:
            for number in [number for of, number in wanted if of == scenario]:
                names = wanted[scenario, number]
                if all(reasons.get(name, {}).get("run") is False for name in names):
                    results |= {name: (reasons[name]["state"], reasons[name]["why"], 0.0) for name in names}
                    continue
                found = run(runner, scenario, number, address, logs)
                for name in names:
                    results[name] = found(name)
                    state, said, seconds = results[name]
                    print(f"{name:45} {state:8} {seconds:6.1f} s  {'' if state == PASSED else said[:100]}", flush=True)
    if options.ledger:
        options.ledger.write_text(ledger(results, reasons, known["codes"], version, options.on))
    wrong = judge(results, reasons)
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
