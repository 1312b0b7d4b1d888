//! Go programs built by real toolchains, for the tests of `golang`. They are kept in the cache
//! directory, outside the repository.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A toolchain of each minor version, in ascending order.
pub const VERSIONS: [&str; 10] = [
    "1.18.10", "1.19.13", "1.20.14", "1.21.13", "1.22.12", "1.23.12", "1.24.11", "1.25.5",
    "1.26.6", "1.27.3",
];

/// The first release of each minor version.
pub const FIRST_RELEASES: [&str; 10] = [
    "1.18", "1.19", "1.20", "1.21.0", "1.22.0", "1.23.0", "1.24.0", "1.25.0", "1.26.0", "1.27.0",
];

/// How to build a program.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub struct Flavour {
    pub name: &'static str,
    pub flags: &'static [&'static str],
    pub environment: &'static [(&'static str, &'static str)],
    /// Run `strip` on the result.
    pub strip: bool,
}

pub const PLAIN: Flavour = Flavour {
    name: "plain",
    flags: &[],
    environment: &[("CGO_ENABLED", "0")],
    strip: false,
};
pub const STRIPPED: Flavour = Flavour {
    name: "stripped",
    flags: &["-ldflags=-s -w"],
    ..PLAIN
};
pub const PIE: Flavour = Flavour {
    name: "pie",
    flags: &["-buildmode=pie", "-ldflags=-s -w"],
    ..PLAIN
};
pub const NOSWISSMAP: Flavour = Flavour {
    name: "noswissmap",
    environment: &[("CGO_ENABLED", "0"), ("GOEXPERIMENT", "noswissmap")],
    ..PLAIN
};
/// Linked by the C linker, a PIE, then stripped of all that `strip` can take.
pub const EXTERNAL_PIE: Flavour = Flavour {
    name: "external-pie",
    flags: &["-buildmode=pie", "-ldflags=-linkmode=external"],
    environment: &[("CGO_ENABLED", "1")],
    strip: true,
};
pub const RACE: Flavour = Flavour {
    name: "race",
    flags: &["-race", "-gcflags=-d=checkptr=0"],
    environment: &[("CGO_ENABLED", "1")],
    strip: false,
};
pub const UNOPTIMISED: Flavour = Flavour {
    name: "unoptimised",
    flags: &["-gcflags=all=-N -l"],
    ..PLAIN
};

/// Toolchains that a test went without. Dropping it says so, and fails the test when
/// GOCC_REQUIRE_TOOLCHAINS=1.
#[derive(Default)]
pub struct Untested(Vec<String>);

impl Untested {
    pub fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// To be called at the end of the test.
    pub fn finish(self, tested: usize) {
        for what in &self.0 {
            eprintln!("untested: {what}");
        }
        let required = std::env::var("GOCC_REQUIRE_TOOLCHAINS").is_ok_and(|value| value == "1");
        assert!(
            !required || self.0.is_empty(),
            "GOCC_REQUIRE_TOOLCHAINS=1, but untested: {:?}",
            self.0
        );
        assert!(!required || tested > 0, "nothing was tested");
    }
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// GOROOT of a version, fetched if need be, or why it cannot be had.
pub fn goroot(version: &str) -> Result<PathBuf, String> {
    const PROGRAM: &str = "import sys; sys.path.insert(0, 'scripts/lib'); import toolchains; \
                           root, why = toolchains.goroot(sys.argv[1]); print(root or ''); sys.exit(why)";
    let output = Command::new("python3")
        .args(["-c", PROGRAM, version])
        .current_dir(repository())
        .output();
    let output = output.map_err(|error| format!("Go {version}: python3: {error}"))?;
    match (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).trim(),
    ) {
        (true, root) if !root.is_empty() => Ok(PathBuf::from(root)),
        _ => Err(format!(
            "Go {version}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

fn cache_directory() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|path| !path.is_empty())
        .map_or_else(home, PathBuf::from);
    base.join("gocc/fixtures/golang")
}

/// Builds a program of tests/golang_programs; an error only when the toolchain cannot be had.
pub fn build(program: &str, version: &str, flavour: Flavour) -> Result<PathBuf, String> {
    let root = goroot(version)?;
    let source = repository().join("tests/golang_programs").join(program);
    let target = cache_directory().join(format!(
        "{program}-{version}-{}-{:016x}",
        flavour.name,
        digest(&source, &flavour)
    ));
    if !target.exists() {
        build_now(&source, &root, flavour, &target);
    }
    Ok(target)
}

/// Names a build: it changes with the sources and the flags.
fn digest(source: &Path, flavour: &Flavour) -> u64 {
    let mut hasher = DefaultHasher::new();
    flavour.hash(&mut hasher);
    let mut files: Vec<_> = std::fs::read_dir(source)
        .expect("the program is there")
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        std::fs::read(file).unwrap().hash(&mut hasher);
    }
    hasher.finish()
}

fn build_now(source: &Path, root: &Path, flavour: Flavour, target: &Path) {
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    let place = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), place.path().join(file.file_name())).unwrap();
    }
    std::fs::write(
        place.path().join("go.mod"),
        "module gocc.test/program\n\ngo 1.18\n",
    )
    .unwrap();
    let built = place.path().join("program.out");
    let mut go = Command::new(root.join("bin/go"));
    go.arg("build")
        .args(flavour.flags)
        .arg("-o")
        .arg(&built)
        .arg(".")
        .current_dir(place.path());
    go.env("GOFLAGS", "")
        .env("GOENV", "off")
        .env_remove("GOEXPERIMENT")
        .env("GOROOT", root)
        .env("GOTOOLCHAIN", "local");
    go.envs(flavour.environment.iter().copied());
    let output = go.output().expect("the go command runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{go:?}: {errors}");
    if flavour.strip {
        assert!(
            Command::new("strip")
                .arg(&built)
                .status()
                .expect("strip runs")
                .success()
        );
    }
    // Another test may build the same: the last one wins, atomically.
    let staged = target.with_extension(format!("{}", std::process::id()));
    std::fs::copy(&built, &staged).unwrap();
    std::fs::rename(&staged, target).unwrap();
}
