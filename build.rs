//! Compiles the shim, the code that runs inside the target (`stubs/shim.rs`), to one linked,
//! position-independent image. Needs what cargo itself needs: rustc and a C compiler to link with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(gocc_shim)");
    println!("cargo::rerun-if-changed=stubs");
    println!("cargo::rerun-if-changed=build.rs");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    compile_shim(&root.join("stubs"), &out.join("shim.elf"));
}

fn compile_shim(stubs: &Path, output: &Path) {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let linker = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let script = stubs.join("shim.ld");
    let mut command = Command::new(rustc);
    command
        .args(["--edition", "2024", "--crate-name", "gocc_shim", "--crate-type", "bin"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--cfg", "gocc_shim"])
        .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "relocation-model=pic"])
        .args(["-C", "force-unwind-tables=yes", "-C", "codegen-units=1", "-C", "debuginfo=0"])
        .args(["-C", "overflow-checks=off", "-C", "debug-assertions=off", "-C", "no-redzone=yes"])
        .args(["-C", "relro-level=off"])
        .arg("-C")
        .arg(format!("linker={}", linker.to_string_lossy()))
        .arg("-C")
        .arg(format!(
            "link-args=-nostdlib -nostartfiles -static -Wl,-T,{} -Wl,--build-id=none -Wl,-z,text -Wl,-z,noexecstack",
            script.display()
        ))
        .arg("-o")
        .arg(output)
        .arg(stubs.join("shim.rs"));
    // The shim is compiled for its own target, whatever flags the user chose for gocc itself.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("the shim did not compile: {status}")),
        Err(error) => fail(&format!("cannot run {:?}: {error}", command.get_program())),
    }
    if fs::metadata(output).is_err() {
        fail("the shim was not produced");
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}
