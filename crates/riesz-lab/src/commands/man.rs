//! `riesz man`: manual pages, generated from the command's own definitions.

use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

use crate::console::out;
use crate::{Error, Result};

/// Arguments of `riesz man`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz man | man -l -                           read riesz(1)
  riesz man --output ~/.local/share/man/man1     write riesz.1, riesz-train.1, …; then `man riesz-train`")]
pub struct ManArgs {
    /// The folder for one page a verb [default: riesz(1) alone, to standard output]
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Prints a page or writes all.
///
/// # Errors
/// If the disk refuses.
pub fn run(args: &ManArgs, command: Command) -> Result<()> {
    let Some(folder) = &args.output else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(|error| Error::io("the manual page", &error))?;
        out!("{}", String::from_utf8_lossy(&page));
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Error::io(folder, &error))
}
