//! Running a program: with a time limit, a clean environment, and everything it says kept.

use anyhow::Context;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most that is kept of a program's output.
const MOST_OUTPUT: u64 = 64 << 20;

/// A program about to be run.
pub struct Program {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// What it wrote.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
    /// It was killed because its time was up.
    pub timed_out: bool,
    /// How long it ran.
    pub took: Duration,
    /// Its process id, while it lived.
    pub pid: u32,
}

/// A program that runs.
pub struct Running {
    /// The process.
    pub child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    started: Instant,
}

impl Program {
    /// A program without arguments, in the environment of the tests but without Go's and gocc's
    /// variables.
    pub fn new(path: impl AsRef<OsStr>) -> Program {
        let mut command = Command::new(path);
        for name in [
            "GOCC",
            "GODEBUG",
            "GOGC",
            "GOMAXPROCS",
            "GOTRACEBACK",
            "GOMEMLIMIT",
        ] {
            command.env_remove(name);
        }
        Program {
            command,
            input: Vec::new(),
            limit: Duration::from_secs(120),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: &[&str]) -> Program {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    /// Sets the name the program is told it has.
    pub fn name(mut self, name: &str) -> Program {
        std::os::unix::process::CommandExt::arg0(&mut self.command, name);
        self
    }

    /// Runs it there.
    pub fn directory(mut self, path: &Path) -> Program {
        self.command.current_dir(path);
        self
    }

    /// What it can read from stdin.
    pub fn input(mut self, text: &str) -> Program {
        self.input = text.as_bytes().to_vec();
        self
    }

    /// How long it may run.
    pub fn limit(mut self, limit: Duration) -> Program {
        self.limit = limit;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut self) -> anyhow::Result<Running> {
        let name = OsString::from(self.command.get_program());
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", name.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read has closed the pipe: no concern of ours.
            let _ = stdin.write_all(&self.input);
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Running {
            stdout: collect(stdout.context("no stdout")?),
            stderr: collect(stderr.context("no stderr")?),
            child,
            started: Instant::now(),
        })
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let limit = self.limit;
        self.start()?.finish(limit)
    }
}

impl Running {
    /// Sends a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: i32) -> anyhow::Result<()> {
        // SAFETY: kill has no memory effects; the child has not been waited for, so its id is its own.
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        if result == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error()).context("kill")
        }
    }

    /// Waits for its end, and kills it when that takes too long.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn finish(mut self, limit: Duration) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + limit;
        let pid = self.child.id();
        let mut timed_out = false;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                timed_out = true;
                self.child.kill()?;
                break self.child.wait()?;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Outcome {
            stdout: text(joined(self.stdout)?),
            stderr: text(joined(self.stderr)?),
            status,
            timed_out,
            took,
            pid,
        })
    }
}

fn joined(thread: JoinHandle<Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("a reader of the program's output panicked"))
}

fn collect(pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut limited = pipe.take(MOST_OUTPUT);
        // What was read before an error is kept; a test will miss the rest.
        let _ = limited.read_to_end(&mut bytes);
        let _ = std::io::copy(&mut limited.into_inner(), &mut std::io::sink());
        bytes
    })
}

impl Outcome {
    /// `exit 2` or `signal 9`.
    pub fn ending(&self) -> String {
        match (self.timed_out, self.status.code(), self.status.signal()) {
            (true, _, _) => format!("still running after {:?}", self.took),
            (_, Some(code), _) => format!("exit {code}"),
            (_, _, Some(signal)) => format!("signal {signal}"),
            _ => "?".to_owned(),
        }
    }

    /// The last part of what it said, for messages.
    pub fn tail(&self) -> String {
        let tail = |text: &str| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(30)..].join("\n")
        };
        format!(
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.ending(),
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

/// This user may mount file systems of its own, in `unshare -rm`: tried with a tmpfs over a directory.
pub fn may_mount(directory: &Path) -> bool {
    Program::new("unshare")
        .args(&["-rm", "mount", "-t", "tmpfs", "none"])
        .arg(directory)
        .run()
        .is_ok_and(|outcome| outcome.status.success())
}
