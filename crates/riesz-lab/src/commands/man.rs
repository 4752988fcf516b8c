//! `riesz man`: manual pages, generated from the command's own definitions.

use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::outputs;
use crate::console::out;
use crate::{Error, Result, atomic};

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
/// If the disk refuses; if that is known before, nothing is written.
pub fn run(args: &ManArgs, command: Command) -> Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.output else {
        out!("{}", page(command)?);
        return Ok(());
    };
    let mut pages = Vec::new();
    collect(&command, folder, &mut pages)?;
    outputs::check_folder(folder, pages.iter().map(|(path, _)| path.as_path()))?;
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, &error))?;
    pages.iter().try_for_each(|(path, page)| atomic::write_bytes(path, page.as_bytes()))
}

/// The pages of a command and its verbs, with their places in `folder`.
fn collect(command: &Command, folder: &Path, pages: &mut Vec<(PathBuf, String)>) -> Result<()> {
    let name = Man::new(command.clone()).get_filename();
    pages.push((folder.join(name), page(command.clone())?));
    let mut verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    verbs.try_for_each(|verb| collect(verb, folder, pages))
}

/// A command's page: its own first line with program and version, since an empty date shifts those of the generator, and what stands
/// below the help, since that has lines which are commands.
fn page(command: Command) -> Result<String> {
    let below = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let bare = command.after_help(None::<&str>).after_long_help(None::<&str>);
    let mut text = Vec::new();
    Man::new(bare).render(&mut text).map_err(|error| Error::io("the manual page", &error))?;
    let mut page = String::new();
    for line in String::from_utf8_lossy(&text).lines() {
        match line.starts_with(".TH ") {
            true => {
                let version = env!("CARGO_PKG_VERSION");
                page.push_str(&format!(".TH \"{name}\" \"1\" \"\" \"riesz {version}\" \"User Commands\""));
            }
            false => page.push_str(line),
        }
        page.push('\n');
    }
    page.push_str(&below.map_or_else(String::new, |below| section(&below)));
    Ok(page)
}

/// What stands below the help, as a section: indented lines as they are, others filled.
fn section(below: &str) -> String {
    let (title, below) = match below.strip_prefix("Examples:\n") {
        Some(examples) => ("EXAMPLES", examples),
        None => ("NOTES", below),
    };
    let mut lines = Roff::new();
    lines.control("SH", [title]);
    let mut is_literal = false;
    for line in below.lines() {
        if line.starts_with(' ') != is_literal {
            is_literal = !is_literal;
            lines.control(if is_literal { "nf" } else { "fi" }, []);
        }
        match line.is_empty() {
            true => lines.control("PP", []),
            false => lines.text([roman(line)]),
        };
    }
    if is_literal {
        lines.control("fi", []);
    }
    // What comes before stands at the head of the page already.
    let section = lines.render();
    section.find(".SH").map_or_else(String::new, |from| section[from..].to_owned())
}
