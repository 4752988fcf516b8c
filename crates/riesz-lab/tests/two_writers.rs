//! Two processes at one output: one of them is refused with a sentence that says the mend, or both end with whole and equal files.
//! Who reads a run while it is trained sees what is whole, or is told what is missing. A file that a living process is writing is
//! nobody's to remove.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod processes;
mod signals;
mod small_run;
mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Output};

use processes::{finish, start, told};
use signals::{leftovers, signal};
use small_run::{TRAIN, with_images};
use waiting::until;

const BUSY: &str = "is working in this run folder; wait until it ends, or choose another folder";

fn with<'a>(first: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [first, more].concat()
}

fn train() -> Vec<&'static str> {
    with(&TRAIN, &["--epochs=2"])
}

/// Runs to the end, which must be a good one.
fn done(folder: &Path, arguments: &[&str]) -> Output {
    let output = finish(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", told(&output));
    output
}

/// Exit code 2 and a last line that has all of this.
fn refused(output: &Output, words: &[&str]) {
    let told = told(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    let last = told.lines().last().unwrap_or_default();
    assert!(last.starts_with("riesz: ") && words.iter().all(|word| last.contains(word)), "{words:?}: {told}");
}

/// These files, below the folder.
fn bits(folder: &Path, files: &[&str]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|file| ((*file).to_owned(), std::fs::read(folder.join(file)).unwrap())).collect()
}

#[test]
fn two_trainings_of_one_run_are_one() {
    let whole = with_images();
    done(whole.path(), &train());
    let files = ["r/log.jsonl", "r/encoder.safetensors", "r/checkpoints/last.safetensors"];
    let want = bits(whole.path(), &files);
    for _ in 0..3 {
        let folder = with_images();
        let children = [start(folder.path(), &train()), start(folder.path(), &train())];
        let outputs = children.map(|child| child.wait_with_output().unwrap());
        let good = outputs.iter().filter(|output| output.status.success()).count();
        assert_eq!(good, 1, "{:?}", outputs.each_ref().map(told));
        let other = outputs.iter().find(|output| !output.status.success()).unwrap();
        refused(other, &["another process", BUSY]);
        assert!(bits(folder.path(), &files) == want && leftovers(folder.path()).is_empty());
    }
}

#[test]
fn two_at_one_output_leave_it_whole() {
    let folder = with_images();
    let here = folder.path();
    done(here, &train());
    done(here, &["embed", "r", "fashion-mnist-12k", "--output", "u.npy", "--quiet"]);
    done(here, &["geometry", "u.npy", "--sample=100", "--partial", "a.state", "--quiet"]);
    let outputs: [(&[&str], &[&str]); 8] = [
        (&["embed", "r", "--output", "e.npy", "--quiet"], &["e.npy", "e.csv"]),
        (&["embed", "r", "--output", "f.safetensors", "--quiet"], &["f.safetensors", "f.csv"]),
        (&["embed", "r", "--output", "e.parquet", "--quiet"], &["e.parquet"]),
        (&["export", "r", "--output", "m.onnx"], &["m.onnx", "m.md"]),
        (
            &["export", "r", "--format", "torchvision", "--output", "w.safetensors"],
            &["w.safetensors", "w.md"],
        ),
        (&["report", "r"], &["r/report.html"]),
        (&["geometry", "u.npy", "--sample=100", "--partial", "b.state", "--quiet"], &["b.state"]),
        (&["geometry", "merge", "a.state", "--output", "page.html", "--quiet"], &["page.html"]),
    ];
    for (arguments, files) in outputs {
        done(here, arguments);
        let want = bits(here, files);
        for trial in 0..2 {
            if trial % 2 == 0 {
                files.iter().for_each(|file| std::fs::remove_file(here.join(file)).unwrap());
            }
            let children = [start(here, arguments), start(here, arguments), start(here, arguments)];
            for child in children {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{arguments:?}: {}", told(&output));
            }
            assert!(bits(here, files) == want, "{arguments:?}");
            assert_eq!(leftovers(here), Vec::<String>::new(), "{arguments:?}");
        }
    }
}

#[test]
fn evaluations_of_one_run_are_one_and_its_page_is_never_older_than_its_numbers() {
    let folder = with_images();
    let here = folder.path();
    done(here, &train());
    let page = bits(here, &["r/report.html"]);
    let mut first = start(here, &["eval", "r", "--quiet"]);
    let mine = format!("process {}\n", first.id());
    until(&mut first, "its lock", || {
        std::fs::read_to_string(here.join("r/lock")).is_ok_and(|text| text == mine)
    });
    refused(&finish(here, &["eval", "r", "--quiet"]), &[&format!("({})", mine.trim()), BUSY]);
    refused(&finish(here, &train()), &[BUSY]);
    // A report of the old numbers that comes while the new ones are made.
    let mut reports = 0;
    while first.try_wait().unwrap().is_none() {
        done(here, &["report", "r"]);
        reports += 1;
    }
    assert!(first.wait_with_output().unwrap().status.success() && reports > 0);
    let after = bits(here, &["r/report.html", "r/metrics.json"]);
    done(here, &["report", "r"]);
    assert!(after == bits(here, &["r/report.html", "r/metrics.json"]), "the page is of other numbers");
    assert!(after["r/report.html"] == page["r/report.html"], "the same encoder, another page");
}

#[test]
fn two_finetunings_in_one_folder_are_one() {
    let folder = with_images();
    let here = folder.path();
    done(here, &train());
    let few = ["finetune", "r", "--labels-per-class=8", "--steps=20", "--batch=16", "--quiet", "--output"];
    let files = ["finetune.json", "classifier.safetensors"];
    done(here, &with(&few, &["whole"]));
    let want = files.map(|file| std::fs::read(here.join("whole").join(file)).unwrap());
    let shared = with(&few, &["shared"]);
    let children = [start(here, &shared), start(here, &shared)];
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    let good = outputs.iter().filter(|output| output.status.success()).count();
    // If they did not meet, the second found all there.
    for other in outputs.iter().filter(|output| !output.status.success()) {
        refused(
            other,
            &[
                "shared: another process",
                "in this folder of results; wait until it ends, or choose another folder",
            ],
        );
    }
    assert!(good >= 1);
    assert!(files.map(|file| std::fs::read(here.join("shared").join(file)).unwrap()) == want);
}

#[test]
fn who_reads_a_run_that_is_trained_sees_what_is_whole() {
    let whole = with_images();
    let slow = with(&TRAIN, &["--epochs=20"]);
    done(whole.path(), &slow);
    let files = ["r/log.jsonl", "r/encoder.safetensors", "r/checkpoints/last.safetensors"];
    let want = bits(whole.path(), &files);
    let exported = |folder: &Path| {
        done(folder, &["export", "r", "--format", "torchvision", "--output", "w.safetensors"]);
        bits(folder, &["w.safetensors"])
    };
    let weights = exported(whole.path());

    let folder = with_images();
    let here = folder.path();
    let readers: [&[&str]; 5] = [
        &["report", "r"],
        &["embed", "r", "--output", "e.parquet", "--quiet"],
        &["export", "r", "--output", "m.onnx"],
        &["finetune", "r", "--steps=1", "--quiet"],
        &["eval", "r", "--quiet"],
    ];
    let mut child = start(here, &slow);
    until(&mut child, "the first checkpoint", || here.join("r/checkpoints/last.safetensors").exists());
    let (mut rounds, mut early) = (0, 0);
    while child.try_wait().unwrap().is_none() {
        let reader = readers[rounds % readers.len()];
        rounds += 1;
        let output = finish(here, reader);
        match (reader[0], output.status.code()) {
            // What it needs was written already.
            (_, Some(0)) => {}
            ("eval", _) => refused(&output, &[BUSY]),
            ("report", _) => refused(&output, &["not finished", "metrics.json"]),
            _ => refused(&output, &["encoder.safetensors"]),
        }
        early += usize::from(output.status.code() == Some(2));
        assert!(done(here, &["runs", "."]).status.success());
    }
    assert!(early >= 2, "{rounds} rounds");
    assert!(child.wait_with_output().unwrap().status.success());
    assert!(bits(here, &files) == want, "{rounds} readers changed the run");
    assert!(exported(here) == weights);
}

/// Starts a command that writes one file, and sends it a signal while that is not whole. It has begun when something stands in it: before,
/// it may not be locked yet, and another may take it for left behind.
fn while_writing(folder: &Path, arguments: &[&str], name: &str) -> Child {
    for _ in 0..20 {
        let mut child = start(folder, arguments);
        let has_begun = || {
            let size = |name: &String| std::fs::metadata(folder.join(name)).map_or(0, |found| found.len());
            leftovers(folder).iter().any(|name| size(name) > 0)
        };
        while child.try_wait().unwrap().is_none() && !has_begun() {}
        if child.try_wait().unwrap().is_none() {
            signal(&child, name);
            if !leftovers(folder).is_empty() {
                return child;
            }
            signal(&child, "CONT");
        }
        child.wait().unwrap();
    }
    panic!("its end was always sooner than the signal")
}

#[test]
fn a_file_that_a_living_process_writes_is_nobodys_to_remove() {
    let folder = with_images();
    let here = folder.path();
    done(here, &train());
    let embed = |file| {
        ["embed", "r", "fashion-mnist-12k", "--thumbnails=28", "--threads=1", "--quiet", "--output", file]
    };
    done(here, &embed("whole.parquet"));
    let export = ["export", "r", "--output", "m.onnx"];
    // It stands still in the middle of its work, as in a machine that swaps, and others write beside it.
    let child = while_writing(here, &embed("slow.parquet"), "STOP");
    let unfinished = leftovers(here);
    assert_eq!(unfinished.len(), 1);
    done(here, &export);
    assert_eq!(leftovers(here), unfinished);
    signal(&child, "CONT");
    assert!(child.wait_with_output().unwrap().status.success());
    let both = bits(here, &["whole.parquet", "slow.parquet"]);
    assert!(both["whole.parquet"] == both["slow.parquet"] && leftovers(here).is_empty());
    // Killed there, it leaves its file to the next that writes in the folder.
    while_writing(here, &embed("killed.parquet"), "KILL").wait().unwrap();
    assert!(leftovers(here).len() == 1 && !here.join("killed.parquet").exists());
    done(here, &export);
    assert_eq!(leftovers(here), Vec::<String>::new());
}
