//! Patches for what the scanner finds: on a package of the labelled set, built, tested and scanned again.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::{fixture, toolchain};
use std::path::Path;
use std::process::{Command, Output};

fn copy(package: &str, to: &Path) -> anyhow::Result<()> {
    let from = fixture::repository().join("testdata/scan");
    std::fs::copy(from.join("go.mod"), to.join("go.mod"))?;
    std::fs::create_dir(to.join(package))?;
    for entry in std::fs::read_dir(from.join(package))? {
        let path = entry?.path();
        std::fs::copy(&path, to.join(package).join(path.file_name().unwrap()))?;
    }
    Ok(())
}

fn scan(module: &Path, goroot: &Path, option: &str) -> anyhow::Result<Output> {
    scan_with(module, goroot, &[option])
}

fn scan_with(module: &Path, goroot: &Path, options: &[&str]) -> anyhow::Result<Output> {
    let path = format!(
        "{}:{}",
        goroot.join("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    Ok(Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--no-tests"])
        .args(options)
        .arg(".")
        .current_dir(module)
        .env("PATH", path)
        .env("GOROOT", goroot)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-buildvcs=false")
        .output()?)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn all_maps_of_a_package_are_fixed_once_and_for_all() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("captured", module.path())?;
    let file = module.path().join("captured/captured.go");
    let before = std::fs::read_to_string(&file)?;

    let proposed = scan(module.path(), &goroot, "--diff")?;
    assert_eq!(proposed.status.code(), Some(66), "{}", stderr(&proposed));
    let diff = String::from_utf8_lossy(&proposed.stdout).into_owned();
    assert!(
        diff.contains("+\tvar seenMu sync.RWMutex // guards seen"),
        "{diff}"
    );
    assert_eq!(
        std::fs::read_to_string(&file)?,
        before,
        "--diff touches nothing"
    );

    let fixed = scan(module.path(), &goroot, "--fix")?;
    assert!(
        stderr(&fixed).contains("8 of 8 maps fixed"),
        "{}",
        stderr(&fixed)
    );
    assert_eq!(fixed.status.code(), Some(0), "{}", stderr(&fixed));
    assert_ne!(std::fs::read_to_string(&file)?, before);

    let after = std::fs::read_to_string(&file)?;
    let again = scan(module.path(), &goroot, "--fix")?;
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(
        std::fs::read_to_string(&file)?,
        after,
        "nothing is left to do"
    );
    Ok(())
}

#[test]
fn what_leaves_sight_is_refused_with_a_reason() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("syncmaps", module.path())?;
    let output = scan(module.path(), &goroot, "--diff")?;
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(66), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
    assert!(
        text.contains("no fix for own") && text.contains("it is passed to shared.Store"),
        "{text}"
    );
    assert!(text.contains("the map comes from somewhere else"), "{text}");
    Ok(())
}

/// Behind a call of a function that keeps a lock which it has taken, a second Lock would wait for ever.
#[test]
fn where_a_called_function_changes_what_is_held_nothing_is_locked() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("conditions", module.path())?;
    let output = scan(module.path(), &goroot, "--diff")?;
    let text = stderr(&output);
    let refused = text.lines().any(|line| {
        line.contains("no fix for RacyBegin.m") && line.contains("c.begin returns with other locks")
    });
    assert!(refused, "{text}");
    let diff = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!diff.contains("c.begin()"), "{diff}");
    Ok(())
}

/// A module of testdata/fixes, whose sources say before each case what must be said about it: all of it is, and
/// the patched module passes its tests.
fn says_what_its_source_says(module: &str, prefer: &str) -> anyhow::Result<Option<String>> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(None);
    };
    let place = tempfile::tempdir()?;
    let mut expected: Vec<(usize, String)> = Vec::new();
    let mut source = String::new();
    for entry in std::fs::read_dir(fixture::repository().join("testdata/fixes").join(module))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let label = |line: &str| line.strip_prefix("//gocc:fix ").map(str::to_owned);
        let lines = (1..).zip(text.lines());
        expected.extend(lines.filter_map(|(number, line)| Some((number, label(line)?))));
        std::fs::write(place.path().join(path.file_name().unwrap()), &text)?;
        if text.contains("//gocc:fix ") {
            source = path.file_name().unwrap().to_str().unwrap().to_owned();
        }
    }
    let output = scan_with(place.path(), &goroot, &["--fix", "--prefer", prefer])?;
    let said = stderr(&output);
    println!("{said}");
    let outcomes: Vec<(usize, &str)> = said
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(&format!("({source}:"))?;
            let (number, what) = rest.split_once("): ")?;
            Some((number.parse().ok()?, what))
        })
        .collect();
    assert!(expected.len() > 5 && outcomes.len() >= expected.len());
    for (at, (first, label)) in expected.iter().enumerate() {
        let last = expected.get(at + 1).map_or(usize::MAX, |next| next.0);
        let own = outcomes
            .iter()
            .find(|(line, _)| (*first..last).contains(line));
        assert!(
            own.is_some_and(|(_, what)| what.contains(label)),
            "{source}:{first}: {label}, but {own:?}"
        );
    }
    Ok(Some(std::fs::read_to_string(place.path().join(source))?))
}

#[test]
fn a_sync_map_where_each_use_is_one_of_its_methods() -> anyhow::Result<()> {
    let Some(fixed) = says_what_its_source_says("sync_map", "sync.Map")? else {
        return Ok(());
    };
    for part in [
        // An untyped constant has the element's type in the interface, too.
        "sizes.Store(strconv.Itoa(i), int64(limit))",
        "sizes.Store(\"first\", int64(7))",
        "for _, value := range sizes.Range {\n\t\tsize, _ := value.(int64)\n\t\tif size > 1000 {",
        "faults.Store(9, error(nil))",
        "return &queue{name: \"q\"}",
        "value, ok := q.jobs.LoadAndDelete(id)",
        "agreed, _ := pools.LoadOrStore(\"a\", pool)",
        "if _, loaded := marks.LoadOrStore(\"a\", true); !loaded {",
        "lengthMu.RLock()",
    ] {
        assert!(fixed.contains(part), "{part}\n{fixed}");
    }
    Ok(())
}

#[test]
fn a_struct_where_all_keys_are_known() -> anyhow::Result<()> {
    let Some(fixed) = says_what_its_source_says("structs", "struct")? else {
        return Ok(());
    };
    for part in [
        "page := pageValues{title: \"\", pageSize: 0}",
        "page.pageSize = 4 + page.pageSize",
        "size := page.pageSize",
        "var statsMu sync.RWMutex // guards stats",
        "n, ok := stats.count, true",
        "seen  time.Time",
        "latest = latestValues{id: 1, userName: \"last\"}",
    ] {
        assert!(fixed.contains(part), "{part}\n{fixed}");
    }
    Ok(())
}

/// Nobody asked for a sync.Map, but no lock can be held for a deferred call.
#[test]
fn a_sync_map_where_a_lock_is_not_possible() -> anyhow::Result<()> {
    let Some(goroot) = toolchain("1.25")? else {
        return Ok(());
    };
    let module = tempfile::tempdir()?;
    copy("choices", module.path())?;
    let fixed = scan(module.path(), &goroot, "--fix")?;
    let said = stderr(&fixed);
    assert_eq!(fixed.status.code(), Some(0), "{said}");
    assert!(
        said.contains(
            "switch to sync.Map, inflight in 2 places (no lock: it is used in a deferred call)"
        ),
        "{said}"
    );
    let text = std::fs::read_to_string(module.path().join("choices/choices.go"))?;
    assert!(text.contains("defer inflight.Delete(id)"), "{text}");
    assert!(
        text.contains("weightsMu.Lock()"),
        "a lock where it is possible\n{text}"
    );
    Ok(())
}

#[test]
fn what_is_preferred_is_a_question_of_patches() -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--prefer", "struct"])
        .output()?;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--diff"), "{}", stderr(&output));
    Ok(())
}

/// Without a toolchain nothing can be proved, so nothing is proposed.
#[test]
fn without_go_nothing_is_proposed() -> anyhow::Result<()> {
    let module = tempfile::tempdir()?;
    copy("captured", module.path())?;
    let output = Command::new(env!("CARGO_BIN_EXE_gocc"))
        .args(["scan", "--no-tests", "--diff", "."])
        .current_dir(module.path())
        .env("PATH", module.path())
        .output()?;
    let text = stderr(&output);
    assert!(output.stdout.is_empty(), "{text}");
    assert!(
        text.contains("there is no Go toolchain to check a patch with"),
        "{text}"
    );
    Ok(())
}
