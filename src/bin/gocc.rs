//! `gocc`: run, report, inspect.

fn main() -> std::process::ExitCode {
    gocc::cli::main_gocc()
}
