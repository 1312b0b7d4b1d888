"""Many goroutines, Ps and maps (testdata/scale)."""

import json
import subprocess

from benchmarks import common

OPERATIONS = 3_000_000
# Goroutines, GOMAXPROCS, maps.
SIZES = [(1, 1, 64), (2, 2, 64), (8, 2, 64), (64, 1, 64), (64, 2, 64), (64, 4, 64), (64, 8, 64), (64, 32, 64),
         (2, 2, 1_000_000), (100_000, 2, 100_000)]
CROWD = ("100000", "100000", "300000000", "race")


def measure(version, modes, rounds, place, rings):
    plain = common.fixture("scale", version)
    patched = common.patch(plain, place)

    def run(variant):
        program = plain if variant == common.UNPATCHED else patched
        numbers = {}
        for goroutines, procs, maps in SIZES:
            environment = common.environment(variant, rings, GOMAXPROCS=str(procs))
            command = [program, str(goroutines), str(maps), str(OPERATIONS)]
            key = f"{goroutines:,} goroutines, {procs} Ps, {maps:,} maps"
            numbers[key] = float(subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, check=True).stdout)
            common.forget(rings)
        return numbers

    return common.in_turn(rounds, [common.UNPATCHED, *modes], run)


def named_sides(version, deaths, place, rings):
    """Two goroutines race on one map while 100,000 others write to as many maps: how many of the deaths have both
    sides with the line that did it."""
    program = common.patch(common.fixture("scale", version), place)
    named = 0
    for _ in range(deaths):
        environment = common.environment("observe", rings, GOMAXPROCS="2", GOTRACEBACK="none")
        subprocess.run([program, *CROWD], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report = subprocess.run([common.GOCC, "report", "--format", "json", rings], text=True, stdout=subprocess.PIPE).stdout
        common.forget(rings)
        named += any(all(is_named(side) for side in finding["sides"]) for finding in json.loads(report)["findings"])
    return named


def is_named(side):
    return any(frame["function"] == "main.collide" for frame in side["stack"])
