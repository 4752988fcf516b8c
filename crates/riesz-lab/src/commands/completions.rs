//! `riesz completions`: what a shell needs to complete this command, generated from its own definitions.

use clap::Command;
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
pub fn run(args: &CompletionsArgs, command: Command) -> Result<()> {
    out!("{}", script(args.shell, command));
    Ok(())
}

fn script(shell: Shell, command: Command) -> String {
    let mut command = with_own_help(command);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "riesz", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Zsh => command.get_subcommands().fold(script, with_verbs_first),
        _ => script,
    }
}

/// The command whose verb `help` names all others and not itself: of one that does, fish's script says that a verb was named once
/// `help` was, and completes none.
fn with_own_help(command: Command) -> Command {
    let help = names_of(&command, "help").about("Print help of the command or a verb");
    command.disable_help_subcommand(true).subcommand(help)
}

/// A command without arguments, of such verbs.
fn names_of(command: &Command, name: &str) -> Command {
    let verb = |verb: &Command| names_of(verb, verb.get_name());
    let about = command.get_about().cloned().unwrap_or_default();
    let verbs = command.get_subcommands().map(verb);
    Command::new(name.to_owned()).about(about).disable_help_flag(true).subcommands(verbs)
}

/// How zsh's script begins what a verb takes.
const ARGUMENTS: &str = "_arguments \"${_arguments_options[@]}\" : \\";

/// zsh's script where a verb takes either files or a verb of its own: the generator lets that come behind a file, and here it comes in
/// the place of the first one; behind a file come flags and more files. A script of another form stays as it comes, which
/// `tests/shells.rs` would not pass.
fn with_verbs_first(script: String, verb: &Command) -> String {
    if !verb.has_subcommands() || verb.get_positionals().count() != 1 {
        return script;
    }
    let verbs = format!("_riesz__subcmd__{}_commands", verb.get_name());
    let mended = || {
        let (before, after) = script.split_once(&format!("\n\":: :{verbs}\" \\\n"))?;
        let files = before.strip_suffix(":_files' \\")?;
        let (_, flags) = before.rsplit_once(ARGUMENTS)?;
        let (flags, _) = flags.rsplit_once('\n')?;
        let (own, rest) = after.split_once("        esac\n")?;
        let own = own.replace("$line[2]", "$line[1]");
        Some(format!(
            "{files}:{{ {verbs}; _files }}' \\\n{own}(*)\n{ARGUMENTS}{flags}\n'*:file:_files' \\\n&& ret=0\n;;\n        esac\n{rest}"
        ))
    };
    mended().unwrap_or(script)
}
