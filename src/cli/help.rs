//! Help that fits a screen, and everything else that is made from the command line's definition.
//!
//! `-h` and `--help` show the options that people use, a line or two each, with an example: at most 24 lines of 80
//! columns (tests/help.rs). `gocc help COMMAND` and the man pages tell everything.

use super::output;
use crate::patch::Mode;
use anyhow::Context;
use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command, ValueEnum};
use clap_complete::Shell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A list of values that is longer than this stands in the long help only.
const FEW: usize = 3;

impl ValueEnum for Mode {
    fn value_variants<'a>() -> &'a [Mode] {
        &Mode::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// The two executables.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Executable {
    #[default]
    Gocc,
    GoccPatch,
}

impl Executable {
    fn command(self) -> Command {
        match self {
            Executable::Gocc => super::gocc_command(),
            Executable::GoccPatch => super::gocc_patch_command(),
        }
    }
}

/// Write the completions of a shell to stdout
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  bash  source <(gocc completions bash)
  zsh   gocc completions zsh > \"${fpath[1]}/_gocc\"
  fish  gocc completions fish > ~/.config/fish/completions/gocc.fish")]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
    /// For which executable: gocc or gocc-patch
    #[arg(long, value_enum, default_value_t)]
    of: Executable,
}

pub fn completions(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut command = args.of.command();
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    output::to_stdout_as_is(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Write the man pages of all commands into a directory
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  gocc man ~/.local/share/man/man1 && man gocc-exec")]
pub struct ManArgs {
    /// The directory; it is made when it is missing
    directory: PathBuf,
}

pub fn man(args: ManArgs) -> anyhow::Result<ExitCode> {
    let cannot = || format!("cannot write man pages to {}", args.directory.display());
    std::fs::create_dir_all(&args.directory).with_context(cannot)?;
    for executable in Executable::value_variants() {
        let command = executable.command().disable_help_subcommand(true);
        pages(command, &args.directory).with_context(cannot)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One page for the command and one for each of its subcommands.
fn pages(mut command: Command, directory: &Path) -> std::io::Result<()> {
    command.build();
    for subcommand in command
        .get_subcommands()
        .filter(|found| !found.is_hide_set())
    {
        clap_mangen::Man::new(subcommand.clone()).generate_to(directory)?;
    }
    clap_mangen::Man::new(command).generate_to(directory)?;
    Ok(())
}

/// Gives a command and its subcommands help that fits a screen.
pub fn fitted(command: Command) -> Command {
    let subcommands: Vec<String> = command
        .get_subcommands()
        .map(|found| found.get_name().to_owned())
        .collect();
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpShort)
        .help("Print help (all of it: gocc help COMMAND)");
    let command = command
        .disable_help_flag(true)
        .arg(help)
        .mut_args(without_long_lists);
    subcommands.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, fitted)
    })
}

/// What values an option can have goes where there is room: into its long help.
fn without_long_lists(argument: Arg) -> Arg {
    let takes_value = argument.get_action().takes_values();
    let values = argument.get_value_parser().possible_values();
    let values: Vec<PossibleValue> = values.into_iter().flatten().collect();
    if !takes_value || values.len() <= FEW {
        return argument;
    }
    let said = argument.get_long_help().or(argument.get_help());
    let mut text = said.map(ToString::to_string).unwrap_or_default();
    text.push('\n');
    for value in values.iter().filter(|value| !value.is_hide_set()) {
        let meaning = value.get_help().map(|help| format!(": {help}"));
        text.push_str(&format!(
            "\n- {}{}",
            value.get_name(),
            meaning.unwrap_or_default()
        ));
    }
    argument.hide_possible_values(true).long_help(text)
}
