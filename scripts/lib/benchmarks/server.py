"""A JSON server with a session map (testdata/server), under the load of testdata/load beside it on the same CPUs."""

import re
import subprocess

from benchmarks import common

CONNECTIONS, SECONDS = 16, 3


def resident(pid):
    """Megabytes of memory that a process has."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024


def serve(program, load, environment):
    server = subprocess.Popen([program, "0"], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        address = server.stdout.readline().strip()
        idle = resident(server.pid)
        command = [load, address, str(CONNECTIONS), str(SECONDS)]
        answered = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout
        rate, p99 = map(float, answered.split())
        loaded = resident(server.pid)
    finally:
        server.kill()
        server.wait()
    return {"requests/s": rate, "p99, us": p99, "memory at rest, MB": idle, "memory loaded, MB": loaded}


def measure(version, modes, rounds, place, rings):
    plain = common.fixture("server", version)
    race = common.fixture("server", version, "race")
    load = common.fixture("load", version)
    patched = common.patch(plain, place)
    programs = {common.UNPATCHED: plain, "-race": race}

    def run(variant):
        numbers = serve(programs.get(variant, patched), load, common.environment(variant, rings))
        common.forget(rings)
        return numbers

    return common.in_turn(rounds, [common.UNPATCHED, *modes, "-race"], run)
