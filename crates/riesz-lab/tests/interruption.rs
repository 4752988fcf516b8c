//! Processes that are killed, terminated or interrupted at any moment leave a run that the same command finishes, with
//! the same bits as a run in one piece; and they say how to go on.
//!
//! The long form, 50 kills and 20 terminations: `cargo test --release --test interruption -- --ignored --nocapture`.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use riesz::rng::{Key, uniform};

use processes::{finish, start, told};

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits for something that a running process does.
fn until(child: &mut Child, what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(child.try_wait().unwrap().is_none(), "the process ended before {what}");
        assert!(started.elapsed() < Duration::from_secs(300), "no {what} in five minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

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

fn leftovers(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().display().to_string());
    names.filter(|name| name.starts_with(".riesz-unfinished")).collect()
}

/// Two epochs of 16 steps and an evaluation without labels, which is short; a checkpoint after every step.
const SHORT: [&str; 14] = [
    "train",
    "--run",
    "r",
    "--epochs=2",
    "--batch=32",
    "--checkpoint-minutes=0",
    "--set",
    "data.limit=512",
    "--set",
    "evaluation.pairs=100",
    "--set",
    "evaluation.references=512",
    "--set",
    "data.labels=none",
];

/// What must not depend on interruptions: the log, the encoder, the last checkpoint, and the verdict and table.
#[derive(PartialEq)]
struct Result {
    files: [Vec<u8>; 3],
    table: Vec<u8>,
}

impl Result {
    fn of(folder: &Path, output: &Output) -> Self {
        let names = ["log.jsonl", "encoder.safetensors", "checkpoints/last.safetensors"];
        let files = names.map(|name| std::fs::read(folder.join("r").join(name)).unwrap());
        Self { files, table: output.stdout.clone() }
    }
}

/// Runs once in one piece; then `count` times, each stopped by `name` at a random moment, in half of the cases at a
/// second one as well, and finished. Returns where the moments fell.
fn stopped_at_random(name: &str, count: u64, seed: u64) -> String {
    let whole = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut child = start(whole.path(), &SHORT);
    let encoder = whole.path().join("r/encoder.safetensors");
    until(&mut child, "the trained encoder", || encoder.exists());
    // Two of three moments fall before the evaluation.
    let seconds = 1.5 * started.elapsed().as_secs_f64();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let want = Result::of(whole.path(), &output);

    let mut rng = Key::new(seed).stream(name).rng();
    let [mut nothing, mut training, mut evaluating, mut done] = [0; 4];
    for trial in 0..count {
        let folder = tempfile::tempdir().unwrap();
        let mut finished = None;
        for _ in 0..1 + trial % 2 {
            let mut child = start(folder.path(), &SHORT);
            std::thread::sleep(Duration::from_secs_f64(seconds * uniform(&mut rng)));
            if child.try_wait().unwrap().is_none() {
                signal(&child, name);
            }
            let output = child.wait_with_output().unwrap();
            let root = folder.path().join("r");
            match (output.status.code(), output.status.signal()) {
                (Some(0), _) => finished = Some(output),
                (Some(143), _) => {
                    assert_eq!(name, "TERM");
                    assert!(told(&output).contains("the same command goes on"), "{}", told(&output));
                    assert_eq!(leftovers(folder.path()), [""; 0]);
                }
                // Before it listens there is nothing to save.
                (None, Some(15)) => assert!(!root.join("checkpoints/last.safetensors").exists()),
                (None, Some(9)) => assert_eq!(name, "KILL"),
                other => panic!("trial {trial}: {other:?}: {}", told(&output)),
            }
            *if finished.is_some() {
                &mut done
            } else if root.join("encoder.safetensors").exists() {
                &mut evaluating
            } else if root.join("checkpoints/last.safetensors").exists() {
                &mut training
            } else {
                &mut nothing
            } += 1;
            if finished.is_some() {
                break;
            }
        }
        let output = finished.unwrap_or_else(|| finish(folder.path(), &SHORT));
        // Killed between the last line and the end of the process.
        let is_done = output.status.code() == Some(2) && told(&output).contains("holds the finished run");
        assert!(output.status.success() || is_done, "trial {trial}: {}", told(&output));
        let found = Result::of(folder.path(), &output);
        assert!(found.files == want.files, "trial {trial}: the run in pieces is another");
        assert!(is_done || found.table == want.table, "trial {trial}: the table is another");
        let root = folder.path().join("r");
        assert_eq!((leftovers(&root), leftovers(&root.join("checkpoints"))), (Vec::new(), Vec::new()));
    }
    format!(
        "{name} in {count} runs, in their first {seconds:.1} s: {nothing} before the first checkpoint, {training} while training, \
         {evaluating} while evaluating, {done} too late; all logs, encoders, checkpoints and tables are those of the \
         run in one piece"
    )
}

#[test]
fn killed_at_five_random_moments() {
    println!("{}", stopped_at_random("KILL", 5, 1));
}

#[test]
fn terminated_at_three_random_moments() {
    println!("{}", stopped_at_random("TERM", 3, 1));
}

#[test]
#[ignore = "minutes; the five above are its short form"]
fn killed_at_fifty_random_moments() {
    println!("{}", stopped_at_random("KILL", 50, 2));
}

#[test]
#[ignore = "minutes; the three above are its short form"]
fn terminated_at_twenty_random_moments() {
    println!("{}", stopped_at_random("TERM", 20, 2));
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
