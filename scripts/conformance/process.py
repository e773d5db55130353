"""A process that is bounded in time, and does not outlive whoever waits for it."""

import contextlib
import os
import signal
import subprocess


@contextlib.contextmanager
def own_group(command, **options):
    """A process with a group of its own, which is killed at the end if it is still there."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(command, log, seconds, **options):
    """Writes what a command says to a file; its exit status, negative if it was killed."""
    with log.open("w") as out, own_group(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=seconds)
    return process.returncode
