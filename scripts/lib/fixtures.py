"""Fixtures: the Go programs under testdata/, built by real toolchains in several ways.

A fixture is a directory with Go files, all of package main, or all of them tests, which makes a test
binary. It is named by its path below testdata/, such as `latent/locks`. What it needs and promises
stands in its source as comments:

    //gocc:go MIN MAX              Go minor versions it is for
    //gocc:variants NAME...        ways to build it that make sense (see VARIANTS)
    //gocc:expect WORDS...         what a test of it checks; any number of lines
    //gocc:case NAME OP/OP [MIN]   the program's argument NAME makes these two operations collide
    //gocc:side OP [CASE...]       on a statement: a report may name this line for that operation
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import toolchains

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
TESTDATA = REPOSITORY / "testdata"

# Part of every stamp: raise it when the way of building changes.
RECIPE = 1

CGO_FILE = '// With this file the program links with the C library and the system linker.\npackage main\n\nimport "C"\n'

# name: (environment, arguments of go build, minor versions or None for all)
VARIANTS = {
    "static": ({"CGO_ENABLED": "0"}, [], None),
    "pie": ({"CGO_ENABLED": "0"}, ["-buildmode=pie"], None),
    "cgo": ({"CGO_ENABLED": "1"}, ["-ldflags=-linkmode=external"], None),
    "cgopie": ({"CGO_ENABLED": "1"}, ["-buildmode=pie", "-ldflags=-linkmode=external"], None),
    "cgointernal": ({"CGO_ENABLED": "1"}, ["-ldflags=-linkmode=internal"], None),
    "cgostatic": (
        {"CGO_ENABLED": "1"},
        ["-tags=netgo,osusergo", "-ldflags=-linkmode=external -extldflags=-static"],
        None,
    ),
    "stripped": ({"CGO_ENABLED": "0"}, ["-ldflags=-s -w"], None),
    "strippedpie": ({"CGO_ENABLED": "0"}, ["-buildmode=pie", "-ldflags=-s -w"], None),
    "strip": ({"CGO_ENABLED": "0"}, [], None),
    "noopt": ({"CGO_ENABLED": "0"}, ["-gcflags=all=-N -l", "-tags=gocc_noopt"], None),
    "race": ({"CGO_ENABLED": "1"}, ["-race"], None),
    "v3": ({"CGO_ENABLED": "0", "GOAMD64": "v3"}, [], None),
    "noswissmap": ({"CGO_ENABLED": "0", "GOEXPERIMENT": "noswissmap"}, [], (24, 25)),
    "fips": ({"CGO_ENABLED": "0", "GOFIPS140": "latest"}, [], (24, 99)),
    "trimpath": ({"CGO_ENABLED": "0"}, ["-trimpath"], None),
    "cgostripped": ({"CGO_ENABLED": "1"}, ["-ldflags=-linkmode=external -s -w"], None),
    # Linked by the C linker, then stripped of all that `strip` can take.
    "externalpie": ({"CGO_ENABLED": "1"}, ["-buildmode=pie", "-ldflags=-linkmode=external"], None),
    "cshared": ({"CGO_ENABLED": "1"}, ["-buildmode=c-shared"], None),
    "plugin": ({"CGO_ENABLED": "1"}, ["-buildmode=plugin"], None),
    "lockranking": ({"CGO_ENABLED": "0", "GOEXPERIMENT": "staticlockranking"}, [], None),
}
WITH_C = {"cgo", "cgopie", "cgointernal", "cgostatic", "cgostripped"}
STRIPPED_AFTER = {"strip", "externalpie"}


def names():
    found = {path.parent.relative_to(TESTDATA) for path in TESTDATA.rglob("*.go")}
    # testdata/modules holds whole modules: tests run the go command in them.
    return sorted(str(path) for path in found if path.parts[0] != "modules")


def sources(fixture):
    return sorted(path for path in (TESTDATA / fixture).iterdir() if path.suffix in (".go", ".s"))


def spec(fixture):
    """The fixture's comments as a dictionary."""
    found = {"go": [18, 27], "variants": ["static"], "expect": [], "cases": [], "sides": []}
    for path in sources(fixture):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.search(r"//gocc:(\w+) (.*)", line)
            if match:
                _note(found, path.name, number, match.group(1), match.group(2).split())
    return found


def _note(found, file, number, key, words):
    if key == "go":
        found["go"] = [toolchains.minor(w) for w in words]
    elif key == "variants":
        found["variants"] = words
    elif key == "expect":
        found["expect"].append(words)
    elif key == "case":
        operations = words[1].split("/")
        since = toolchains.minor(words[2]) if len(words) > 2 else 18
        found["cases"].append({"name": words[0], "operations": operations, "since": since})
    elif key == "side":
        found["sides"].append({"file": file, "line": number, "operation": words[0], "cases": words[1:]})
    else:
        raise SystemExit(f"{file}:{number}: unknown key gocc:{key}")


def wanted(fixture, version, variant):
    """None if this fixture is to be built so, else the reason why not."""
    fixture_spec, minor = spec(fixture), toolchains.minor(version)
    low, high = fixture_spec["go"]
    if not low <= minor <= high:
        return f"{fixture} is for Go 1.{low} to 1.{high}"
    if variant not in VARIANTS:
        return f"no variant {variant}"
    limits = VARIANTS[variant][2]
    if limits and not limits[0] <= minor <= limits[1]:
        return f"{variant} exists in Go 1.{limits[0]} to 1.{limits[1]}"
    if variant not in fixture_spec["variants"]:
        return f"{fixture} is not built as {variant}"
    return None


def _copy_sources(fixture, version, variant):
    """Puts the sources where this toolchain compiles them, with a go.mod of its own language version."""
    module = toolchains.cache_dir() / "fixtures" / "src" / f"{version}-{'c' if variant in WITH_C else 'go'}"
    place = module / fixture
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in sources(fixture):
        shutil.copy(path, place / path.name)
    if variant in WITH_C:
        (place / "zz_c.go").write_text(CGO_FILE)
    language = ".".join(version.split(".")[:2])
    (module / "go.mod").write_text(f"module gocc.test/fixtures\n\ngo {language}\n")
    return module


def _stamp(fixture, version, variant):
    digest = hashlib.sha256(repr((RECIPE, version, variant, VARIANTS[variant], CGO_FILE)).encode())
    for path in sources(fixture):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build(fixture, version, variant, root):
    """Path of the executable; built only when its sources, toolchain or recipe changed."""
    place = toolchains.cache_dir() / "fixtures" / version / variant
    binary, stamp_file = place / fixture, place / f"{fixture}.stamp"
    binary.parent.mkdir(parents=True, exist_ok=True)
    stamp = _stamp(fixture, version, variant)
    with toolchains.locked(f"fixtures-{version}"):
        if binary.exists() and stamp_file.exists() and stamp_file.read_text() == stamp:
            return binary
        _compile(fixture, version, variant, root, binary)
        stamp_file.write_text(stamp)
    return binary


def _compile(fixture, version, variant, root, binary):
    module = _copy_sources(fixture, version, variant)
    settings, arguments, _ = VARIANTS[variant]
    fresh = binary.with_suffix(".new")
    command = [os.path.join(root, "bin", "go"), *_go_command(fixture), *_without_vcs(version), *arguments]
    result = subprocess.run(
        [*command, "-o", str(fresh), f"./{fixture}"],
        cwd=module,
        env=toolchains.environment(version, root, **settings),
        text=True,
        capture_output=True,
    )
    if result.returncode:
        raise RuntimeError(f"{fixture} with Go {version} as {variant}:\n{result.stderr}")
    if variant in STRIPPED_AFTER:
        subprocess.run(["strip", str(fresh)], check=True)
    fresh.replace(binary)


def _go_command(fixture):
    only_tests = all(path.name.endswith("_test.go") for path in sources(fixture))
    return ["test", "-c"] if only_tests else ["build"]


def _without_vcs(version):
    return ["-buildvcs=false"] if toolchains.minor(version) >= 18 else []


def describe(fixture, version, variant, binary):
    """One line of JSON for the Rust tests: where the executable is, and what its source says."""
    fixture_spec = spec(fixture)
    return json.dumps(
        {
            "fixture": fixture,
            "version": version,
            "variant": variant,
            "path": str(binary),
            "expect": fixture_spec["expect"],
            "cases": [c for c in fixture_spec["cases"] if c["since"] <= toolchains.minor(version)],
            "sides": fixture_spec["sides"],
        }
    )
