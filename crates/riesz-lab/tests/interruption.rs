//! A process that is interrupted while it measures, evaluates or embeds ends at once, leaves nothing half written and says how to
//! go on; a second signal ends it in the middle of a step. Random moments of all verbs are in `killed.rs`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ctrl_c;
mod processes;
mod signals;
mod waiting;

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use processes::{finish, start, told};
use signals::{leftovers, signal};
use waiting::until;

/// Whether a process has a handler of SIGINT, by its status as Linux tells it.
fn catches_int(status: &str) -> bool {
    let text = std::fs::read_to_string(status).unwrap();
    let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
    u64::from_str_radix(caught, 16).unwrap() & 2 != 0
}

/// Interrupts, and returns what the process said, and how long it took to end.
fn interrupted(child: Child, name: &str, code: i32) -> (String, Duration) {
    let asked = Instant::now();
    signal(&child, name);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    (told(&output), asked.elapsed())
}

fn lines(path: &Path) -> usize {
    std::fs::read(path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

/// Ample for a watcher that looks twenty times a second, on a machine that is busy with other things.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A step of seconds, and an evaluation of seconds.
const SLOW: [&str; 14] = [
    "--epochs=1",
    "--batch=500",
    "--set",
    "data.limit=1000",
    "--set",
    "evaluation.pairs=1000",
    "--set",
    "evaluation.references=300",
    "--set",
    "evaluation.few-draws=1",
    "--set",
    "evaluation.epoch-references=1000",
    "--threads",
    "1",
];

#[test]
fn an_interruption_ends_measuring_and_evaluating_at_once_and_the_same_command_goes_on() {
    ctrl_c::heard();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let arguments = [&["train", "--run", "r"], &SLOW[..]].concat();
    let root = here.join("r");
    let log = root.join("log.jsonl");

    // After the epoch's two steps it is measured.
    let mut child = start(here, &arguments);
    until(&mut child, "the second step", || lines(&log) >= 2);
    let (said, took) = interrupted(child, "TERM", 143);
    assert!(said.contains("interrupted after step 2 of 2; saved in r; the same command goes on"), "{said}");
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(lines(&log), 2, "the measurement was not waited for");

    let mut child = start(here, &arguments);
    until(&mut child, "the trained encoder", || root.join("encoder.safetensors").exists());
    let (said, took) = interrupted(child, "INT", 130);
    let expected =
        "interrupted while evaluating; the trained encoder is saved in r; the same command goes on";
    assert!(said.contains(expected), "{said}");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(!root.join("metrics.json").exists() && !root.join("report.html").exists());

    let output = finish(here, &arguments);
    assert!(
        output.status.success() && told(&output).contains("continuing in r after step 2"),
        "{}",
        told(&output)
    );
    assert!(std::fs::read_to_string(&log).unwrap().ends_with("{\"event\":\"done\",\"step\":2}\n"));

    // The verbs that have nothing to save.
    let metrics = std::fs::read(root.join("metrics.json")).unwrap();
    let mut child = start(here, &["eval", "r", "--threads", "1"]);
    let mine = format!("process {}\n", child.id());
    until(&mut child, "the evaluation", || {
        std::fs::read_to_string(root.join("lock")).is_ok_and(|text| text == mine)
    });
    let second = finish(here, &["eval", "r"]);
    assert_eq!(second.status.code(), Some(2), "{}", told(&second));
    assert!(told(&second).contains("another process"), "{}", told(&second));
    let (said, took) = interrupted(child, "INT", 130);
    assert!(said.contains("the run is as it was"), "{said}");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(std::fs::read(root.join("metrics.json")).unwrap() == metrics);

    for file in ["e.npy", "e.parquet"] {
        let mut child = start(here, &["embed", "r", "--split", "all", "--output", file, "--threads", "1"]);
        let status = format!("/proc/{}/status", child.id());
        match file {
            "e.npy" => until(&mut child, "its handler of signals", || catches_int(&status)),
            // Rows are written as they come.
            _ => until(&mut child, "the file that is not whole", || !leftovers(here).is_empty()),
        }
        let (said, took) = interrupted(child, "INT", 130);
        assert!(said.contains(&format!("{file} was not written")), "{said}");
        assert!(took < AT_ONCE, "{took:?}");
        assert!(!here.join(file).exists() && leftovers(here).is_empty());
    }
}

#[test]
fn a_second_signal_ends_the_program_in_the_middle_of_a_step() {
    ctrl_c::heard();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (second, code) in [("INT", 130), ("TERM", 143)] {
        let _ = std::fs::remove_dir_all(here.join("r"));
        let slow = ["train", "--run", "r", "--batch=9000", "--epochs=1", "--threads", "1"];
        let mut child = start(here, &slow);
        // The log is opened when the program listens already; the first step takes many seconds.
        until(&mut child, "the log", || here.join("r/log.jsonl").exists());
        std::thread::sleep(Duration::from_millis(1500));
        signal(&child, "INT");
        std::thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "the step is not over");
        let (said, took) = interrupted(child, second, code);
        assert!(!said.contains("saved"), "{said}");
        assert!(took < AT_ONCE, "{took:?}");
    }
}

/// As `nohup` and a shell that runs it in the background do.
#[cfg(target_os = "linux")]
#[test]
fn what_is_ignored_at_the_start_stays_ignored() {
    ctrl_c::heard();
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "trap '' INT; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_riesz"), "train", "--run", "r"])
        .args(SLOW)
        .current_dir(here)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until(&mut child, "the first step", || lines(&here.join("r/log.jsonl")) >= 1);
    signal(&child, "INT");
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(300));
    // What is not ignored is obeyed.
    let (said, _) = interrupted(child, "TERM", 143);
    assert!(said.contains("saved in r; the same command goes on"), "{said}");
}
