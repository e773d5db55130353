#!/usr/bin/env python3
"""Cuts runs short at random moments, by Ctrl-C and by SIGKILL, and looks at what is left.

    scripts/interrupts.py [MQPROOF] [MOMENTS] [SEED]      default: target/release/mqproof 50 1

Each moment must leave readable journals, no process after one second, and no check that says `not_observed` of a run
that was cut short. Exit status 1 at the first that does not; its directory is kept.
"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time

SCENARIO = "scenarios/smoke/acked-survives-leader-kill.yaml"


def state(pid):
    """State and parent of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            words = file.read().rsplit(") ", 1)[1].split()
        return words[0], int(words[1])
    except (OSError, IndexError):
        return None


def children(parent):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if (state(pid) or ("", 0))[1] == parent]


def trouble(mqproof, parent, name, moment):
    """Cuts one run short; what is wrong with what is left, if anything."""
    out = os.path.join(parent, "run")
    run = subprocess.Popen([mqproof, "run", SCENARIO, "--seed", "1", "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(moment)
    brood = children(run.pid)
    run.send_signal(name)
    status = run.wait()
    until = time.time() + 1
    while any((state(pid) or ("Z", 0))[0] not in "ZX" for pid in brood):
        if time.time() > until:
            return "a process survived one second"
        time.sleep(0.02)
    if name == signal.SIGINT and status not in (0, 1, 2):
        return f"exit status {status} after Ctrl-C"
    if not os.path.exists(os.path.join(out, "run.json")) or not os.listdir(os.path.join(out, "cells")):
        return None  # Nothing had begun.
    check = subprocess.run([mqproof, "check", out, "--json"], capture_output=True, text=True)
    if check.returncode not in (0, 1, 2):
        return f"check ends with status {check.returncode}: {check.stderr.strip()}"
    report = json.loads(check.stdout)
    if not report["run"]["interrupted"] and status == 0:
        return None  # It was over before.
    for cell in report["results"]:
        for one in cell["checks"]:
            if one["verdict"] == "not_observed" and cell["verdict"] != "violated":
                return f"`{one['property']}` is said to be not observed in a run that was cut short"
    return None


def main():
    mqproof = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/mqproof")
    moments = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    for name in (signal.SIGINT, signal.SIGKILL):
        for number in range(moments):
            parent = tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp"))
            moment = chance.uniform(0.05, 5.0)
            why = trouble(mqproof, parent, name, moment)
            if why:
                sys.exit(f"error: {name.name} after {moment:.2f} s: {why}; see {parent}")
            shutil.rmtree(parent)
        print(f"{name.name}: {moments} of {moments} moments left nothing behind", flush=True)


main()
