"""A cluster of the reference broker on loopback: a controller and brokers."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import time

from conformance.paths import ROOT, stop

READY_SECONDS = 20


@contextlib.contextmanager
def cluster(settings=lambda node: {}, addresses=None):
    """Yields the addresses of the brokers, those of three unless they are given by node; `settings` are a node's own."""
    binary = pathlib.Path(os.environ.get("REFERENCE_BROKER", ROOT / "target/release/reference-broker")).resolve()
    if not binary.exists():
        stop(f"`{binary}` is not there\nhint: cargo build --release -p reference-broker")
    quorum, *ports = free_ports(4)
    addresses = addresses or {node: f"127.0.0.1:{port}" for node, port in enumerate(ports, start=1)}
    for address in filter(is_open, addresses.values()):
        stop(f"`{address}` is taken")
    nodes = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        place = pathlib.Path(directory)

        def start(node, own):
            config = place / f"{node}.toml"
            every = common(quorum) | own | settings(node)
            config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in every.items()))
            log = (place / f"{node}.log").open("w")
            # Does not outlive this script, whatever ends it.
            command = ["setpriv", "--pdeathsig", "KILL", binary, "--config", config, "--data", place / str(node), "--set", f"node.id={node}"]
            nodes.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

        def logs():
            return "".join(path.read_text()[-3000:] for path in place.glob("*.log"))

        try:
            start(100, {"process.roles": "controller", "listener.internal": f"127.0.0.1:{quorum}"})
            for node, address in addresses.items():
                start(node, {"process.roles": "broker", "listener.client": address})
            until = time.monotonic() + READY_SECONDS
            for address in addresses.values():
                while not is_open(address):
                    if time.monotonic() > until or any(node.poll() is not None for node in nodes):
                        stop(f"the cluster is not ready:\n{logs()}")
                    time.sleep(0.1)
            yield ",".join(addresses.values())
            for number, node in enumerate(nodes):
                if node.poll() is not None:
                    stop(f"node {number} ended with {node.returncode} meanwhile:\n{logs()}")
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                try:
                    node.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    node.kill()
                    node.wait()


def common(quorum):
    return {
        "controller.quorum.voters": [f"100@127.0.0.1:{quorum}"],
        "default.replication.factor": 3,
        "num.partitions": 4,
        # Kafka's default; a test expects two members in the first generation.
        "group.initial.rebalance.delay.ms": 3000,
    }


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def is_open(address):
    host, port = address.split(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0
