//! Reads a page as somebody who types what it shows: its blocks of shell in their order, in one folder, with the program on the path.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::page::{Block, Page};
use crate::shell;

/// What became of a page.
pub(crate) struct Read {
    /// The program's commands that were run, and those of them that were shortened.
    pub(crate) run: usize,
    pub(crate) shortened: usize,
    /// Seconds of processors; 0 where the system does not tell.
    pub(crate) seconds: f64,
    /// What failed: the block, its commands, and what they told.
    pub(crate) failures: Vec<String>,
}

/// Runs the page's commands in `folder`, which has what its readers have.
pub(crate) fn read(page: &Page, folder: &Path) -> Read {
    let before = seconds();
    let mut read = Read { run: 0, shortened: 0, seconds: 0.0, failures: Vec::new() };
    let mut shells = page.run().into_iter().peekable();
    for block in &page.blocks {
        let (lines, shown) = match shells.next_if(|(shell, _)| std::ptr::eq(*shell, block)) {
            Some((_, lines)) => (lines, None),
            None => match transcript(block) {
                Some((command, shown)) => (vec![command], Some(shown)),
                None => continue,
            },
        };
        let mut script = String::new();
        for line in lines {
            read.run +=
                shell::commands(line).0.iter().filter(|command| command.arguments().is_some()).count();
            let (line, shortened) = shell::shortened(line);
            read.shortened += shortened;
            script += &(line + "\n");
        }
        let wrong = match (bash(folder, &script), shown) {
            (Err(told), _) => told,
            (Ok(told), Some(shown)) if !looks_like(&told, &shown) => {
                format!("it prints now:\n{told}\nwhich does not look like what the page shows")
            }
            _ => continue,
        };
        read.failures.push(format!("{}, the block in line {}:\n{script}{wrong}", page.name, block.line));
    }
    read.seconds = seconds() - before;
    read
}

/// Seconds of processors that the processes begun here took, so far as they have ended: Linux counts hundredths.
fn seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces, the 14th and 15th are theirs.
    let counts = told.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
    counts.map(|count| count.parse::<f64>().unwrap_or(0.0) / 100.0).sum()
}

/// What a script printed, or what it told where a command of it failed.
pub(crate) fn bash(folder: &Path, script: &str) -> Result<String, String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_riesz")).parent().unwrap();
    let output = Command::new("bash")
        .args(["-eEo", "pipefail", "-c", &format!("trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\n{script}")])
        .current_dir(folder)
        .env("PATH", format!("{}:{}", binary.display(), std::env::var("PATH").unwrap()))
        .env("HOME", folder)
        // What Slurm says to a task of a job array.
        .envs([("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_CPUS_PER_TASK", "2")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(format!("{}; it told:\n{told}", output.status)),
    }
}

/// A command and what the page shows of what it prints.
fn transcript(block: &Block) -> Option<(&str, Vec<&str>)> {
    let (first, rest) = block.lines.split_first()?;
    let is_text = block.language == "text";
    is_text.then(|| Some((first.strip_prefix("$ ")?, rest.iter().map(String::as_str).collect())))?
}

/// Whether lines are those that a page shows but for their numbers; `…` stands for any lines.
fn looks_like(told: &str, shown: &[&str]) -> bool {
    let lines = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        lines.map(form).filter(|line| !line.is_empty()).collect()
    };
    fits(&lines(&mut told.lines()), &lines(&mut shown.iter().copied()))
}

fn fits(told: &[String], shown: &[String]) -> bool {
    match shown.split_first() {
        None => told.is_empty(),
        Some((first, rest)) if first == "…" => (0..=told.len()).any(|skipped| fits(&told[skipped..], rest)),
        Some((first, rest)) => told.first() == Some(first) && fits(&told[1..], rest),
    }
}

/// A line up to its first colon, with single spaces and `#` for numbers.
fn form(line: &str) -> String {
    let (before, colon) = line.split_once(':').map_or((line, ""), |(before, _)| (before, ":"));
    let is_number = |c: char| c.is_ascii_digit();
    let word = |word: &str| match (word.find(is_number), word.rfind(is_number)) {
        (Some(first), Some(last)) => {
            format!("{}#{}", word[..first].trim_end_matches(['-', '+']), &word[last + 1..])
        }
        _ => word.to_owned(),
    };
    before.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + colon
}

#[test]
fn output_is_compared_but_for_its_numbers() {
    let told = "value        0.81\nsum          5796.5\ncosines      -1.0 × 60\n             +0.3 × 7\n\nminima of 20 starts:\n 16×  0.81";
    let shown = [
        "value     -3.3e-13",
        "sum 1",
        "cosines   -1.000 × 60",
        "   …",
        "minima of 9 starts: yes",
        "   3×  8",
    ];
    assert!(looks_like(told, &shown));
    assert!(looks_like(told, &["…"]) && looks_like(told, &["value 1", "…"]));
    assert!(!looks_like(told, &shown[..5]) && !looks_like(told, &shown[1..]));
    assert!(!looks_like(told, &["…", "minimum of 9 starts:", " 3×  8"]));
}

#[test]
fn a_command_that_fails_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let page = |text: &str| read(&Page::parse("p", text), folder.path());
    let failing = page("```sh\nriesz data list > list.txt\nriesz report nowhere\ntouch after\n```\n");
    assert_eq!((failing.run, failing.failures.len()), (2, 1));
    let told = &failing.failures[0];
    assert!(told.contains("failed: riesz report nowhere") && told.contains("line 1"), "{told}");
    assert!(folder.path().join("list.txt").exists() && !folder.path().join("after").exists());
    // The first of a pipe, too.
    assert_eq!(page("```sh\nriesz report nowhere | cat\n```\n").failures.len(), 1);
    let shown = page("```text\n$ riesz report nowhere\n```\n```text\n$ riesz data list\nno such\n```\n");
    assert_eq!((shown.run, shown.failures.len()), (2, 2));
    assert!(shown.failures[1].contains("does not look like"), "{}", shown.failures[1]);
}
