//! Interrupted and uninterrupted runs of one recipe leave the same bits: log, weights, optimizer. So do runs with other
//! numbers of threads. A damaged checkpoint is refused, and the one before it goes on to the same end.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use riesz_lab::Error;
use riesz_lab::device;
use riesz_lab::recipe::{self, Recipe};
use riesz_lab::run::{Found, Run};
use riesz_lab::train::{Manner, Plan, train};

/// Three epochs of four steps.
fn recipe(rule: &str) -> Recipe {
    let (text, origin) = recipe::read("fashion-mnist-12k").unwrap();
    let overrides = [
        "epochs=3",
        "batch=16",
        "data.limit=70",
        "evaluation.pairs=24",
        "evaluation.epoch-references=50",
        "augment.blur.probability=0.5",
        &format!("optimizer.name=\"{rule}\""),
    ];
    Recipe::resolve(&text, &overrides.map(str::to_owned), &origin).unwrap()
}

/// Trains in `folder` until `stop_after` updates (or the end), and returns the log.
fn go(folder: &Path, recipe: &Recipe, stop_after: Option<u64>) -> Result<String, Error> {
    let plan = Plan::new(recipe.clone(), device::open("cpu")?)?;
    let run = match Run::create_or_continue(folder, recipe)? {
        Found::New(run) | Found::Unfinished(run) => run,
    };
    let manner = Manner { quiet: true, tensorboard: false, stop_after };
    let encoder = train(&plan, &run, manner)?;
    encoder.save(&run.path("encoder.safetensors"))?;
    Ok(log(folder))
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log.jsonl")).unwrap()
}

fn weights(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (read("encoder.safetensors"), optimizer_of(&read("checkpoints/last.safetensors")))
}

/// The checkpoint's tensors; its header also has the length of the timing file, which no two runs share.
fn optimizer_of(bytes: &[u8]) -> Vec<u8> {
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn interrupted_and_continued_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    for rule in ["sgd", "adamw"] {
        let recipe = recipe(rule);
        let (whole, parts) =
            (folder.path().join(format!("{rule}-whole")), folder.path().join(format!("{rule}-parts")));
        let want = go(&whole, &recipe, None).unwrap();
        assert_eq!(want.lines().filter(|line| line.contains("\"step\",")).count(), 12);
        // Inside the first epoch, at the end of the second, and inside the third.
        for stop in [2, 8, 9] {
            let error = go(&parts, &recipe, Some(stop)).unwrap_err();
            assert_eq!(error.exit_code(), 130);
            assert!(error.to_string().contains("the same command goes on"), "{error}");
        }
        assert_eq!(go(&parts, &recipe, None).unwrap(), want);
        assert!(weights(&parts) == weights(&whole), "{rule}: weights differ");
    }
}

#[test]
fn threads_do_not_change_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let with = |threads: usize| {
        let root = folder.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let log = pool.install(|| go(&root, &recipe, None)).unwrap();
        (log, weights(&root))
    };
    let one = with(1);
    assert!(with(2) == one && with(3) == one, "threads change the log or the weights");
}

#[test]
fn what_was_written_after_the_checkpoint_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let want = go(&whole, &recipe, None).unwrap();
    go(&cut, &recipe, Some(5)).unwrap_err();
    // As if the program had been killed in the middle of a later line.
    let log_path = cut.join("log.jsonl");
    std::fs::write(&log_path, log(&cut) + "{\"event\":\"step\",\"st").unwrap();
    assert_eq!(go(&cut, &recipe, None).unwrap(), want);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let (whole, root) = (folder.path().join("whole"), folder.path().join("run"));
    let want = go(&whole, &recipe, None).unwrap();
    go(&root, &recipe, Some(6)).unwrap_err();
    let last = root.join("checkpoints/last.safetensors");
    let sound = std::fs::read(&last).unwrap();
    let mut flipped = sound.clone();
    flipped[sound.len() - 100] ^= 1;
    for (bytes, why) in
        [(flipped, "checksum"), (sound[..sound.len() / 2].to_vec(), "damaged"), (Vec::new(), "damaged")]
    {
        std::fs::write(&last, bytes).unwrap();
        let error = go(&root, &recipe, None).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(
            error.to_string().contains(why) && error.to_string().contains("delete it to go on"),
            "{error}"
        );
    }
    std::fs::remove_file(&last).unwrap();
    assert_eq!(go(&root, &recipe, None).unwrap(), want);
}

#[test]
fn a_run_folder_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    go(&root, &recipe("sgd"), Some(1)).unwrap_err();
    let error = go(&root, &recipe("adamw"), None).unwrap_err();
    assert!(error.to_string().contains("another recipe"), "{error}");
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.txt"), "words").unwrap();
    let error = go(&other, &recipe("sgd"), None).unwrap_err();
    assert!(error.to_string().contains("is not a run"), "{error}");
    assert_eq!(std::fs::read_to_string(other.join("thesis.txt")).unwrap(), "words");
}
