//! Pages: blocks of code, and which commands of them are left out and why.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use riesz_lab::cli::Cli;

use crate::shell;

/// A fenced block.
pub(crate) struct Block {
    /// The line of its fence, from 1.
    pub(crate) line: usize,
    pub(crate) language: String,
    /// Its lines; one that ends in a backslash is joined with the next.
    pub(crate) lines: Vec<String>,
}

impl Block {
    pub(crate) fn is_shell(&self) -> bool {
        ["sh", "console", "bash"].contains(&self.language.as_str())
    }
}

/// A page, or what the help of a verb shows.
pub(crate) struct Page {
    /// Its path from the root of the repository, or `riesz VERB --help`.
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
    /// Commands that are not run, each with its reason: `<!-- left out: `COMMAND`: REASON -->` in a page.
    pub(crate) left_out: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn read(root: &Path, name: &str) -> Self {
        Self::parse(name, &std::fs::read_to_string(root.join(name)).unwrap())
    }

    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let (mut blocks, mut left_out) = (Vec::new(), Vec::new());
        let mut open: Option<Block> = None;
        for (number, line) in (1..).zip(text.lines()) {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some(Block { line: number, language: language.to_owned(), lines: Vec::new() });
                }
                (None, None) => {
                    if let Some(rest) = line.strip_prefix("<!-- left out:") {
                        let told = || {
                            let (command, reason) = rest.trim().strip_prefix('`')?.split_once("`: ")?;
                            let reason = reason.strip_suffix("-->")?.trim();
                            (!reason.is_empty()).then(|| (command.to_owned(), reason.to_owned()))
                        };
                        let why = "expected <!-- left out: `COMMAND`: REASON -->";
                        left_out.push(told().unwrap_or_else(|| panic!("{name}:{number}: {why}")));
                    }
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => match block.lines.last_mut().filter(|last| last.ends_with('\\')) {
                    Some(last) => {
                        last.pop();
                        last.push_str(line);
                    }
                    None => block.lines.push(line.to_owned()),
                },
            }
        }
        Self { name: name.to_owned(), blocks, left_out }
    }

    /// Blocks of shell, and the lines of them that are run; every left-out command must be there.
    pub(crate) fn run(&self) -> Vec<(&Block, Vec<&str>)> {
        let mut found = vec![false; self.left_out.len()];
        let blocks = self.blocks.iter().filter(|block| block.is_shell());
        let run = blocks.map(|block| {
            let lines = block.lines.iter().map(|line| line.trim_start_matches("$ "));
            let kept = lines.filter(|line| {
                let command = line[..shell::commands(line).1].trim();
                let left = self.left_out.iter().position(|(left, _)| left == command);
                left.iter().for_each(|&left| found[left] = true);
                left.is_none()
            });
            (block, kept.collect())
        });
        let run = run.collect();
        if let Some(at) = found.iter().position(|found| !found) {
            let (command, _) = &self.left_out[at];
            panic!("{}: leaves `{command}` out, and no line of shell is that", self.name);
        }
        run
    }
}

/// Commands of the help that are not run.
const LEFT_OUT: [(&str, &str); 3] = [
    (
        "riesz data fetch cifar10",
        "downloads 170 MB; crates/riesz-lab/tests/fetch.rs fetches from a server of its own",
    ),
    ("riesz reproduce dimensions --scale cifar", "wants CIFAR-10 and a GPU"),
    ("riesz man | man -l -", "not every machine has man; the next line writes the pages"),
];

/// The examples of the help of every verb: one block of shell each.
pub(crate) fn help() -> Vec<Page> {
    let (mut pages, mut waiting) = (Vec::new(), vec![(String::new(), Cli::command())]);
    while let Some((path, command)) = waiting.pop() {
        let name = format!("{path}{} ", command.get_name());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().map(str::trim).filter(|line| line.starts_with("riesz "));
        // What it does follows after two spaces.
        let lines: Vec<String> = lines.map(|line| line.split("  ").next().unwrap().to_owned()).collect();
        let left_out = LEFT_OUT.iter().filter(|(left, _)| lines.iter().any(|line| line == left));
        let left_out = left_out.map(|&(left, why)| (left.to_owned(), why.to_owned())).collect();
        if !lines.is_empty() {
            let blocks = vec![Block { line: 1, language: "sh".to_owned(), lines }];
            pages.push(Page { name: format!("{name}--help"), blocks, left_out });
        }
        waiting.extend(command.get_subcommands().map(|below| (name.clone(), below.clone())));
    }
    for (left, _) in LEFT_OUT {
        let is_there = pages.iter().any(|page| page.left_out.iter().any(|(command, _)| command == left));
        assert!(is_there, "no help shows `{left}`, which is left out");
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

/// The names of the pages in a folder and those below it.
pub(crate) fn names(root: &Path, folder: &str) -> Vec<String> {
    let mut waiting = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        let entries = std::fs::read_dir(folder).unwrap();
        let entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        waiting.extend(entries.iter().filter(|path| path.is_dir()).cloned());
        let pages = entries.iter().filter(|path| path.extension().is_some_and(|end| end == "md"));
        found.extend(pages.map(|path| path.strip_prefix(root).unwrap().display().to_string()));
    }
    found.sort();
    found
}

#[test]
fn a_left_out_command_needs_a_reason_and_a_line() {
    let page = |comment: &str| {
        let text = format!("{comment}\n```sh\nriesz data \\\nlist # here\nriesz eval RUN\n```\n");
        std::panic::catch_unwind(|| Page::parse("p", &text).run().iter().flat_map(|(_, lines)| lines).count())
    };
    assert_eq!(page("").unwrap(), 2);
    assert_eq!(page("<!-- left out: `riesz data list`: a reason -->").unwrap(), 1);
    assert!(page("<!-- left out: `riesz data list`: -->").is_err());
    assert!(page("<!-- left out: `riesz data list` -->").is_err());
    assert!(page("<!-- left out: `riesz data`: a reason -->").is_err());
}
