"""The checks, by name: each is given a client and a name for its topic, and raises what is not as it has to be."""

import contextlib
import hashlib
import json
import re
import signal
import tempfile
import time

from conformance.kcat.client import Mismatch, expect

CHECKS = {}
PARTITIONS = 4
LINES = [f"line {number}" for number in range(200)]
# A record larger than brokers take (`message.max.bytes`, 1 MiB).
LARGE = 1_500_000
COMMITTED = ["-X", "isolation.level=read_committed"]
UNCOMMITTED = ["-X", "isolation.level=read_uncommitted"]


def check(function):
    CHECKS[function.__name__] = function
    return function


# Records as they went in.


@check
def values_in_order(client, topic):
    client.produce(topic, LINES, "-p", "0")
    found = client.consume(topic, "-p", "0", form="%o %s")
    expect("records", found, [f"{offset} {line}" for offset, line in enumerate(LINES)])


@check
def keys(client, topic):
    client.produce(topic, ["a:1", "b:2", ":3"], "-p", "0", "-K", ":")
    client.produce(topic, ["4"], "-p", "0", "-k", "fixed")
    client.produce(topic, ["5"], "-p", "0")
    expect("records", client.consume(topic, form="%k %K %s"), ["a 1 1", "b 1 2", " 0 3", "fixed 5 4", " -1 5"])


@check
def headers(client, topic):
    client.produce(topic, ["value"], "-p", "0", "-H", "a=1", "-H", "b=", "-H", "a=2", "-H", "none")
    expect("records", client.consume(topic, form="%h %s"), ["a=1,b=,a=2,none=NULL value"])


@check
def partitions(client, topic):
    for partition in range(PARTITIONS):
        client.produce(topic, [f"to {partition}", f"again {partition}"], "-p", str(partition))
    for partition in range(PARTITIONS):
        found = client.consume(topic, "-p", str(partition), form="%p %o %s")
        expect("records", found, [f"{partition} 0 to {partition}", f"{partition} 1 again {partition}"])
    expect("records of all", len(client.consume(topic)), 2 * PARTITIONS)


@check
def equal_keys_meet_in_a_partition(client, topic):
    client.produce(topic, [f"{number % 7}:{number}" for number in range(70)], "-K", ":")
    found = [line.split() for line in client.consume(topic, form="%k %p %s")]
    expect("partitions of the keys", len({(key, partition) for key, partition, _ in found}), 7)
    for key in map(str, range(7)):
        values = [int(value) for one, _, value in found if one == key]
        expect(f"values of key {key}", values, list(range(int(key), 70, 7)))


@check
def null_values(client, topic):
    client.produce(topic, ["dead:", "live:1"], "-p", "0", "-K", ":", "-Z")
    client.produce(topic, ["empty:"], "-p", "0", "-K", ":")
    expect("lengths", client.consume(topic, form="%k %S"), ["dead -1", "live 1", "empty 0"])
    found = [json.loads(line)["payload"] for line in client.run("-C", "-q", "-e", "-J", "-t", topic)[0].splitlines()]
    expect("values", found, [None, "1", ""])


@check
def json_envelope(client, topic):
    before = int(time.time() * 1000)
    client.produce(topic, ["key:value"], "-p", "2", "-K", ":", "-H", "a=1")
    found = json.loads(client.run("-C", "-q", "-e", "-J", "-t", topic)[0])
    if not before <= found.pop("ts") <= time.time() * 1000:
        raise Mismatch("the timestamp is not of the time of the record")
    leader = leaders(client, topic)[2]
    wanted = {"topic": topic, "partition": 2, "offset": 0, "tstype": "create", "broker": leader}
    expect("envelope", found, wanted | {"headers": ["a", "1"], "key": "key", "payload": "value"})


@check
def every_byte(client, topic):
    value = bytes(range(256)) * 4
    with tempfile.NamedTemporaryFile() as file:
        file.write(value)
        file.flush()
        client.produce(topic, [], "-p", "0", file.name)
    found = client.run("-C", "-q", "-e", "-t", topic, "-f", "%s")[0]
    expect("bytes", found.encode(errors="surrogateescape"), value)


@check
def large_record(client, topic):
    value = b"".join(hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(15_000))
    send_file(client, topic, value)
    expect("value", client.consume(topic, form="%s"), [value.decode()])


@check
def too_large_record(client, topic):
    client.produce(topic, ["before"], "-p", "0")
    said = send_file(client, topic, b"a" * LARGE, status=1)
    expect("refusal", said, "% Delivery failed for message: Broker: Message size too large\n")
    client.produce(topic, ["after"], "-p", "0")
    expect("records", client.consume(topic), ["before", "after"])


def send_file(client, topic, value, *options, status=0):
    with tempfile.NamedTemporaryFile() as file:
        file.write(value)
        file.flush()
        command = ["-P", "-t", topic, "-p", "0", "-X", f"message.max.bytes={2 * LARGE}", *options, file.name]
        return client.run(*command, status=status)[1]


# Codecs. The large record shows that a batch is stored as it was compressed: uncompressed, it is refused.


def codec(codec):
    def compressed(client, topic):
        client.produce(topic, LINES, "-p", "0", "-z", codec)
        send_file(client, topic, b"a" * LARGE, "-z", codec)
        client.produce(topic, ["plain"], "-p", "0")
        expect("records", client.consume(topic, "-p", "0"), [*LINES, "a" * LARGE, "plain"])

    compressed.__name__ = f"codec_{codec}"
    check(compressed)


for one in ("gzip", "snappy", "lz4", "zstd"):
    codec(one)


# Producers.


def acks(acks):
    def acknowledged(client, topic):
        client.produce(topic, LINES, "-p", "0", "-X", f"acks={acks}")
        client.await_that(lambda found: found == LINES, topic, "-p", "0")

    acknowledged.__name__ = f"acks_{acks}"
    check(acknowledged)


for one in ("0", "1", "all"):
    acks(one)


@check
def idempotent_producer(client, topic):
    for _ in range(2):
        client.produce(topic, LINES, "-p", "0", "-X", "enable.idempotence=true", "-X", "batch.num.messages=7")
    expect("records", client.consume(topic, "-p", "0", form="%o %s"), [f"{at} {line}" for at, line in enumerate(LINES * 2)])


@check
def transaction_committed(client, topic):
    with open_transaction(client, topic) as producer:
        client.produce(topic, ["beside"], "-p", "0")
        expect("while it is open", client.consume(topic, *COMMITTED), ["before"])
        producer.communicate(timeout=30)
        expect("exit status", producer.returncode, 0)
    client.await_that(lambda found: len(found) == len(LINES) + 2, topic, *COMMITTED)
    client.produce(topic, ["after"], "-p", "0")
    found = client.consume(topic, *COMMITTED, form="%o %s")
    # The marker takes an offset.
    expect("last", found.pop(), f"{len(LINES) + 3} after")
    values = [line.partition(" ")[2] for line in found]
    expect("records beside", values.count("beside"), 1)
    values.remove("beside")
    expect("records", values, ["before", *LINES])


@check
def transaction_left_open(client, topic):
    """It is aborted when a producer of the same name begins."""
    with open_transaction(client, topic) as producer:
        producer.kill()
        producer.communicate(timeout=30)
    expect("while it is open", client.consume(topic, *COMMITTED), ["before"])
    client.produce(topic, ["next"], "-p", "0", "-X", f"transactional.id={topic}")
    every = client.consume(topic, *UNCOMMITTED)
    sent = len(every) - 2
    expect("read uncommitted", every, ["before", *LINES[:sent], "next"])
    # The marker takes an offset.
    client.await_that(lambda found: found == ["before", "next"], topic, *COMMITTED)
    expect("read committed", client.consume(topic, *COMMITTED, form="%o %s"), ["0 before", f"{sent + 2} next"])


@contextlib.contextmanager
def open_transaction(client, topic):
    """A producer that has sent a part of the lines; it reads its input in blocks, and ends its transaction with it."""
    client.produce(topic, ["before"], "-p", "0")
    with client.start("-P", "-t", topic, "-p", "0", "-X", f"transactional.id={topic}") as producer:
        producer.stdin.write("".join(f"{line}\n" for line in LINES).encode())
        producer.stdin.flush()
        client.await_that(lambda found: len(found) > 1, topic, *UNCOMMITTED)
        yield producer


# Where to read from.


@check
def offsets(client, topic):
    client.produce(topic, LINES, "-p", "0")
    for offset, wanted in (("beginning", LINES), ("150", LINES[150:]), ("-3", LINES[-3:]), ("end", []), ("200", [])):
        expect(f"records from {offset}", client.consume(topic, "-p", "0", "-o", offset), wanted)
    expect("three records", client.consume(topic, "-p", "0", "-o", "7", "-c", "3"), LINES[7:10])


@check
def offset_out_of_range(client, topic):
    client.produce(topic, LINES, "-p", "0")
    options = ["-C", "-e", "-t", topic, "-p", "0", "-o", "201", "-X"]
    _, said = client.run(*options, "auto.offset.reset=error", status=1)
    expect("refusal", "Broker: Offset out of range" in said, True)
    expect("records", client.consume(topic, "-p", "0", "-o", "201", "-X", "auto.offset.reset=earliest"), LINES)


@check
def end_follows(client, topic):
    client.produce(topic, ["old"], "-p", "0")
    with client.start("-C", "-u", "-t", topic, "-p", "0", "-o", "end", "-f", "%o %s\\n", "-c", "2") as consumer:
        # It says so when it stands at the end.
        expect("end", consumer.stderr.readline(), f"% Reached end of topic {topic} [0] at offset 1\n".encode())
        client.produce(topic, ["new", "newer"], "-p", "0")
        out, _ = consumer.communicate(timeout=30)
    expect("records", out.decode().splitlines(), ["1 new", "2 newer"])


@check
def offsets_by_timestamp(client, topic):
    for number in range(3):
        client.produce(topic, [f"{number} first", f"{number} second"], "-p", "0")
        time.sleep(0.01)
    times = [int(line) for line in client.consume(topic, "-p", "0", form="%T")]
    asked = [(0, 0), (times[2], 2), (times[1] + 1, 2), (times[4], 4), (times[5] + 1, -1)]
    for timestamp, offset in asked:
        found = client.run("-Q", "-t", f"{topic}:0:{timestamp}")[0]
        expect(f"offset of {timestamp}", found, f"{topic} [0] offset {offset}\n")
    for timestamp, offset in asked[:-1]:
        found = client.consume(topic, "-p", "0", "-o", f"s@{timestamp}", form="%o")
        expect(f"offsets from {timestamp}", found, [str(one) for one in range(offset, 6)])
    found = client.consume(topic, "-p", "0", "-o", f"s@{times[2]}", "-o", f"e@{times[4]}", form="%o")
    expect("offsets between", found, ["2", "3"])


@check
def fetches_in_pieces(client, topic):
    client.produce(topic, LINES, "-p", "0", "-X", "batch.num.messages=5")
    small = ["-X", "fetch.message.max.bytes=100", "-X", "fetch.max.bytes=1000", "-X", "message.max.bytes=1000"]
    expect("records", client.consume(topic, "-p", "0", *small), LINES)


# Metadata.


@check
def metadata_as_text(client, topic):
    client.produce(topic, ["one"], "-p", "0")
    found = client.run("-L", "-t", topic)[0].splitlines()
    ports = sorted(line.split(":")[-1].split()[0] for line in found if line.startswith("  broker "))
    expect("ports", ports, sorted(address.split(":")[1] for address in client.address.split(",")))
    expect("controllers", sum("(controller)" in line for line in found), 1)
    expect("topic", f'  topic "{topic}" with {PARTITIONS} partitions:' in found, True)
    lines = [line for line in found if line.startswith("    partition")]
    for number, line in enumerate(lines):
        told = re.fullmatch(r"    partition (\d+), leader (\d), replicas: ([\d,]+), isrs: ([\d,]+)", line)
        expect("line of a partition", bool(told), True)
        partition, leader, replicas, isrs = told.groups()
        expect("partition", (partition, sorted(replicas.split(","))), (str(number), ["1", "2", "3"]))
        expect("in-sync replicas", sorted(isrs.split(",")), ["1", "2", "3"])
        expect("leader of an idle cluster", leader, replicas.split(",")[0])
    expect("partitions", len(lines), PARTITIONS)


@check
def metadata_as_json(client, topic):
    client.produce(topic, ["one"], "-p", "0")
    found = json.loads(client.run("-L", "-J")[0])
    expect("brokers", sorted(broker["id"] for broker in found["brokers"]), [1, 2, 3])
    expect("controller", found["controllerid"] in (1, 2, 3), True)
    partitions = [one["partitions"] for one in found["topics"] if one["topic"] == topic]
    expect("partitions", [[one["partition"] for one in many] for many in partitions], [list(range(PARTITIONS))])
    for partition in partitions[0]:
        expect("replicas", sorted(one["id"] for one in partition["replicas"]), [1, 2, 3])
        expect("leader", {"id": partition["leader"]}, partition["replicas"][0])


def leaders(client, topic):
    """The leaders of the partitions."""
    found = json.loads(client.run("-L", "-J", "-t", topic)[0])
    return [partition["leader"] for partition in found["topics"][0]["partitions"]]


@check
def unknown_partition(client, topic):
    client.produce(topic, ["one"], "-p", "0")
    _, said = client.run("-C", "-e", "-t", topic, "-p", "9", status=1)
    expect("refusal", said, f"% ERROR: Topic {topic} (with partitions 0..3): partition 9 does not exist\n")


# Groups.


@check
def group_resumes(client, topic):
    client.produce(topic, LINES, "-p", "0")
    expect("first", client.consume_in_group(topic, topic, "-c", "60"), LINES[:60])
    expect("second", client.consume_in_group(topic, topic, "-c", "40"), LINES[60:100])
    expect("rest", client.consume_in_group(topic, topic), LINES[100:])
    client.produce(topic, ["new"], "-p", "0")
    expect("new", client.consume_in_group(topic, topic), ["new"])
    expect("of another group", client.consume_in_group(f"{topic}-other", topic), [*LINES, "new"])


@check
def group_of_two(client, topic):
    """Two members share the partitions, and one takes them over when the other has left."""
    client.produce(topic, ["one"], "-p", "0")
    member = ["-G", topic, "-X", "partition.assignment.strategy=range", topic]
    with client.start(*member) as first, client.start(*member) as second:
        found = sorted([assigned(first, 2), assigned(second, 2)])
        expect("assignments", found, [[0, 1], [2, 3]])
        second.send_signal(signal.SIGINT)
        second.communicate(timeout=30)
        expect("what is left to one", assigned(first, PARTITIONS), [0, 1, 2, 3])
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=30)


def assigned(process, count):
    """The next assignment of so many partitions."""
    for line in process.stderr:
        found = line.decode().partition("assigned: ")[2]
        if found.count("[") == count:
            return sorted(int(partition) for partition in re.findall(r"\[(\d+)\]", found))
    raise Mismatch(f"no assignment of {count} partitions")


@check
def group_cooperates(client, topic):
    for partition in range(PARTITIONS):
        client.produce(topic, [f"in {partition}"], "-p", str(partition))
    cooperative = ["-X", "partition.assignment.strategy=cooperative-sticky"]
    found = client.consume_in_group(topic, topic, *cooperative)
    expect("records", sorted(found), [f"in {partition}" for partition in range(PARTITIONS)])
    expect("records after the commit", client.consume_in_group(topic, topic, *cooperative), [])


@check
def group_subscribes_by_pattern(client, topic):
    for suffix in ("a", "b"):
        client.produce(f"{topic}-{suffix}", [suffix], "-p", "0")
    client.produce(f"not-{topic}", ["c"], "-p", "0")
    found = client.consume_in_group(topic, f"^{topic}-.*", form="%t %s")
    expect("records", sorted(found), [f"{topic}-a a", f"{topic}-b b"])
