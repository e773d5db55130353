"""kcat as a function: arguments and input in, output out."""

import contextlib
import shlex
import subprocess
import time

from conformance.process import own_group

SECONDS = 30
# What every consumer does: records are checked against the sums of their batches, and the end is not waited for.
CONSUMER = ["-q", "-e", "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=50"]


class Mismatch(Exception):
    pass


def expect(what, found, wanted):
    if found != wanted:
        raise Mismatch(f"{what}: {shorten(found)} instead of {shorten(wanted)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:120]}… ({len(text)} characters)"


class Client:
    def __init__(self, address, log):
        self.address = address
        self.log = log

    def run(self, *arguments, text="", status=0):
        """What kcat prints, and what it says beside that."""
        with self.start(*arguments) as process:
            out, said = process.communicate(text.encode(), timeout=SECONDS)
        out, said = (stream.decode(errors="surrogateescape") for stream in (out, said))
        self.log.write(f"{out[:2000]}{said}")
        expect(f"exit status of `{shlex.join(arguments)}`", process.returncode, status)
        return out, said

    @contextlib.contextmanager
    def start(self, *arguments):
        self.log.write(f"$ kcat {shlex.join(arguments)}\n")
        pipe = subprocess.PIPE
        command = ["kcat", "-b", self.address, *arguments]
        with own_group(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
            yield process

    def create(self, topic):
        """Whoever asks for a topic creates it; a producer that has to waits a second before it looks again."""
        until = time.monotonic() + SECONDS
        while "leader not available" in self.run("-L", "-t", topic)[0].lower():
            if time.monotonic() > until:
                raise Mismatch(f"`{topic}` has no leaders")

    def produce(self, topic, lines, *options):
        text = "".join(f"{line}\n" for line in lines)
        return self.run("-P", "-t", topic, *options, text=text)

    def consume(self, topic, *options, form="%s"):
        """Lines of what is there, one for each record."""
        return self.run("-C", *CONSUMER, "-t", topic, "-f", f"{form}\\n", *options)[0].splitlines()

    def consume_in_group(self, group, topic, *options, form="%s"):
        """Reads as a member of a group, which commits when it leaves; `topic` may be a pattern."""
        command = ["-G", group, *CONSUMER, "-X", "auto.offset.reset=earliest", "-f", f"{form}\\n", *options, topic]
        return self.run(*command)[0].splitlines()

    def await_that(self, is_so, topic, *options):
        """Waits until what is there is as it has to be."""
        until = time.monotonic() + SECONDS
        while not is_so(found := self.consume(topic, *options)):
            if time.monotonic() > until:
                raise Mismatch(f"in the end there is {shorten(found)}")
            time.sleep(0.1)
