//! The tools people use on executables work on a patched one as on any other, and gocc's own
//! `inspect` and `unpatch` tell and undo what was done.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::plan::{output_of, run, scratch};
use common::{fixture, toolchain};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "1.27";
const VARIANTS: [&str; 5] = ["static", "pie", "cgo", "cgopie", "stripped"];

fn gocc() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("gocc"))
}

fn patch(input: &Path, output: &Path) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("gocc-patch"));
    run(command.arg(input).arg("-o").arg(output));
}

/// testdata/plain, built in each of these ways that the toolchain at hand can, and patched.
fn patched(dir: &Path, variants: &[&'static str]) -> Vec<(&'static str, PathBuf, PathBuf)> {
    let built = variants.iter().filter_map(|variant| {
        let input = fixture("plain", VERSION, variant).unwrap()?.path;
        let output = dir.join(variant);
        patch(&input, &output);
        Some((*variant, input, output))
    });
    built.collect()
}

/// A tool; the go command is that of the executable's toolchain.
fn command(program: &str) -> Command {
    let root = toolchain(VERSION).unwrap().filter(|_| program == "go");
    Command::new(root.map_or(PathBuf::from(program), |root| root.join("bin/go")))
}

/// What a tool says on stdout, without the file's name; it must not complain on stderr about the
/// patched file when it does not about the original.
fn tool(program: &str, args: &[&str], file: &Path) -> (String, String) {
    let output = run(command(program).args(args).arg(file));
    let name = file.to_string_lossy();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(&*name, "FILE");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn binutils_and_go_tools_have_no_complaints() {
    let dir = scratch();
    let tools: [(&str, &[&str]); 8] = [
        ("readelf", &["-aW"]),
        ("objdump", &["-d"]),
        ("objdump", &["-hpt"]),
        ("nm", &["-n"]),
        ("go", &["tool", "nm"]),
        ("go", &["tool", "objdump", "-s", "^main\\.main$"]),
        ("go", &["version", "-m"]),
        ("llvm-objdump", &["-d", "-j", ".gocc.text"]),
    ];
    for (variant, input, output) in patched(dir.path(), &VARIANTS) {
        for (program, args) in tools {
            let what = format!("{program} {args:?} {variant}");
            let (text, complaints) = tool(program, args, &output);
            // Of a stripped program nm has nothing to say, which it says on stderr.
            let before = command(program).args(args).arg(&input).output().unwrap();
            let before =
                String::from_utf8_lossy(&before.stderr).replace(&*input.to_string_lossy(), "FILE");
            assert!(
                complaints.is_empty() || complaints == before,
                "{what}: {complaints}"
            );
            assert!(
                !text.contains("Warning:") && !text.contains("Error:"),
                "{what}: {text}"
            );
        }
        assert_eq!(
            tool("go", &["version", "-m"], &output),
            tool("go", &["version", "-m"], &input)
        );
        let names = tool("nm", &[], &output).0;
        assert!(names.contains(" T gocc.init"), "{variant}: {names}");
        assert!(names.contains(" B gocc.ring"), "{variant}: {names}");
    }
}

#[test]
fn build_id_notes_are_kept() {
    let dir = scratch();
    for (variant, input, output) in patched(dir.path(), &VARIANTS) {
        let notes = |file: &Path| {
            let text = tool("readelf", &["-nW"], file).0;
            let of_note =
                |line: &&str| line.contains("Build ID:") || line.trim_start().starts_with("Go ");
            text.lines()
                .filter(of_note)
                .map(String::from)
                .collect::<Vec<_>>()
        };
        assert!(!notes(&input).is_empty());
        assert_eq!(notes(&output), notes(&input), "{variant}");
    }
}

#[test]
fn gdb_stops_in_main_and_knows_the_hooks() {
    let dir = scratch();
    for (variant, _, output) in patched(dir.path(), &["static", "pie", "cgo"]) {
        let mut gdb = Command::new("gdb");
        gdb.args([
            "-nx",
            "-batch",
            "-ex",
            "break main.main",
            "-ex",
            "run",
            "-ex",
            "bt",
        ]);
        gdb.args(["-ex", "x/2i 'gocc.init'"]);
        let text = run(gdb.arg(&output));
        let (text, complaints) = (
            String::from_utf8_lossy(&text.stdout),
            String::from_utf8_lossy(&text.stderr),
        );
        assert!(
            text.contains("#0  main.main ()"),
            "{variant}: {text}{complaints}"
        );
        assert!(
            text.contains("<gocc.init>:"),
            "{variant}: {text}{complaints}"
        );
        assert!(
            !complaints.to_lowercase().contains("warning: section"),
            "{variant}: {complaints}"
        );
    }
}

#[test]
fn patched_programs_run_as_before_also_after_strip() {
    let dir = scratch();
    for (variant, input, output) in patched(dir.path(), &VARIANTS) {
        let expected = output_of(&input);
        assert_eq!(output_of(&output), expected, "{variant}");
        for strip in ["strip", "llvm-strip"] {
            let stripped = dir.path().join("stripped");
            let done = run(Command::new(strip).arg("-o").arg(&stripped).arg(&output));
            assert!(
                done.stderr.is_empty(),
                "{strip} {variant}: {}",
                String::from_utf8_lossy(&done.stderr)
            );
            assert_eq!(output_of(&stripped), expected, "{strip} {variant}");
        }
    }
}

fn inspect(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&run(gocc().args(["inspect", "--json"]).arg(file)).stdout).unwrap()
}

#[test]
fn inspect_tells_before_what_it_tells_after() {
    let dir = scratch();
    for (variant, input, output) in patched(dir.path(), &VARIANTS) {
        let (before, after) = (inspect(&input), inspect(&output));
        assert_eq!(before["schema"], "gocc-inspect/1");
        assert_eq!(
            (&before["patched"], &after["patched"]),
            (&false.into(), &true.into())
        );
        assert_eq!(before["go"], after["go"], "{variant}");
        for key in ["sites", "segments", "edits"] {
            assert!(!before["plan"][key].as_array().unwrap().is_empty());
            assert_eq!(before["plan"][key], after["note"][key], "{variant}: {key}");
        }
        assert_eq!(
            after["note"]["input_size"],
            fs::metadata(&input).unwrap().len()
        );
        let text = String::from_utf8(run(gocc().arg("inspect").arg(&output)).stdout).unwrap();
        assert!(text.contains("Patched by gocc"), "{text}");
        assert!(text.contains("runtime.mapassign_fast64 at 0x"), "{text}");
    }
}

#[test]
fn unpatch_returns_the_original_and_patched_files_are_refused() {
    let dir = scratch();
    for (variant, input, output) in patched(dir.path(), &VARIANTS) {
        let restored = dir.path().join("restored");
        run(gocc().arg("unpatch").arg(&output).arg("-o").arg(&restored));
        assert!(
            fs::read(&input).unwrap() == fs::read(&restored).unwrap(),
            "{variant}"
        );
        for args in [["patch"], ["unpatch"]] {
            // Patching what is patched, and unpatching what is not.
            let file = if args == ["patch"] { &output } else { &input };
            let never = dir.path().join("never");
            let failed = gocc()
                .args(args)
                .arg(file)
                .arg("-o")
                .arg(&never)
                .output()
                .unwrap();
            assert_eq!(failed.status.code(), Some(1));
            let message = String::from_utf8_lossy(&failed.stderr);
            assert!(message.contains("patched"), "{message}");
            assert!(!never.exists());
        }
    }
}
