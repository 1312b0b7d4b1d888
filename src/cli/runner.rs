//! Running an instrumented program and collecting the rings that it and its children leave.

use super::signals::Forwarder;
use crate::patch::Mode;
use crate::ring::ring_files;
use anyhow::{Context, bail};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

/// The variable that an instrumented program reads its options from.
const VARIABLE: &str = "GOCC";
/// Shared memory is only used for rings when at least this much of it is free, in bytes.
const ENOUGH_MEMORY: u64 = 512 << 20;
/// Longest path that a program takes from `GOCC` (stubs/config.rs, `DIR_LEN`), in bytes.
const MOST_OF_PATH: usize = 255;

/// Where the rings of a run go.
pub struct RingDir {
    path: PathBuf,
    /// Rings that lay there before.
    old: HashSet<PathBuf>,
    /// Removes a private directory in the end.
    _private: Option<tempfile::TempDir>,
}

impl RingDir {
    /// A directory of the user's choice (made when it is missing), or else a private one.
    pub fn new(chosen: Option<&Path>) -> anyhow::Result<RingDir> {
        match chosen {
            Some(path) => RingDir::chosen(path),
            None => RingDir::private(),
        }
    }

    fn chosen(path: &Path) -> anyhow::Result<RingDir> {
        let cannot = || format!("cannot use {} for rings", path.display());
        std::fs::create_dir_all(path).with_context(cannot)?;
        let path = path.canonicalize().with_context(cannot)?;
        let old = ring_files(std::slice::from_ref(&path))?
            .into_iter()
            .collect();
        Ok(RingDir {
            path,
            old,
            _private: None,
        })
    }

    fn private() -> anyhow::Result<RingDir> {
        let mut builder = tempfile::Builder::new();
        builder
            .prefix("gocc-exec-")
            .permissions(Permissions::from_mode(0o700));
        let in_memory = has_room(Path::new("/dev/shm"))
            .then(|| builder.tempdir_in("/dev/shm").ok())
            .flatten();
        let directory = match in_memory {
            Some(directory) => directory,
            None => builder
                .tempdir()
                .context("cannot make a directory for rings (name one with --dir)")?,
        };
        Ok(RingDir {
            path: directory.path().to_owned(),
            old: HashSet::new(),
            _private: Some(directory),
        })
    }

    /// The rings that were written since.
    pub fn new_rings(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut rings = ring_files(std::slice::from_ref(&self.path))?;
        rings.retain(|ring| !self.old.contains(ring));
        Ok(rings)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn has_room(directory: &Path) -> bool {
    rustix::fs::statvfs(directory)
        .is_ok_and(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >= ENOUGH_MEMORY)
}

/// What the user's own `GOCC` says for a key.
pub fn of_environment(key: &str) -> Option<String> {
    let value = std::env::var(VARIABLE).ok()?;
    pairs(&value)
        .filter_map(|pair| pair.split_once('='))
        .rfind(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
}

/// What a run's `GOCC` says, whatever the user's own does.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What the hooks do.
    pub mode: Option<Mode>,
    /// Where hunt's sequence of choices starts.
    pub seed: Option<u32>,
    /// Share of the time that hunt may hold operations, per cent.
    pub budget_percent: Option<u32>,
    /// The file of suspects.
    pub suspects: Option<PathBuf>,
    /// What holds for keys that nobody else says anything about.
    pub defaults: Vec<(&'static str, String)>,
}

impl Settings {
    fn pairs(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let suspects = self.suspects.as_deref().map(|path| {
            speakable(path).with_context(|| {
                format!(
                    "{} cannot be named in GOCC: blanks and commas separate options there, and no path may have more than {MOST_OF_PATH} bytes (choose another file for suspects)",
                    path.display()
                )
            })
        });
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let pairs = [
            ("mode", self.mode.map(|mode| mode.to_string())),
            ("seed", number(self.seed)),
            ("budget", number(self.budget_percent)),
            ("suspects", suspects.transpose()?.map(str::to_owned)),
        ];
        let set = pairs.into_iter();
        Ok(set.filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

/// A run of an instrumented program.
pub struct Run<'a> {
    /// The file to run.
    pub executable: &'a Path,
    /// What the program sees as its arguments, its own name first.
    pub argv: &'a [OsString],
    /// What it is told in `GOCC`.
    pub settings: Settings,
    /// Where its rings go.
    pub rings: &'a RingDir,
    /// Where its output and errors go, when not to those of gocc.
    pub output: Option<&'a File>,
}

impl Run<'_> {
    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started. How it ends is no error.
    pub fn to_end(&self) -> anyhow::Result<ExitStatus> {
        let forwarder = Forwarder::install().context("cannot pass signals on")?;
        let mut child = self.start()?;
        forwarder
            .wait(&mut child)
            .context("cannot wait for the program")
    }

    fn start(&self) -> anyhow::Result<Child> {
        let existing = std::env::var(VARIABLE).unwrap_or_default();
        let mut command = Command::new(self.executable);
        command.env(
            VARIABLE,
            gocc_options(&existing, &self.settings, self.rings.path())?,
        );
        if let Some((arg0, args)) = self.argv.split_first() {
            command.arg0(arg0).args(args);
        }
        if let Some(file) = self.output {
            let copy = || file.try_clone().context("cannot share the output file");
            command.stdout(copy()?).stderr(copy()?);
        }
        command
            .spawn()
            .with_context(|| format!("cannot run {}", self.executable.display()))
    }
}

/// The user's own options, with these in their place.
fn gocc_options(existing: &str, settings: &Settings, dir: &Path) -> anyhow::Result<String> {
    let Some(dir) = speakable(dir) else {
        bail!(
            "{} cannot be named in GOCC: blanks and commas separate options there, and no path may have more than {MOST_OF_PATH} bytes (choose another --dir)",
            dir.display()
        );
    };
    let mut own = settings.pairs()?;
    own.push(("dir", dir.to_owned()));
    let is_overridden = |pair: &str| {
        let key = pair.split('=').next();
        own.iter().any(|(name, _)| key == Some(*name))
    };
    let kept: Vec<&str> = pairs(existing)
        .filter(|pair| !is_overridden(pair))
        .collect();
    let is_said = |key: &str| {
        let of_user = kept.iter().filter_map(|pair| pair.split('=').next());
        of_user
            .chain(own.iter().map(|(key, _)| *key))
            .any(|said| said == key)
    };
    let defaults = settings.defaults.iter().filter(|(key, _)| !is_said(key));
    let mut options: Vec<String> = defaults
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    options.extend(kept.iter().map(|pair| (*pair).to_owned()));
    options.extend(own.iter().map(|(key, value)| format!("{key}={value}")));
    Ok(options.join(" "))
}

/// A path that `GOCC` can hold.
fn speakable(path: &Path) -> Option<&str> {
    path.to_str()
        .filter(|path| path.len() <= MOST_OF_PATH && !path.contains([' ', ',', '\t', '\n']))
}

fn pairs(value: &str) -> impl DoubleEndedIterator<Item = &str> {
    value
        .split([' ', ',', '\t', '\n'])
        .filter(|pair| !pair.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::signals::is_ignored;

    #[test]
    fn the_users_options_are_kept() -> anyhow::Result<()> {
        let dir = Path::new("/rings");
        let observe = Settings {
            mode: Some(Mode::Observe),
            ..Settings::default()
        };
        let all = Settings {
            mode: Some(Mode::Hunt),
            seed: Some(7),
            budget_percent: Some(50),
            suspects: Some(PathBuf::from("/f")),
            defaults: Vec::new(),
        };
        let of_file = Settings {
            mode: Some(Mode::Guard),
            defaults: vec![
                ("wait", "3ms".into()),
                ("mode", "off".into()),
                ("seed", "5".into()),
            ],
            ..Settings::default()
        };
        let cases = [
            ("", Settings::default(), "dir=/rings"),
            (
                "mode=trace, ring=65536",
                Settings::default(),
                "mode=trace ring=65536 dir=/rings",
            ),
            (
                "mode=trace,dir=/elsewhere exitcode=3",
                observe,
                "exitcode=3 mode=observe dir=/rings",
            ),
            (
                "seed=1 hold=3ms budget=2 suspects=/g",
                all,
                "hold=3ms mode=hunt seed=7 budget=50 suspects=/f dir=/rings",
            ),
            ("seed=2", of_file, "wait=3ms seed=2 mode=guard dir=/rings"),
        ];
        for (existing, settings, expected) in cases {
            assert_eq!(gocc_options(existing, &settings, dir)?, expected);
        }
        Ok(())
    }

    #[test]
    fn a_directory_that_the_variable_cannot_hold_is_refused() {
        let long = format!("/{}", "d".repeat(MOST_OF_PATH));
        for path in ["/with blank", "/with,comma", &long] {
            let said = |settings: &Settings, dir: &str| {
                let options = gocc_options("", settings, Path::new(dir));
                options.map_err(|error| error.to_string())
            };
            let error = said(&Settings::default(), path);
            assert!(error.is_err_and(|text| text.contains("choose another --dir")));
            let settings = Settings {
                suspects: Some(PathBuf::from(path)),
                ..Settings::default()
            };
            let error = said(&settings, "/rings");
            assert!(error.is_err_and(|text| text.contains("choose another file")));
        }
    }

    /// Runs a shell as `name`; gives back how it ended and what it wrote.
    fn shell(name: &str, script: &str) -> anyhow::Result<(ExitStatus, String)> {
        let rings = RingDir::new(None)?;
        let log = rings.path().join("log");
        let file = File::create(&log)?;
        let argv = [name, "-c", script].map(OsString::from);
        let executable = Path::new("/bin/sh");
        let run = Run {
            executable,
            argv: &argv,
            settings: Settings {
                mode: Some(Mode::Trace),
                ..Settings::default()
            },
            rings: &rings,
            output: Some(&file),
        };
        let status = run.to_end()?;
        Ok((status, std::fs::read_to_string(log)?))
    }

    /// One test, since a signal to this process reaches every run in it.
    #[test]
    fn a_run_passes_everything_through() -> anyhow::Result<()> {
        status_name_and_options()?;
        signals()
    }

    fn status_name_and_options() -> anyhow::Result<()> {
        use std::os::unix::process::ExitStatusExt;
        let (status, said) = shell("the-users-name", "echo $0; echo $GOCC; exit 3")?;
        assert_eq!(status.code(), Some(3));
        let mut lines = said.lines();
        assert_eq!(lines.next(), Some("the-users-name"));
        assert!(
            lines
                .next()
                .is_some_and(|options| options.starts_with("mode=trace dir=/")),
            "{said}"
        );
        let (status, _) = shell("sh", "kill -KILL $$")?;
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        Ok(())
    }

    fn signals() -> anyhow::Result<()> {
        for (signal, number) in [
            ("TERM", libc::SIGTERM),
            ("INT", libc::SIGINT),
            ("USR1", libc::SIGUSR1),
            ("USR2", libc::SIGUSR2),
            ("HUP", libc::SIGHUP),
            ("QUIT", libc::SIGQUIT),
            ("WINCH", libc::SIGWINCH),
        ] {
            // Under nohup, for one, it stays ignored, by the shell as well.
            if is_ignored(number) {
                eprintln!("untested: SIG{signal} is ignored here");
                continue;
            }
            // The shell's parent is this process; what it is sent must come back to the shell.
            let script = format!(
                "trap 'exit 7' {signal}; kill -{signal} $PPID; while :; do sleep 0.02; done"
            );
            assert_eq!(shell("sh", &script)?.0.code(), Some(7), "{signal}");
        }
        Ok(())
    }

    #[test]
    fn only_new_rings_count() -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        std::fs::write(place.path().join("gocc-1.ring"), b"")?;
        let rings = RingDir::new(Some(place.path()))?;
        let new = rings.path().join("gocc-2.ring");
        std::fs::write(&new, b"")?;
        assert_eq!(rings.new_rings()?, [new]);
        Ok(())
    }

    #[test]
    fn a_private_directory_is_private_and_goes_away() -> anyhow::Result<()> {
        let rings = RingDir::new(None)?;
        let path = rings.path().to_owned();
        assert_eq!(
            std::fs::metadata(&path)?.permissions().mode() & 0o777,
            0o700
        );
        drop(rings);
        assert!(!path.exists());
        Ok(())
    }
}
