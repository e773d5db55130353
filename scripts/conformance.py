#!/usr/bin/env python3
"""Test suites of Kafka's clients against a cluster of the reference broker, and the ledger of what they say.

    scripts/conformance.py [--suite NAME] [--tests 0001,0004] [--subset] [--on HOST:PORT] [--ledger docs/kafka-conformance.md]

The suites are librdkafka's own (its sources ship with the crate `rdkafka-sys`), that of the crate `rdkafka`, and checks of ours
that drive the command-line client kcat. Brokers and a controller are started on loopback (`--on` takes a cluster that is
there, Apache Kafka say), and each test runs as a process of its own, one after another. What is skipped, and what fails, needs a
reason in scripts/conformance/reasons.toml.

`--suite` takes one of the suites and may be repeated. `--tests` takes the tests whose names begin so, `--subset` those that
reasons.toml lists as `subset`: what is run with every change. What is said of each test is kept in target/conformance/results
(not of a cluster that was there), and `--ledger` writes the table of all suites from it.
REFERENCE_BROKER names the binary (default: target/release/reference-broker).
Exit status: 0 if nothing failed without a reason, and nothing passed that has one; 1 otherwise; 2 if a suite could not be run, or
the ledger lacks tests that were never run.
"""

import argparse
import pathlib
import signal
import sys

from conformance import kcat, ledger, librdkafka, rust_rdkafka
from conformance.paths import BUILD, stop
from conformance.reasons import Reasons
from conformance.results import PASSED, Result, keep

SUITES = {suite.name: suite for suite in (librdkafka, rust_rdkafka, kcat)}


def parse():
    about, _, _ = __doc__.partition("\n")
    options = argparse.ArgumentParser(description=about)
    options.add_argument("--suite", action="append", choices=SUITES)
    options.add_argument("--tests", default="", help="beginnings of names, comma-separated")
    options.add_argument("--subset", action="store_true")
    options.add_argument("--on", help="addresses of a cluster that is there")
    options.add_argument("--ledger", type=pathlib.Path)
    options.add_argument("--logs", type=pathlib.Path, default=BUILD / "logs")
    parsed = options.parse_args()
    if parsed.on and parsed.ledger:
        options.error("--on and --ledger are mutually exclusive: the ledger is the reference broker's")
    return parsed


def choose(options, reasons):
    """The tests to run, by suite."""
    chosen = {}
    for suite in [SUITES[name] for name in options.suite or SUITES]:
        if options.tests:
            beginnings = tuple(options.tests.split(","))
        else:
            beginnings = tuple(reasons.subset.get(suite.name, [])) if options.subset else ("",)
        tests = [test for test in suite.tests() if test.startswith(beginnings)] if beginnings else []
        if tests:
            chosen[suite] = tests
    return chosen


def run(suite, tests, reasons, options):
    """Runs tests and says what became of each."""
    logs = options.logs.resolve() / suite.name
    logs.mkdir(parents=True, exist_ok=True)
    untried = {test: reason for test in tests if (reason := reasons.of(suite.name, test)) and reason.get("run") is False}
    results = [Result(test, reason["state"], reason["why"], 0.0) for test, reason in untried.items()]
    tried = [test for test in tests if test not in untried]
    try:
        for result in suite.run(tried, options.on, logs) if tried else ():
            results.append(result)
            said = "" if result.state == PASSED else result.said[:100]
            print(f"{result.test:45} {result.state:8} {result.seconds:6.1f} s  {said}", flush=True)
    finally:
        if not options.on:
            keep(suite.name, suite.version(), results)
    return results


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    reasons = Reasons()
    chosen = choose(options, reasons)
    if not chosen:
        stop("no test is named so")
    wrong = []
    for suite, tests in chosen.items():
        wrong += reasons.judge(suite.name, run(suite, tests, reasons, options))
    if options.ledger:
        options.ledger.write_text(ledger.page(SUITES.values(), reasons))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
