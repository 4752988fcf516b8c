//! Every verb that takes `--threads` gives the same bytes for 1, 2, 3 and 8 of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;
mod stored_runs;

use std::path::Path;
use std::process::Command;

use processes::{finish, told};
use stored_runs::{copy_of, stored};

/// Verbs, and the files that they write beside what they print.
fn verbs(train: &str) -> Vec<(String, Vec<&'static str>)> {
    let verb = |command: &str, files: &[&'static str]| (command.to_owned(), files.to_vec());
    vec![
        verb(
            train,
            &[
                "unfinished/log.jsonl",
                "unfinished/encoder.safetensors",
                "unfinished/checkpoints/last.safetensors",
            ],
        ),
        verb("eval finished", &["finished/metrics.json"]),
        verb("embed finished photos --output e.npy --quiet", &["e.npy"]),
        verb("embed finished photos --output e.parquet --thumbnails=16 --quiet", &["e.parquet"]),
        verb(
            "finetune finished --steps 3 --batch 8 --output tuned --quiet",
            &["tuned/finetune.json", "tuned/classifier.safetensors"],
        ),
        verb("search finished photos/cats/01.png photos --json", &[]),
        verb("duplicates finished photos --above 0.9 --json", &[]),
        verb("geometry index.parquet --labels class --json --quiet", &[]),
        verb("geometry rows.npy --partial again.state --quiet", &["again.state"]),
        verb("compare rows.npy index.parquet --json", &[]),
        verb(
            "sweep grid.toml --folder again --quiet",
            &["again/grid/cells/loss=dhel,seed=1/encoder.safetensors"],
        ),
    ]
}

/// What a verb prints and writes; times of day are no results.
fn outcome(here: &Path, command: &str, files: &[&str], threads: usize) -> Vec<Vec<u8>> {
    let threads = threads.to_string();
    let words: Vec<&str> = command.split_whitespace().chain(["--threads", &threads]).collect();
    let output = finish(here, &words);
    assert!(output.status.success(), "riesz {command}: {}", told(&output));
    let files = files.iter().map(|file| std::fs::read(here.join(file)).unwrap());
    files.chain([output.stdout]).collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let version = env!("CARGO_PKG_VERSION");
    let command = std::fs::read_to_string(stored().join(version).join("command.txt")).unwrap();
    let verbs = verbs(command.trim().strip_prefix("riesz ").unwrap());
    let folder = tempfile::tempdir().unwrap();
    // Results name the place of the images, so that it is the same each time.
    let here = folder.path().join("here");
    let with = |threads: usize| -> Vec<_> {
        let _ = std::fs::remove_dir_all(&here);
        copy_of(version, &here);
        verbs.iter().map(|(command, files)| outcome(&here, command, files, threads)).collect()
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        for (((command, _), want), got) in verbs.iter().zip(&one).zip(with(threads)) {
            assert!(got == *want, "riesz {command} --threads {threads} differs from one thread");
        }
    }
}

#[test]
fn more_threads_than_any_machine_has_are_refused_wherever_they_are_asked_for() {
    for (variable, flag, told) in [
        ("20000", None, "RAYON_NUM_THREADS is 20000; at most 1024 are started"),
        ("1", Some("--threads=1025"), "--threads is 1025; at most 1024 are started"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_riesz"))
            .env("RAYON_NUM_THREADS", variable)
            .args(["compare", "none.npy", "none.npy"])
            .args(flag)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && err.contains(told), "{err}");
    }
}
