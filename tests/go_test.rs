//! gocc under the go command: `go test -exec`, `go run -exec`, `gocc test`, on a module with two racy and twenty clean
//! tests (testdata/modules/shop).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::fixture::repository;
use common::gocc::GOCC;
use common::toolchain;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs until the races have shown themselves: the bound is generous, one is the rule.
const TRIES: usize = 5;

/// A copy of a module, and a go command to use on it.
struct Module {
    directory: tempfile::TempDir,
    goroot: PathBuf,
}

impl Module {
    /// `None`, and a line that says so, where the toolchain cannot be had.
    fn copy(name: &str, version: &str) -> Option<Module> {
        let goroot = toolchain(version).unwrap()?;
        let directory = tempfile::tempdir().unwrap();
        copy(
            &repository().join("testdata/modules").join(name),
            directory.path(),
        );
        Some(Module { directory, goroot })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).unwrap();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let own = Path::new(GOCC).parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let go = self.goroot.join("bin");
        command
            .current_dir(self.path())
            .env("PATH", format!("{}:{own}:{path}", go.display()))
            .env("GOROOT", &self.goroot)
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=mod")
            .env_remove("GOCC")
            .env("XDG_CACHE_HOME", self.path().join(".cache"));
        // Compiled packages are kept where they always are.
        let own_cache = std::env::var_os("GOCACHE");
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/go-build"));
        if let Some(cache) = own_cache.map(PathBuf::from).or(home) {
            command.env("GOCACHE", cache);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    /// `gocc test ARGUMENTS`, until it ends with this code.
    fn gocc_test(&self, arguments: &[&str], expected: i32) -> Output {
        let mut last = self.run("gocc", &[&["test"], arguments].concat());
        for _ in 1..TRIES {
            if last.status.code() == Some(expected) {
                break;
            }
            last = self.run("gocc", &[&["test"], arguments].concat());
        }
        assert_eq!(last.status.code(), Some(expected), "{}", both(&last));
        last
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn both(output: &Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// `FAIL example.org/shop/cart` and `ok example.org/shop/orders`, without times.
fn verdicts(stdout: &str) -> BTreeSet<String> {
    let lines = stdout.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let verdict = words.next().filter(|word| ["FAIL", "ok"].contains(word))?;
        Some(format!("{verdict} {}", words.next()?))
    });
    lines.collect()
}

fn expected(racy: &[&str]) -> BTreeSet<String> {
    let packages = ["cart", "orders", "prices", "stock"];
    let verdict = |package: &&str| {
        let verdict = if racy.contains(package) { "FAIL" } else { "ok" };
        format!("{verdict} example.org/shop/{package}")
    };
    packages.iter().map(verdict).collect()
}

/// The tests in whose goroutines a JSON report has findings.
fn racy_tests(report: &Path) -> BTreeSet<String> {
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let tests = findings.flat_map(|finding| {
        assert_eq!(finding["grade"], "confirmed", "{finding:#}");
        let sides = finding["sides"].as_array().unwrap().iter();
        let functions = sides.flat_map(|side| side["stack"].as_array().unwrap().iter());
        let names = functions.filter_map(|frame| frame["function"].as_str());
        let tests = names.filter_map(|name| name.split(".Test").nth(1));
        let tests = tests.filter_map(|rest| rest.split('.').next());
        tests.map(str::to_owned).collect::<Vec<_>>()
    });
    tests.collect()
}

fn two_racy_tests() -> BTreeSet<String> {
    ["ConcurrentCheckout", "ReserveWhileListing"]
        .map(str::to_owned)
        .into()
}

/// Nothing is set up but a flag of go test.
#[test]
fn go_test_exec_finds_both_races_and_nothing_else() {
    for version in common::sample_versions(&["1.21", "1.27"]) {
        let Some(module) = Module::copy("shop", &version) else {
            continue;
        };
        let reports = module.path().join("reports");
        let exec = format!("gocc exec --mode hunt --reports {} --", reports.display());
        for _ in 0..TRIES {
            let _ = std::fs::remove_dir_all(&reports);
            let output = module.run("go", &["test", "-exec", &exec, "./..."]);
            let stdout = text(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "{}", both(&output));
            if verdicts(&stdout) != expected(&["cart", "stock"]) {
                continue;
            }
            // The report stands in the package's output.
            let heading = "WARNING: CONCURRENT MAP ACCESS (confirmed: ";
            assert!(stdout.matches(heading).count() >= 2, "{stdout}");
            break;
        }
        let merged = module.path().join("merged.json");
        let merge = ["merge", "reports", "-o", "merged.json"];
        let output = module.run("gocc", &merge);
        assert_eq!(output.status.code(), Some(66), "{}", both(&output));
        assert_eq!(racy_tests(&merged), two_racy_tests(), "Go {version}");
    }
}

#[test]
fn gocc_test_reports_once_at_the_end_as_gocc_toml_wants() {
    let Some(module) = Module::copy("shop", "1.27") else {
        return;
    };
    let report = module.path().join("report.json");
    module.write("gocc.toml", "[run]\nmode = \"hunt\"\n");
    let arguments = [
        "--report",
        "report.json",
        "--format",
        "json",
        "-count=1",
        "./...",
    ];
    for _ in 0..TRIES {
        let output = module.gocc_test(&arguments, 66);
        let stderr = text(&output.stderr);
        if racy_tests(&report) == two_racy_tests() {
            assert_eq!(
                verdicts(&text(&output.stdout)),
                expected(&["cart", "stock"])
            );
            assert!(
                stderr.contains(" in 4 processes: all confirmed."),
                "{stderr}"
            );
            break;
        }
    }
    assert_eq!(racy_tests(&report), two_racy_tests());

    // Of what is known only new things fail.
    let baseline = module.run("gocc", &["baseline", "report.json", "-o", "known.json"]);
    assert!(baseline.status.success(), "{}", both(&baseline));
    let with_baseline = "baseline = \"known.json\"\n[run]\nmode = \"hunt\"\n";
    module.write("gocc.toml", with_baseline);
    let output = module.gocc_test(&["-count=1", "./..."], 0);
    assert_eq!(verdicts(&text(&output.stdout)), expected(&[]));

    let suppressed = |expires: &str| {
        format!(
            "[run]\nmode = \"hunt\"\n\
             [[suppress]]\nfunction = \"example.org/shop/cart.(*Cart).*\"\nreason = \"one owner\"\n\
             expires = {expires}\n\
             [[suppress]]\nfile = \"stock/*.go\"\nmap = \"map[string]int\"\nreason = \"known\"\n"
        )
    };
    module.write("gocc.toml", &suppressed("2999-12-31"));
    let output = module.gocc_test(&["-count=1", "./..."], 0);
    assert_eq!(verdicts(&text(&output.stdout)), expected(&[]));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("Allowed: "), "{stderr}");
    assert!(
        stderr.contains("gocc.toml:3: one owner, until 2999-12-31"),
        "{stderr}"
    );

    // What has expired fails, even where the race does not show itself.
    module.write("gocc.toml", &suppressed("2020-01-31"));
    let output = module.gocc_test(&["-count=1", "./prices"], 66);
    let said = text(&output.stderr);
    assert!(
        said.contains("gocc.toml:3: the suppression of function "),
        "{said}"
    );
    assert!(said.contains(" expired on 2020-01-31"), "{said}");
    // The code is 66 whether or not the race shows itself: it alone does not say when to try again.
    let fails = || {
        let output = module.gocc_test(&["-count=1", "./cart"], 66);
        text(&output.stdout).contains("FAIL\texample.org/shop/cart")
    };
    assert!((0..TRIES).any(|_| fails()));
}

/// A tree, or a report of the scanner, says where to hunt in every test binary.
#[test]
fn gocc_test_hunts_where_the_scanner_suspects_something() {
    let Some(module) = Module::copy("shop", "1.27") else {
        return;
    };
    let scan = ["scan", "--all", "--format", "json", "--output", "scan.json"];
    let output = module.run("gocc", &scan);
    assert!(output.status.code().is_some(), "{}", both(&output));
    for focus in ["--focus", "--focus=scan.json"] {
        let output = module.gocc_test(&[focus, "-count=1", "./cart", "./prices"], 66);
        let shown = both(&output);
        assert_eq!(output.status.code(), Some(66), "{shown}");
        assert!(
            shown.contains("places that the scanner suspects"),
            "{shown}"
        );
    }
}

#[test]
fn what_go_test_itself_says_gets_through() {
    let Some(module) = Module::copy("shop", "1.27") else {
        return;
    };
    module.write(
        "prices/broken_test.go",
        "package prices\nimport \"testing\"\nfunc TestNo(t *testing.T) { t.Error(\"no\") }\n",
    );
    let output = module.run("gocc", &["test", "./prices"]);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(
        text(&output.stdout).contains("--- FAIL: TestNo"),
        "{}",
        both(&output)
    );

    module.write("prices/broken_test.go", "package prices\nfunc\n");
    let output = module.run("gocc", &["test", "./prices"]);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(
        text(&output.stderr).contains("no test binary left a ring"),
        "{}",
        both(&output)
    );

    for (argument, says) in [("-exec=x", "an -exec of its own"), ("-c", "nothing is run")] {
        let output = module.run("gocc", &["test", argument, "./prices"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(says), "{}", both(&output));
    }
    let output = module.command("gocc").arg("test").env("PATH", "").output();
    // Without PATH not even gocc is found by name.
    assert!(output.is_err());
    let mut without_go = Command::new(GOCC);
    let output = without_go
        .arg("test")
        .env("PATH", "/nonexistent")
        .output()
        .unwrap();
    assert!(
        text(&output.stderr).starts_with("gocc: error: cannot run go "),
        "{}",
        both(&output)
    );
}

#[test]
fn go_run_exec_works_as_well() {
    let Some(module) = Module::copy("shop", "1.27") else {
        return;
    };
    std::fs::create_dir(module.path().join("till")).unwrap();
    let main = "package main\nimport (\"fmt\"; \"os\"; \"example.org/shop/cart\")\n\
                func main() { c := cart.New(); c.Add(os.Args[1], 3); fmt.Println(c.Total()); os.Exit(7) }\n";
    module.write("till/main.go", main);
    let output = module.run("go", &["run", "-exec", "gocc exec --", "./till", "tea"]);
    assert_eq!(text(&output.stdout), "3\n", "{}", both(&output));
    assert!(
        text(&output.stderr).contains("exit status 7"),
        "{}",
        both(&output)
    );
    assert!(
        text(&output.stderr).contains("gocc: Found no concurrent map access"),
        "{}",
        both(&output)
    );
}
