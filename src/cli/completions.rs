//! `octothorpe completions`: what shells complete commands and options by.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::{Shell, generate};

/// Print what a shell completes this program's commands and options by.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe completions bash > /etc/bash_completion.d/octothorpe
  octothorpe completions zsh > ~/.zfunc/_octothorpe              # a folder of fpath
  octothorpe completions fish > ~/.config/fish/completions/octothorpe.fish

Exit codes: 0 printed, 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// The shell.
    shell: Shell,
}

/// Carries the command out.
///
/// # Errors
/// When standard output cannot be written to.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(&script(args.shell))?;
    Ok(ExitCode::SUCCESS)
}

/// The shell's script.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut tree = super::tree();
    let name = tree.get_name().to_owned();
    generate(shell, &mut tree, name, &mut script);
    script
}
