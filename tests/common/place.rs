//! A place of its own for `gocc exec`: a program and a cache.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A place with a cache of its own and a Go program to run.
pub struct Place {
    directory: tempfile::TempDir,
    /// The program.
    pub program: PathBuf,
}

impl Place {
    /// With testdata/NAME built; `None`, and a line that says so, where there is no Go.
    pub fn with_built(name: &str) -> Option<Place> {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join(Path::new(name).file_name().unwrap());
        let place = Place { directory, program };
        place.build(name, &[]).then_some(place)
    }

    /// Builds testdata/NAME in the program's place; false where there is no Go.
    pub fn build(&self, name: &str, flags: &[&str]) -> bool {
        let mut go = Command::new("go");
        go.arg("build")
            .args(flags)
            .arg("-o")
            .arg(&self.program)
            .arg(source(name))
            .env("GOFLAGS", "-mod=mod");
        match go.current_dir(self.path()).output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(error) => {
                let required =
                    std::env::var("GOCC_REQUIRE_TOOLCHAINS").is_ok_and(|value| value == "1");
                assert!(!required, "cannot run go: {error}");
                eprintln!("untested: cannot run go: {error}");
                return false;
            }
        }
        true
    }

    pub fn with_demo() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("demo");
        let packed = include_bytes!("../../testdata/demo/demo.bin.gz");
        let mut file = std::fs::File::create(&program).unwrap();
        std::io::copy(&mut flate2::read::GzDecoder::new(&packed[..]), &mut file).unwrap();
        drop(file);
        make_executable(&program);
        Place { directory, program }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// `gocc exec OPTIONS -- PROGRAM ARGUMENTS`, not yet started.
    pub fn exec(&self, options: &[&str], arguments: &[&str]) -> Command {
        let mut command = self.gocc();
        command
            .arg("exec")
            .args(options)
            .arg("--")
            .arg(&self.program)
            .args(arguments);
        command
    }

    pub fn gocc(&self) -> Command {
        let mut command = Command::new(super::gocc::GOCC);
        command
            .env_remove("GOCC")
            .env("XDG_CACHE_HOME", self.path().join("cache"));
        command
    }

    /// The patched programs in the cache.
    pub fn cached(&self) -> Vec<PathBuf> {
        let root = self.path().join("cache/gocc/exec");
        let entries = std::fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let name = self.program.file_name().unwrap();
        entries
            .map(|entry| entry.join(name))
            .filter(|file| file.exists())
            .collect()
    }
}

pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(name)
        .join("main.go")
}

pub fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
