"""The page that says of every test what became of it."""

import collections

from conformance.paths import stop
from conformance.results import FAILED, PASSED, SKIPPED, kept


def page(suites, reasons):
    sections = [(suite, whole(suite)) for suite in suites]
    lines = [
        "# Conformance to the Kafka protocol",
        "",
        "What the test suites of Kafka's clients say of the reference broker, test by test. Written by "
        "`scripts/conformance.py --ledger docs/kafka-conformance.md`; reasons stand in `scripts/conformance/reasons.toml`.",
        "",
        "| suite | version | passed | failed | skipped |",
        "|---|---|---|---|---|",
        *(
            f"| [{suite.name}](#{suite.name}) | {suite.version()} | " + " | ".join(map(str, counts(results))) + " |"
            for suite, results in sections
        ),
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| `{code}` | {meaning} |" for code, meaning in reasons.codes.items()),
    ]
    for suite, results in sections:
        lines += section(suite, results, reasons)
    return "\n".join(lines) + "\n"


def whole(suite):
    """What is kept of every test of a suite."""
    entries = kept(suite.name)
    results = [entries[test] for test in suite.tests() if test in entries and entries[test].version == suite.version()]
    missing = len(suite.tests()) - len(results)
    if missing:
        stop(
            f"{missing} of {len(suite.tests())} tests of {suite.name} {suite.version()} were never run\n"
            f"hint: scripts/conformance.py --suite {suite.name}"
        )
    return sorted(results, key=lambda result: result.test)


def counts(results):
    return [sum(result.state == state for result in results) for state in (PASSED, FAILED, SKIPPED)]


def section(suite, results, reasons):
    scope = [result for result in results if reasons.in_scope(suite.name, result.test)]
    passed = sum(result.state == PASSED for result in scope)
    apart = " that need neither access control lists nor a Java tool" if len(scope) < len(results) else ""
    yield from ["", f"## {suite.name}", "", f"{suite.about} {runs(results)}", ""]
    yield f"Of the {len(scope)} tests{apart}, {passed} passed ({100 * passed // max(1, len(scope))} %)."
    yield from ["", "| test | result | reason |", "|---|---|---|"]
    for result in results:
        reason = reasons.of(suite.name, result.test)
        why = f"`{reason['code']}` {reason['why']}" if reason and result.state != PASSED else ""
        yield f"| {result.test} | {result.state} | {why} |"


def runs(results):
    """At which commits, and when."""
    commits = collections.Counter((result.commit, result.date) for result in results).most_common()
    said = [f"`{commit}` on {date}" + (f" ({count} of them)" if len(commits) > 1 else "") for (commit, date), count in commits]
    return f"Run at commit {', '.join(said)}."
