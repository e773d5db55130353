"""Where things lie, and how a run ends that could not be one."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REASONS = ROOT / "scripts/conformance/reasons.toml"
BUILD = ROOT / "target/conformance"
RESULTS = BUILD / "results"


def stop(why):
    print(why, file=sys.stderr)
    sys.exit(2)
