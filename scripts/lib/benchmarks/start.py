"""How long a program takes from its start to main (testdata/started): patched, and with `gocc exec` and its cache."""

import subprocess
import time

from benchmarks import common


def measure(version, rounds, place, rings):
    plain = common.fixture("started", version)
    patched = common.patch(plain, place)
    commands = {
        common.UNPATCHED: [plain],
        "patched": [patched],
        "gocc exec": [common.GOCC, "exec", "--", plain],
    }
    environment = common.environment("observe", rings)

    def run(variant):
        begun = time.time_ns()
        output = subprocess.run(commands[variant], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        ended = time.time_ns()
        main = int(output.split()[0])
        common.forget(rings)
        return {"to main, ms": (main - begun) / 1e6, "from main to the end, ms": (ended - main) / 1e6}

    run("gocc exec")
    return common.in_turn(10 * rounds, list(commands), run), list(commands)
