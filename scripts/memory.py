#!/usr/bin/env python3
"""Peak anonymous memory of harness and clients at two lengths of the same load, judging included.

    scripts/memory.py [MQPROOF] [SHORT] [LONG]      default: target/release/mqproof 2000000 20000000

Exit status 1 if the longer run takes more than 1.2 times the memory of the shorter one, or more than 512 MiB.
"""
import json, os, subprocess, sys, tempfile, time

SCENARIO = "scenarios/capacity/one-producer-one-consumer.yaml"


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            direct = [int(child) for child in file.read().split()]
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                direct += [int(child) for child in file.read().split()]
        return set(direct)
    except OSError:
        return set()


def anonymous_kib(pid):
    """Anonymous memory of a process, unless it is a broker."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"broker" in file.read().split(b"\0")[1:2]:
                return 0
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
    except OSError:
        return 0


def peak(mqproof, messages):
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as parent:
        out = os.path.join(parent, "run")
        command = [mqproof, "run", SCENARIO, "--seed", "1", "--out", out, "--set", f"producers.writer.total={messages}",
                   "--set", "producers.writer.for=600s"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        most = 0
        while run.poll() is None:
            most = max(most, anonymous_kib(run.pid) + sum(anonymous_kib(child) for child in children(run.pid)))
            time.sleep(0.05)
        if run.returncode != 0:
            sys.exit(f"error: the run ended with status {run.returncode}")
        with open(os.path.join(out, "verdict.json")) as file:
            metrics = json.load(file)["results"][0]["metrics"]
        print(f"{messages:>12,} messages  {most / 1024:7.1f} MiB  {metrics['throughput_per_s']:,.0f} messages/s  {metrics['delivered']:,} delivered", flush=True)
        return most


def main():
    mqproof = sys.argv[1] if len(sys.argv) > 1 else "target/release/mqproof"
    short, long = (int(text) for text in (sys.argv[2:4] or ["2000000", "20000000"]))
    small, large = peak(mqproof, short), peak(mqproof, long)
    print(f"ratio {large / small:.2f} (at most 1.20), {large / 1024:.1f} MiB (at most 512)")
    sys.exit(0 if large <= 1.2 * small and large <= 512 * 1024 else 1)


main()
