//! Every command line that the documents and the help show is one that the program takes; and, by `.ci/run documents`, does what
//! its page says: each is run as a reader would, page by page.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;
mod reader;
mod shell;
mod things;

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;
use page::Page;
use riesz_lab::cli::Cli;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Checks the commands of a line that are riesz's; how many there are.
fn check(line: &str, place: &str) -> usize {
    let mut checked = 0;
    for command in shell::commands(line).0 {
        let Some(arguments) = command.arguments() else { continue };
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

/// How many commands of riesz a page shows, each checked.
fn check_page(page: &Page) -> usize {
    let lines = page.blocks.iter().filter(|block| block.is_shell()).flat_map(|block| &block.lines);
    lines.map(|line| check(line.trim_start_matches("$ "), &page.name)).sum()
}

/// The pages whose commands are run, in the order in which somebody may read them.
fn pages() -> Vec<Page> {
    let names = ["README.md".to_owned()].into_iter().chain(page::names(&root(), "docs"));
    names.map(|name| Page::read(&root(), &name)).chain(page::help()).collect()
}

#[test]
fn documents_show_commands_that_exist() {
    let mut names = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    names.extend(["docs", "records", "bench"].into_iter().flat_map(|folder| page::names(&root(), folder)));
    let checked: usize = names.iter().map(|name| check_page(&Page::read(&root(), name))).sum();
    assert!(checked > 40, "{checked} commands");
}

/// The verbs and flags of a command that stands in a sentence, where words in capitals stand for others; `riesz index 1` is a format.
fn check_mentioned(words: &str, place: &str) {
    let mut command = Cli::command();
    command.build();
    let words: Vec<&str> = words.split_whitespace().take_while(|word| !["&&", "|"].contains(word)).collect();
    if words.get(1).is_some_and(|word| word.parse::<u32>().is_ok()) {
        return;
    }
    for word in words {
        let flag = word.strip_prefix("--").map(|flag| flag.split('=').next().unwrap());
        if let Some(flag) = flag {
            let is_there = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
            assert!(is_there, "{place}: {} has no --{flag}", command.get_name());
        } else if command.has_subcommands()
            && command.get_arguments().all(|argument| !argument.is_positional())
        {
            let below = command.find_subcommand(word);
            command =
                below.unwrap_or_else(|| panic!("{place}: {} has no {word}", command.get_name())).clone();
        } else if let Some(below) = command.find_subcommand(word) {
            command = below.clone();
        }
    }
}

#[test]
fn sentences_name_verbs_and_flags_that_exist() {
    let mut names = vec!["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "DESIGN.md"];
    let below = ["docs", "records", "bench"].map(|folder| page::names(&root(), folder)).concat();
    names.extend(below.iter().map(String::as_str));
    let mut count = 0;
    for name in names {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let sentences = text.split("```").step_by(2);
        for words in sentences.flat_map(|text| text.split('`').skip(1).step_by(2)) {
            if let Some(words) = words.strip_prefix("riesz ") {
                count += 1;
                check_mentioned(words, name);
            }
        }
    }
    assert!(count > 60, "{count} commands");
}

#[test]
fn the_help_shows_commands_that_exist() {
    let checked: usize = page::help().iter().map(check_page).sum();
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
    check_mentioned("train PATH --epochs=N", "here");
    for wrong in ["trian", "train --epoch-s 3", "geometry merge --pairs"] {
        assert!(std::panic::catch_unwind(|| check_mentioned(wrong, "here")).is_err(), "{wrong}");
    }
}

/// Blocks of Rust are tests of the crate's documentation, if it takes in their page.
#[test]
fn every_page_with_rust_is_taken_into_the_crate_s_tests() {
    let taken = std::fs::read_to_string(root().join("crates/riesz/src/lib.rs")).unwrap();
    let mut count = 0;
    for page in pages() {
        if page.blocks.iter().any(|block| block.language == "rust") {
            assert!(taken.contains(&format!("include_str!(\"../../../{}\")", page.name)), "{}", page.name);
            count += 1;
        }
    }
    assert!(count > 5, "{count} pages");
}

#[test]
fn what_readers_have_is_named_by_their_pages() {
    things::check(&pages());
}

/// `.ci/run documents`.
#[test]
#[ignore = "takes minutes"]
fn every_command_of_the_documents_runs() {
    let things = things::Things::new(root());
    let only = std::env::var("PAGE").ok();
    let (mut sums, mut failures) = ([0; 3], Vec::new());
    for page in pages().iter().filter(|page| only.as_ref().is_none_or(|only| page.name.contains(only))) {
        let folder = tempfile::tempdir().unwrap();
        things.lay(&page.name, folder.path());
        let read = reader::read(page, folder.path());
        let counts = [read.run, read.shortened, page.left_out.len()];
        if counts != [0; 3] {
            let [run, shortened, left_out] = counts;
            let seconds = read.seconds;
            println!(
                "{}: {run} run, {shortened} of them shortened, {left_out} left out, {seconds:.0} CPU-seconds",
                page.name
            );
        }
        for (command, reason) in &page.left_out {
            println!("    left out `{command}`: {reason}");
        }
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        read.failures.iter().for_each(|failure| println!("FAILED {failure}"));
        failures.extend(read.failures);
    }
    println!("in all: {} run, {} of them shortened, {} left out", sums[0], sums[1], sums[2]);
    assert!(failures.is_empty(), "{} blocks failed:\n{}", failures.len(), failures.join("\n\n"));
    assert!(only.is_some() || sums[0] > 100, "{} commands", sums[0]);
}
