"""Tight loops over maps (testdata/bench), and what a user would take in gocc's place: `go build -race`, and a kernel
uprobe at every function that gocc hooks."""

import collections
import contextlib
import json
import math
import os
import pathlib
import statistics
import struct
import subprocess

from benchmarks import common

# Beside the operations, and not in their mean.
BESIDE = {"make-small"}
# Operations in a measurement and measurements in a run: short enough to fit between two turns of others.
SHORT = ["-operations", "30000", "-rounds", "300"]
# An uprobe costs some thousand times as much as the operation.
FEW = ["-operations", "10000", "-rounds", "3"]
TRACING = pathlib.Path("/sys/kernel/tracing")


def file_offset(program, vaddr):
    """Where in the file an address is (ELF-64 program headers: p_type 1 is PT_LOAD)."""
    with open(program, "rb") as file:
        header = file.read(64)
        at, size, count = *struct.unpack_from("<Q", header, 32), *struct.unpack_from("<HH", header, 54)
        file.seek(at)
        for _ in range(count):
            kind, _, offset, start, _, length = struct.unpack_from("<IIQQQQ", file.read(size))
            if kind == 1 and start <= vaddr < start + length:
                return offset + vaddr - start
    raise SystemExit(f"{program}: nothing is at {vaddr:#x}")


def change_uprobes(line):
    # Python's own way to append begins with a seek, which this file refuses.
    events = os.open(TRACING / "uprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(events, line.encode())
    finally:
        os.close(events)


@contextlib.contextmanager
def uprobes(program):
    """Counts and records every call of the functions that gocc would hook; yields why not, if the kernel or the user's
    rights are against it."""
    plan = json.loads(subprocess.run(
        [common.GOCC, "inspect", "--json", program], text=True, stdout=subprocess.PIPE, check=True,
    ).stdout)
    offsets = [file_offset(program, site["vaddr"]) for site in plan["plan"]["sites"] if site["vaddr"]]
    try:
        for offset in offsets:
            change_uprobes(f"p:gocc_bench/at_{offset:x} {program}:{offset:#x}")
        (TRACING / "events/gocc_bench/enable").write_text("1")
    except OSError as error:
        yield str(error)
        return
    try:
        yield None
    finally:
        (TRACING / "events/gocc_bench/enable").write_text("0")
        for offset in offsets:
            change_uprobes(f"-:gocc_bench/at_{offset:x}")


def run(program, environment, arguments):
    output = subprocess.run([*arguments[0], program, *arguments[1]], env=environment, capture_output=True, text=True, check=True).stdout
    return {name: float(ns) for name, ns in map(str.split, output.splitlines())}


def measure(version, modes, rounds, place, rings, minima):
    """Nanoseconds by line and variant, and why there are no uprobes if so."""
    typical = min if minima else statistics.median
    plain, race = common.fixture("bench", version), common.fixture("bench", version, "race")
    programs = {common.UNPATCHED: plain, "-race": race}
    patched = common.patch(plain, place)
    arguments = (["taskset", "-c", "0,1"], SHORT) if minima else ([], [])
    times = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(rounds):
        for variant in [common.UNPATCHED, *modes, "-race"]:
            measured = run(programs.get(variant, patched), common.environment(variant, rings), arguments)
            common.forget(rings)
            for name, ns in measured.items():
                times[name][variant].append(ns)
    results = {name: {v: typical(ns) for v, ns in by.items()} for name, by in times.items()}
    with uprobes(plain) as missing:
        if missing is None:
            for name, ns in run(plain, None, ([], FEW)).items():
                results[name]["uprobe"] = ns
    return results, missing


def means(results, variants):
    """Geometric means of the ratios."""
    found = {common.UNPATCHED: 1.0}
    for variant in variants:
        ratios = [by[variant] / by[common.UNPATCHED] for name, by in results.items() if name not in BESIDE]
        found[variant] = math.exp(statistics.fmean(map(math.log, ratios)))
    return found
