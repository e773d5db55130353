"""The clusters that librdkafka's tests run on; most run on the first."""

import dataclasses
import functools
import typing

from conformance.paths import BUILD

# The suite's own names of these two.
DEFAULT, NO_AUTO_CREATE = "default", "noautocreate"


@dataclasses.dataclass(frozen=True)
class Setup:
    scenario: str = DEFAULT
    # Of a node.
    settings: typing.Callable[[int], dict] = lambda _: {}
    # Of every client.
    conf: str = ""
    # Numbers of the tests that are moved here.
    numbers: tuple[str, ...] = ()


def in_racks(node):
    return {"broker.rack": f"RACK{node}", "replica.selector.class": "RackAwareReplicaSelector"}


@functools.cache
def users():
    """The file of users, which others must not read."""
    file = BUILD / "users"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text("node:peer\nalice:wonder\n")
    return str(file)


def with_logins(_):
    return {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": ["SCRAM-SHA-256"],
        "sasl.users.file": users(),
        "sasl.inter.broker.user": "node",
    }


LOGIN = """security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-256
sasl.username=alice
sasl.password=wonder
"""

SETUPS = {
    DEFAULT: Setup(),
    NO_AUTO_CREATE: Setup(NO_AUTO_CREATE, lambda _: {"auto.create.topics.enable": False}),
    "racks": Setup(settings=in_racks, numbers=("0101",)),
    "logins": Setup(settings=with_logins, conf=LOGIN, numbers=("0126", "0135", "0142")),
}


def setup_of(scenario, number):
    """The name of the cluster that a number of a scenario runs on."""
    return next((name for name, setup in SETUPS.items() if number in setup.numbers), scenario)
