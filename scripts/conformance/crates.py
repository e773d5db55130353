"""The sources of a crate that the workspace builds with."""

import functools
import json
import pathlib
import subprocess

from conformance.paths import ROOT, stop


@functools.cache
def packages():
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT, check=True, capture_output=True
    )
    return json.loads(metadata.stdout)["packages"]


def crate(name):
    """The directory and the version of a crate."""
    for package in packages():
        if package["name"] == name:
            return pathlib.Path(package["manifest_path"]).parent, package["version"]
    stop(f"the workspace has no crate `{name}`")
