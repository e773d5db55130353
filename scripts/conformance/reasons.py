"""Why tests do not pass, as reasons.toml says."""

import tomllib

from conformance.paths import REASONS
from conformance.results import PASSED

# Codes of what is not counted in the share that passes.
OUT_OF_SCOPE = ("acl", "java")


class Reasons:
    def __init__(self):
        known = tomllib.loads(REASONS.read_text())
        self.codes = known["codes"]
        # Beginnings of names, by suite.
        self.subset = known["subset"]
        self._reasons = {(one.get("suite", "librdkafka"), one["test"]): one for one in known["reason"]}

    def of(self, suite, test):
        return self._reasons.get((suite, test))

    def in_scope(self, suite, test):
        reason = self.of(suite, test)
        return not reason or reason["code"] not in OUT_OF_SCOPE

    def judge(self, suite, results):
        """Lines of what is not as the reasons say."""
        for result in results:
            reason = self.of(suite, result.test)
            if result.state == PASSED and reason:
                yield f"{result.test} passed, and reasons.toml says that it is {reason['state']}: {reason['why']}"
            elif result.state != PASSED and not (reason and reason["state"] == result.state):
                yield f"{result.test} {result.state} without a reason: {result.said}"
