"""Programs to measure, and measuring them in turn."""

import collections
import os
import pathlib
import statistics
import subprocess
import time

import fixtures
import toolchains

REPOSITORY = fixtures.REPOSITORY
UNPATCHED = "unpatched"
RELEASE = REPOSITORY / "target" / "release"
GOCC, GOCC_PATCH = RELEASE / "gocc", RELEASE / "gocc-patch"


def fixture(name, version, variant="static"):
    """The executable of a program under testdata."""
    version = toolchains.full_version(version)
    root, missing = toolchains.goroot(version)
    if root is None:
        raise SystemExit(f"Go {version} is not to be had: {missing}")
    return fixtures.build(name, version, variant, root)


def patch(program, place):
    """The program's patched copy."""
    patched = pathlib.Path(place) / f"{pathlib.Path(program).name}.instr"
    subprocess.run([GOCC_PATCH, program, "-o", patched], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return patched


def environment(mode, rings, **extra):
    """That of a patched program; an unpatched one does not look at it."""
    return dict(os.environ, GOCC=f"mode={mode} dir={rings}", **extra)


def forget(rings):
    for ring in pathlib.Path(rings).glob("*.ring"):
        ring.unlink()


def in_turn(rounds, variants, measure):
    """Medians of what `measure(variant)` returns, a dictionary of numbers, by its keys and by variant. The variants
    run in turn, round by round, so that what the machine does meanwhile meets all of them."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(rounds):
        for variant in variants:
            for key, number in measure(variant).items():
                found[key][variant].append(number)
    return {key: {v: statistics.median(numbers) for v, numbers in by.items()} for key, by in found.items()}


def timed(command, **options):
    """Runs a command to its end: wall and CPU seconds, and the most memory it had, in MB."""
    begun = time.monotonic()
    process = subprocess.Popen(command, **options)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begun
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return {"wall, s": wall, "CPU, s": usage.ru_utime + usage.ru_stime, "memory, MB": usage.ru_maxrss / 1024}


def table(title, results, variants, absolute=()):
    """Prints the unpatched program's numbers and what the others have in proportion; of rows in `absolute`, the
    difference."""
    print(f"\n{title}")
    others = [v for v in variants if v != UNPATCHED]
    print(f"| | {UNPATCHED} | {' | '.join(others)} |")
    print("|---|---|" + "---|" * len(others))
    for key, by in results.items():
        base = by[UNPATCHED]
        cells = [f"{by[v] - base:+.1f}" if key in absolute else f"{by[v] / base:.3f}" for v in others]
        print(f"| {key} | {base:.2f} | {' | '.join(cells)} |", flush=True)
