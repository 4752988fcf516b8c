//! Every command line that the documents and the help show is one that the program takes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;
use riesz_lab::cli::Cli;

/// The words of a shell's line up to a comment, in lists that `|`, `&`, `;` or a redirection end.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut is_file) = (None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            (None, '|' | '&' | ';' | '>' | '(' | ')') => {
                words.extend(word.take());
                let command = std::mem::take(&mut words);
                // What follows `>` is a file.
                if !std::mem::replace(&mut is_file, c == '>') {
                    commands.push(command);
                }
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !is_file {
        commands.push(words);
    }
    commands
}

/// Checks the commands of a line that are riesz's; how many there are.
fn check(line: &str, place: &str) -> usize {
    let mut checked = 0;
    for words in commands(line) {
        let own = words.iter().position(|word| word == "riesz" || word.ends_with("/riesz"));
        let arguments = match own {
            // `cargo run --release --bin riesz -- train`
            Some(at) if words[0] == "cargo" && words.get(at + 1).is_some_and(|word| word == "--") => {
                &words[at + 2..]
            }
            Some(at)
                if words[..at]
                    .iter()
                    .all(|word| word.contains('=') || word.starts_with('$') || word == "setsid") =>
            {
                &words[at + 1..]
            }
            _ => continue,
        };
        checked += 1;
        let asked = std::iter::once("riesz").chain(arguments.iter().map(|word| {
            // A variable stands for a number or a name.
            if word.starts_with('$') { "1" } else { word.as_str() }
        }));
        if let Err(error) = Cli::command().try_get_matches_from(asked) {
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            assert!(is_help, "{place}: {line}\n{error}");
        }
    }
    checked
}

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
}

#[test]
fn documents_show_commands_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "records", "bench"] {
        markdown(&root.join(folder), &mut pages);
    }
    let mut checked = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap().replace("\\\n", " ");
        let mut is_shell = false;
        for line in text.lines() {
            match line.strip_prefix("```") {
                Some(language) => is_shell = !is_shell && ["sh", "console", "bash"].contains(&language),
                None if is_shell => {
                    checked += check(line.trim_start_matches("$ "), &page.display().to_string());
                }
                None => {}
            }
        }
    }
    assert!(checked > 40, "{checked} commands");
}

#[test]
fn the_help_shows_commands_that_exist() {
    let mut waiting = vec![Cli::command()];
    let mut checked = 0;
    while let Some(command) = waiting.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().map(str::trim).filter(|line| line.starts_with("riesz ")) {
            // What it does follows after two spaces.
            let shown = line.split("  ").next().unwrap();
            checked += check(shown, command.get_name());
        }
        waiting.extend(command.get_subcommands().cloned());
    }
    assert!(checked > 30, "{checked} commands");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    assert_eq!(check("riesz data fetch cifar10 && riesz train --recipe cifar10 # and so on", "here"), 2);
    assert_eq!(check("x=1 riesz train --set 'data.labels=\"a b\"' > log; riesz-other --flag", "here"), 1);
    assert!(std::panic::catch_unwind(|| check("ls | riesz trian", "here")).is_err());
    assert!(
        std::panic::catch_unwind(|| check("cargo run --bin riesz -- train --epoch-s 3", "here")).is_err()
    );
}
