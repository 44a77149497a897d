//! `octothorpe man`: the pages of the manual, written from the same words as `--help`.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command;
use clap_mangen::Man;

use super::wrong;

/// Print the page of the manual, or write those of all commands.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  octothorpe man | man -l -
  octothorpe man --out /usr/local/share/man/man1      # and then: man octothorpe-serve

Exit codes: 0 written, 2 wrong usage, 70 our fault.")]
pub(super) struct Args {
    /// Write octothorpe.1, octothorpe-serve.1 and so on in this folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Carries the command out.
///
/// # Errors
/// When the pages cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let pages = pages()?;
    match &args.out {
        Some(folder) => {
            for (name, page) in pages {
                let file = folder.join(format!("{name}.1"));
                let refused = |error| wrong(format!("cannot write {}: {error}", file.display()));
                fs::write(&file, page).map_err(refused)?;
            }
        }
        None => {
            let (_, page) = pages.first().ok_or_else(|| wrong("there is no page"))?;
            io::stdout().write_all(page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every page with its name, the program's own first.
///
/// # Errors
/// Never, in fact: they are written to memory.
pub(super) fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut tree = super::tree().disable_help_subcommand(true);
    tree.build();
    let mut pages = Vec::new();
    add(&tree, &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    let source = format!("octothorpe {}", crate::failpoint::VERSION);
    Man::new(command.clone()).source(source).render(&mut page)?;
    pages.push((name, page));
    command.get_subcommands().filter(|it| !it.is_hide_set()).try_for_each(|it| add(it, pages))
}
