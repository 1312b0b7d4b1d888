"""The Go compiler itself, compiling net/http."""

import os
import pathlib
import subprocess

import toolchains
from benchmarks import common

PACKAGE = "net/http"
IMPORTS = "{{range $from, $to := .ImportMap}}importmap {{$from}}={{$to}}\n{{end}}"
EXPORTS = "{{if .Export}}packagefile {{.ImportPath}}={{.Export}}{{end}}"


def command(version, root, place):
    """Arguments of `compile` for the package, everything that it imports being at hand."""
    environment = toolchains.environment(version, root, CGO_ENABLED="0")
    go = os.path.join(root, "bin", "go")

    def listed(*arguments):
        run = subprocess.run([go, "list", *arguments], env=environment, cwd=root, text=True, capture_output=True, check=True)
        return run.stdout

    importcfg = place / "importcfg"
    importcfg.write_text(listed("-f", IMPORTS, PACKAGE) + listed("-deps", "-export", "-f", EXPORTS, PACKAGE))
    files = listed("-f", "{{range .GoFiles}}{{$.Dir}}/{{.}}\n{{end}}", PACKAGE).split()
    return ["-p", PACKAGE, "-std", "-complete", "-importcfg", importcfg, "-o", place / "out.a", "-pack", *files]


def measure(version, modes, rounds, place, rings):
    version = toolchains.full_version(version)
    root, missing = toolchains.goroot(version)
    if root is None:
        raise SystemExit(f"Go {version} is not to be had: {missing}")
    compiler = pathlib.Path(root) / "pkg" / "tool" / "linux_amd64" / "compile"
    patched = common.patch(compiler, place)
    arguments = command(version, root, place)

    def run(variant):
        program = compiler if variant == common.UNPATCHED else patched
        numbers = common.timed([program, *arguments], env=common.environment(variant, rings))
        common.forget(rings)
        return numbers

    return common.in_turn(rounds, [common.UNPATCHED, *modes], run)
