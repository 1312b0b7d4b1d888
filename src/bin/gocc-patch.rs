//! `gocc-patch`: rewrite an executable.

fn main() -> std::process::ExitCode {
    gocc::cli::main_gocc_patch()
}
