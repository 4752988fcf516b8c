//! A disk that fills up loses nothing: the program names the file and ends with 2, and with room again the same command goes on to
//! the same bits. A limit to the size of files stands for the disk, so that every file fails at its own end.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use processes::{finish, told};

/// An epoch, with a checkpoint after it.
const SHORT: [&str; 14] = [
    "train",
    "--run",
    "r",
    "--epochs=1",
    "--tensorboard",
    "--quiet",
    "--set",
    "data.limit=128",
    "--set",
    "evaluation.pairs=40",
    "--set",
    "evaluation.references=128",
    "--set",
    "augment.size=8",
];

/// Runs the program where no file can become larger than so many half kilobytes.
fn limited(folder: &Path, blocks: u64, arguments: &[&str]) -> Output {
    // The signal that comes with a write beyond the limit must not end the process.
    let script = "trap - XFSZ; ulimit -f \"$0\"; exec \"$@\"";
    Command::new("sh")
        .current_dir(folder)
        .args(["-c", script, &blocks.to_string(), env!("CARGO_BIN_EXE_riesz")])
        .args(arguments)
        .output()
        .unwrap()
}

/// All files below a folder with their sizes.
fn sizes(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let size = path.metadata().unwrap().len();
                found.insert(path, size);
            }
        }
    }
    found
}

/// What a run must come to.
fn bits(folder: &Path) -> [Vec<u8>; 3] {
    ["log.jsonl", "encoder.safetensors", "checkpoints/last.safetensors"]
        .map(|name| std::fs::read(folder.join("r").join(name)).unwrap())
}

fn refused(output: &Output) -> String {
    let told = told(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    let last = told.lines().last().unwrap().to_owned();
    assert!(last.starts_with("riesz: ") && last.contains("large") && !told.contains("panicked"), "{told}");
    last
}

fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let is_left =
        |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".riesz-unfinished");
    sizes(folder).into_keys().filter(is_left).collect()
}

#[test]
fn a_run_goes_on_when_there_is_room_again() {
    // A checkpoint after each of 8 steps, and a log of 32 steps before the first checkpoint.
    let often = [&SHORT[..], &["--batch=16", "--checkpoint-minutes=0"]].concat();
    let seldom = [&SHORT[..], &["--batch=4", "--checkpoint-minutes=60"]].concat();
    let stopped = [stopped(&often), stopped(&seldom)].concat();
    for name in ["lock", "recipe.toml", "log.jsonl", "last.safetensors"] {
        assert!(stopped.iter().any(|sentence| sentence.contains(name)), "{name} is not in {stopped:#?}");
    }
}

/// Runs with a limit at each size at which a file would be written whole but for its end, then without: the sentences that it
/// stopped with.
fn stopped(arguments: &[&str]) -> Vec<String> {
    let whole = tempfile::tempdir().unwrap();
    let output = finish(whole.path(), arguments);
    assert!(output.status.success(), "{}", told(&output));
    let want = bits(whole.path());
    let mut limits: Vec<u64> =
        sizes(whole.path()).into_values().map(|size| size.saturating_sub(1) / 512).collect();
    limits.extend([0, 1, 2]);
    limits.sort_unstable();
    limits.dedup();
    let mut stopped = Vec::new();
    for blocks in limits {
        let folder = tempfile::tempdir().unwrap();
        let output = limited(folder.path(), blocks, arguments);
        // The largest file is no obstacle to what needs no more.
        if !output.status.success() {
            stopped.push(refused(&output));
        }
        let output = finish(folder.path(), arguments);
        let is_done = told(&output).contains("holds the finished run");
        assert!(output.status.success() || is_done, "{blocks}: {}", told(&output));
        assert!(bits(folder.path()) == want, "{blocks}: the run is another");
        assert_eq!(unfinished(folder.path()), Vec::<PathBuf>::new(), "{blocks}");
    }
    stopped
}

#[test]
fn what_cannot_be_written_whole_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    assert!(finish(here, &[&SHORT[..], &["--batch=16"]].concat()).status.success());
    let before = sizes(here);
    for arguments in [
        &["embed", "r", "--output", "rows.npy"][..],
        &["embed", "r", "--output", "rows.parquet"],
        &["embed", "r", "--output", "rows.safetensors"],
        &["export", "r", "--output", "encoder.onnx"],
        &["export", "r", "--format", "torchvision", "--output", "encoder.safetensors"],
        &["report", "r"],
        &["eval", "r"],
        &["sphere", "plot", "--loss", "dhel", "--points", "6", "--dim", "3", "--html", "sphere.html"],
    ] {
        let sentence = refused(&limited(here, 4, arguments));
        assert_eq!(sizes(here), before, "{arguments:?}: {sentence}");
    }
    assert!(finish(here, &["embed", "r", "--output", "rows.npy"]).status.success());
    for arguments in [
        &["geometry", "rows.npy", "--partial", "a.state", "--quiet"][..],
        &["geometry", "rows.npy", "--output", "page.html", "--quiet"],
    ] {
        refused(&limited(here, 4, arguments));
        assert!(!here.join(arguments[3]).exists(), "{arguments:?}");
        assert_eq!(unfinished(here), Vec::<PathBuf>::new());
    }
}
