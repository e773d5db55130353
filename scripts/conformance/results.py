"""What became of the tests, kept from run to run: a suite that takes an hour need not run for the ledger's sake."""

import dataclasses
import datetime
import json
import subprocess

from conformance.paths import RESULTS, ROOT

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclasses.dataclass(frozen=True)
class Result:
    test: str
    state: str
    # What the suite said of it; nothing if it passed.
    said: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Kept(Result):
    # Of the suite.
    version: str
    # Of the checkout.
    commit: str
    date: str


def kept(suite):
    """The results of a suite by test."""
    try:
        entries = json.loads((RESULTS / f"{suite}.json").read_text())
    except FileNotFoundError:
        entries = []
    return {entry["test"]: Kept(**entry) for entry in entries}


def keep(suite, version, results):
    """Puts results in the place of those that the same tests had."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    date = datetime.date.today().isoformat()
    entries = kept(suite)
    for result in results:
        entries[result.test] = Kept(**vars(result), version=version, commit=commit, date=date)
    RESULTS.mkdir(parents=True, exist_ok=True)
    file = RESULTS / f"{suite}.json"
    file.write_text(json.dumps([vars(entries[test]) for test in sorted(entries)], indent=1) + "\n")
