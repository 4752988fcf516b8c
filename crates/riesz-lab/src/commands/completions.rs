//! `riesz completions`: what a shell needs to complete this command, generated from its own definitions.

use clap_complete::Shell;

use crate::Result;
use crate::console::out;

/// Arguments of `riesz completions`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  riesz completions bash > ~/.local/share/bash-completion/completions/riesz
  riesz completions zsh > ~/.zfunc/_riesz       with fpath+=~/.zfunc before compinit in ~/.zshrc
  riesz completions fish > ~/.config/fish/completions/riesz.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// None.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "riesz", &mut script);
    out!("{}", String::from_utf8_lossy(&script));
    Ok(())
}
