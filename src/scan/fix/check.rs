//! Proposals are checked in a copy of the module with the Go toolchain: it must compile with the subject
//! renamed (so no use was missed), and with the patch; vet must find no lock that is copied, and no test
//! may fail that passed before.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Files larger than this in all are not copied.
const LARGEST: u64 = 2 << 30;
/// Tests that fail are run again this often: they may be racy in other places.
const TRIES: u32 = 3;

/// A copy of a module, and what is known of it before any patch.
pub struct Workshop {
    copy: TempDir,
    root: PathBuf,
    gofmt: PathBuf,
    vet_before: HashSet<String>,
    passed_before: HashSet<String>,
}

/// New texts of files, by their paths below the module's root.
pub type Texts = BTreeMap<PathBuf, String>;

impl Workshop {
    /// Copies a module, and builds and tests the copy as it is.
    ///
    /// # Errors
    /// When there is no Go toolchain, the module is too large or does not build.
    pub fn new(root: &Path) -> Result<Workshop, String> {
        let copy = tempfile::Builder::new()
            .prefix("gocc-fix-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?;
        let mut bytes = 0;
        copy_tree(root, copy.path(), &mut bytes)?;
        let mut workshop = Workshop {
            gofmt: gofmt(copy.path())?,
            copy,
            root: root.to_owned(),
            vet_before: HashSet::new(),
            passed_before: HashSet::new(),
        };
        workshop.vet_before = workshop.vet()?;
        workshop.passed_before = workshop.passed();
        Ok(workshop)
    }

    /// Whether the module compiles with these texts.
    ///
    /// # Errors
    /// What the compiler says.
    pub fn compiles(&self, texts: &Texts) -> Result<(), String> {
        self.with(texts, || self.vet().map(|_| ()))
    }

    /// The texts as gofmt writes them.
    ///
    /// # Errors
    /// When gofmt cannot read them, or the file was not formatted before.
    pub fn formatted(&self, texts: &Texts) -> Result<Texts, String> {
        let mut out = Texts::new();
        for (path, text) in texts {
            let before = std::fs::read_to_string(self.root.join(path)).unwrap_or_default();
            if self.gofmt(&before)? != before {
                return Err(format!("{} is not formatted with gofmt", path.display()));
            }
            out.insert(path.clone(), self.gofmt(text)?);
        }
        Ok(out)
    }

    fn gofmt(&self, text: &str) -> Result<String, String> {
        let place = self.copy.path().join(".gocc-fix.go");
        let write = std::fs::write(&place, text).map_err(|error| error.to_string());
        let output = write.and_then(|()| run(Command::new(&self.gofmt).arg(&place)));
        // It is gone with the directory at the latest.
        let _ = std::fs::remove_file(&place);
        let output = output?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!("gofmt: {}", first_line(&output.stderr)))
        }
    }

    /// Whether the patched module builds, and vet finds no lock that is copied.
    ///
    /// # Errors
    /// What the compiler or vet says.
    pub fn vets(&self, texts: &Texts) -> Result<(), String> {
        self.with(texts, || {
            let now = self.vet()?;
            match now.difference(&self.vet_before).next() {
                Some(first) => Err(format!("go vet: {first}")),
                None => Ok(()),
            }
        })
    }

    /// Whether the patched module vets, and passes the tests that it passed before.
    ///
    /// # Errors
    /// What went wrong.
    pub fn accepts(&self, texts: &Texts) -> Result<(), String> {
        self.vets(texts)?;
        self.with(texts, || {
            let mut missing = self.passed_before.clone();
            for _ in 0..TRIES {
                let passed = self.passed();
                missing.retain(|test| !passed.contains(test));
                if missing.is_empty() {
                    return Ok(());
                }
            }
            let first = missing.iter().min().cloned().unwrap_or_default();
            Err(format!("{first} passed before and does not now"))
        })
    }

    /// What vet says about copied locks, without lines.
    fn vet(&self) -> Result<HashSet<String>, String> {
        let output = self.go(&["vet", "-copylocks", "./..."])?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
            .collect();
        let broken = lines.iter().find(|line| {
            line.starts_with("vet: ")
                || line.starts_with("go: ")
                || line.starts_with("package ")
                || !line.contains(".go:")
        });
        match broken {
            _ if output.status.success() => Ok(HashSet::new()),
            Some(line) => Err(format!("it does not build: {line}")),
            None => Ok(lines.iter().map(|line| without_place(line)).collect()),
        }
    }

    /// The tests and packages that pass.
    fn passed(&self) -> HashSet<String> {
        let Ok(output) = self.go(&["test", "-count=1", "-timeout=5m", "-json", "./..."]) else {
            return HashSet::new();
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(passed_test).collect()
    }

    fn go(&self, arguments: &[&str]) -> Result<Output, String> {
        let mut command = Command::new("go");
        command
            .args(arguments)
            .current_dir(self.copy.path())
            .env("GOWORK", "off");
        run(&mut command)
    }

    /// Does something while the copy has other texts.
    fn with<T>(
        &self,
        texts: &Texts,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, String> {
        let write = |path: &PathBuf, text: &str| {
            std::fs::write(self.copy.path().join(path), text)
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut result = Ok(());
        for (path, text) in texts {
            result = result.and_then(|()| write(path, text));
        }
        let result = result.and_then(|()| work());
        for path in texts.keys() {
            let before = std::fs::read_to_string(self.root.join(path))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            write(path, &before)?;
        }
        result
    }
}

fn run(command: &mut Command) -> Result<Output, String> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().next().unwrap_or("").to_owned()
}

/// gofmt of the toolchain that the module uses.
fn gofmt(directory: &Path) -> Result<PathBuf, String> {
    let output = run(Command::new("go")
        .args(["env", "GOROOT"])
        .current_dir(directory))
    .map_err(|_| "there is no Go toolchain to check a patch with".to_owned())?;
    let root = first_line(&output.stdout);
    let path = Path::new(&root).join("bin/gofmt");
    if !output.status.success() || root.is_empty() {
        return Err(format!("go env: {}", first_line(&output.stderr)));
    }
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("the Go toolchain in {root} has no gofmt"))
    }
}

/// `./a.go:12:3: message` without the line, which a patch moves.
fn without_place(line: &str) -> String {
    let mut parts = line.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(message)) => format!("{file}:{message}"),
        _ => line.to_owned(),
    }
}

fn passed_test(line: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| event.get(key).and_then(|value| value.as_str());
    (text("Action") == Some("pass")).then(|| {
        let package = text("Package").unwrap_or("");
        text("Test").map_or_else(|| package.to_owned(), |test| format!("{package}.{test}"))
    })
}

fn copy_tree(from: &Path, to: &Path, bytes: &mut u64) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("cannot copy {}: {error}", from.display());
    for entry in std::fs::read_dir(from).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let kind = entry.file_type().map_err(fail)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == ".git" {
            continue;
        }
        if kind.is_dir() {
            std::fs::create_dir_all(&target).map_err(fail)?;
            copy_tree(&source, &target, bytes)?;
        } else if kind.is_symlink() {
            let link = std::fs::read_link(&source).map_err(fail)?;
            std::os::unix::fs::symlink(link, &target).map_err(fail)?;
        } else if kind.is_file() {
            *bytes += std::fs::copy(&source, &target).map_err(fail)?;
            make_writable(&target).map_err(fail)?;
        }
        if *bytes > LARGEST {
            return Err("the module is too large to be copied".to_owned());
        }
    }
    Ok(())
}

/// Files of the module cache cannot be written.
fn make_writable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = std::fs::metadata(path)?.permissions();
    permissions.set_mode(permissions.mode() | 0o200);
    std::fs::set_permissions(path, permissions)
}
