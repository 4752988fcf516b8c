//! Interrupted and uninterrupted runs of one recipe leave the same bits: log, weights, optimizer. So do runs with other
//! numbers of threads. A damaged checkpoint, or one whose log is gone, is passed over, and the one before it goes on to
//! the same end. A run folder belongs to one process at a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use riesz_lab::Error;
use riesz_lab::device;
use riesz_lab::encoder;
use riesz_lab::recipe::{self, Recipe};
use riesz_lab::run::{Found, Run};
use riesz_lab::train::checkpoint::Checkpoint;
use riesz_lab::train::start::Start;
use riesz_lab::train::{Manner, Plan, train};

/// Three epochs of four steps.
fn recipe(rule: &str) -> Recipe {
    recipe_with(rule, &[])
}

fn recipe_with(rule: &str, more: &[&str]) -> Recipe {
    let (text, origin) = recipe::read("fashion-mnist-12k").unwrap();
    let name = format!("optimizer.name=\"{rule}\"");
    let overrides = [
        "epochs=3",
        "batch=16",
        "data.limit=70",
        "evaluation.pairs=24",
        "evaluation.epoch-references=50",
        "augment.blur.probability=0.5",
        &name,
    ];
    let overrides: Vec<String> = overrides.iter().chain(more).map(|&key| key.to_owned()).collect();
    Recipe::resolve(&text, &overrides, &origin).unwrap()
}

/// The same with batches in chunks of four images.
fn in_chunks(rule: &str) -> Recipe {
    Recipe { accumulate: 4, ..recipe(rule) }
}

/// Trains in `folder` until `stop_after` updates (or the end), and returns the log.
fn go(folder: &Path, recipe: &Recipe, stop_after: Option<u64>) -> Result<String, Error> {
    go_saving(folder, recipe, stop_after, None).map(|(log, _)| log)
}

/// As [`go`], with a checkpoint after each step that ends `every` after the last; also returns what is to be told.
fn go_saving(
    folder: &Path,
    recipe: &Recipe,
    stop_after: Option<u64>,
    checkpoint_every: Option<Duration>,
) -> Result<(String, Option<String>), Error> {
    let plan = Plan::new(recipe.clone(), device::open("cpu")?)?;
    let run = match Run::create_or_continue(folder, recipe)? {
        Found::New(run) | Found::Unfinished(run) => run,
    };
    let start = Start::find(&run)?;
    let note = start.note.clone();
    let manner = Manner { quiet: true, tensorboard: false, checkpoint_every, stop_after };
    let encoder = train(&plan, &run, start, manner)?;
    encoder::save(&run.path("encoder.safetensors"), &*encoder, Some(&recipe.encoder), false)?;
    Ok((log(folder), note))
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log.jsonl")).unwrap()
}

/// The encoder, and the whole last checkpoint: parameters, the optimizer's memory, and what it knows of the log.
fn weights(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    (read("encoder.safetensors"), read("checkpoints/last.safetensors"))
}

#[test]
fn interrupted_and_continued_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let by_stages = ["optimizer.freeze-through=\"layer1\"", "optimizer.layer-decay=0.5"];
    let of_views = ["views=3", "loss={ name = \"mv-dhel\" }"];
    let recipes = [
        ("sgd", recipe("sgd")),
        ("adamw", recipe("adamw")),
        ("stages", recipe_with("adamw", &by_stages)),
        ("chunks", in_chunks("lars")),
        ("labels", recipe_with("adamw", &["loss={ name = \"sup-con\" }"])),
        ("views", Recipe { accumulate: 4, ..recipe_with("sgd", &of_views) }),
        ("both", Recipe { accumulate: 4, ..recipe_with("sgd", &by_stages) }),
    ];
    for (name, recipe) in recipes {
        let (whole, parts) =
            (folder.path().join(format!("{name}-whole")), folder.path().join(format!("{name}-parts")));
        let want = go(&whole, &recipe, None).unwrap();
        assert_eq!(want.lines().filter(|line| line.contains("\"step\",")).count(), 12);
        // Inside the first epoch, at the end of the second, and inside the third.
        for stop in [2, 8, 9] {
            let error = go(&parts, &recipe, Some(stop)).unwrap_err();
            assert_eq!(error.exit_code(), 130);
            assert!(error.to_string().contains("the same command goes on"), "{error}");
        }
        assert_eq!(go(&parts, &recipe, None).unwrap(), want);
        assert!(weights(&parts) == weights(&whole), "{name}: weights differ");
    }
}

#[test]
fn threads_do_not_change_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for (name, recipe) in [("whole", recipe("sgd")), ("chunks", in_chunks("adamw"))] {
        let with = |threads: usize| {
            let root = folder.path().join(format!("{name}-{threads}"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let log = pool.install(|| go(&root, &recipe, None)).unwrap();
            (log, weights(&root))
        };
        let one = with(1);
        assert!(with(2) == one && with(3) == one, "{name}: threads change the log or the weights");
    }
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
fn a_damaged_checkpoint_is_told_and_the_one_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let whole = folder.path().join("whole");
    let want = go(&whole, &recipe, None).unwrap();
    for (name, why) in [("flipped", "checksum"), ("half", "damaged"), ("empty", "damaged")] {
        let root = folder.path().join(name);
        go(&root, &recipe, Some(6)).unwrap_err();
        let last = root.join("checkpoints/last.safetensors");
        let mut bytes = std::fs::read(&last).unwrap();
        let length = bytes.len();
        match name {
            "flipped" => bytes[length - 100] ^= 1,
            "half" => bytes.truncate(length / 2),
            _ => bytes.clear(),
        }
        std::fs::write(&last, bytes).unwrap();
        let (log, note) = go_saving(&root, &recipe, None, None).unwrap();
        let note = note.unwrap();
        assert!(
            note.contains(why) && note.contains("going on from checkpoints/previous.safetensors"),
            "{note}"
        );
        assert!(log == want && weights(&root) == weights(&whole), "{note}");
        assert!(root.join("checkpoints/unusable.safetensors").is_file(), "nothing is thrown away");
    }
}

#[test]
fn a_checkpoint_that_is_cut_anywhere_is_told() {
    let folder = tempfile::tempdir().unwrap();
    go(folder.path(), &recipe("sgd"), Some(2)).unwrap_err();
    let path = folder.path().join("checkpoints/last.safetensors");
    let whole = std::fs::read(&path).unwrap();
    assert!(Checkpoint::load(&path).is_ok());
    let cuts = (0..whole.len()).step_by(1024).chain([whole.len() - 1]);
    for cut in cuts {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let refused = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(refused.contains("last.safetensors: the checkpoint is damaged"), "{cut}: {refused}");
    }
}

#[test]
fn a_log_that_lost_its_end_is_repaired_from_the_checkpoint_that_it_still_fits() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let whole = folder.path().join("whole");
    let want = go(&whole, &recipe, None).unwrap();
    // Checkpoints after steps 4 (the end of an epoch) and 6; the log then has 4 + 1 + 2 lines.
    let keep = |lines: usize| -> usize { want.lines().take(lines).map(|line| line.len() + 1).sum() };
    let lose = |bytes: usize, tail: &[u8], name: &str| {
        let root = folder.path().join(name);
        go(&root, &recipe, Some(6)).unwrap_err();
        let before = log(&root);
        assert_eq!(before.len(), keep(7));
        std::fs::write(root.join("log.jsonl"), [&before.as_bytes()[..bytes], tail].concat()).unwrap();
        root
    };
    for (bytes, tail, name, told) in [
        (keep(6), &b""[..], "shorter", "bytes, and the checkpoint was written after"),
        (keep(6) + 9, b"", "in a line", "bytes, and the checkpoint was written after"),
        // The file's length reached the disk, its bytes did not.
        (keep(5), &vec![0; keep(7) - keep(5)], "zeros", "are not those"),
    ] {
        let root = lose(bytes, tail, name);
        let (log, note) = go_saving(&root, &recipe, None, None).unwrap();
        assert!(note.as_ref().is_some_and(|note| note.contains(told)), "{name}: {note:?}");
        assert!(log == want && weights(&root) == weights(&whole), "{name}");
    }
    // What came after the checkpoint may be anything.
    let root = lose(keep(7), &[0; 300], "garbage after it");
    let (log, note) = go_saving(&root, &recipe, None, None).unwrap();
    assert!(log == want && note.is_none());
    // No checkpoint fits: the mend is told, and mends.
    let root = lose(keep(2), b"", "too short");
    let error = go(&root, &recipe, None).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let mend = format!("delete {} and the same command starts again", root.join("checkpoints").display());
    assert!(error.to_string().contains(&mend), "{error}");
    std::fs::remove_dir_all(root.join("checkpoints")).unwrap();
    assert_eq!(go(&root, &recipe, None).unwrap(), want);
}

#[test]
fn the_timing_file_is_never_a_reason_to_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("sgd");
    let root = folder.path().join("run");
    go(&root, &recipe, Some(10)).unwrap_err();
    let timing = root.join("timing.jsonl");
    let lines = std::fs::read_to_string(&timing).unwrap();
    assert_eq!(lines.lines().count(), 2);
    let first = lines.lines().next().unwrap();
    std::fs::write(&timing, format!("{first}\n\0\0\0\nnot JSON\n{first}")).unwrap();
    go(&root, &recipe, None).unwrap();
    let run = Run::open(&root).unwrap();
    let epochs: Vec<u64> = run.timings().unwrap().iter().map(|timing| timing.epoch).collect();
    assert_eq!(epochs, [1, 3]);
}

#[test]
fn checkpoints_by_the_clock_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe("adamw");
    let (whole, often) = (folder.path().join("whole"), folder.path().join("often"));
    let want = go(&whole, &recipe, None).unwrap();
    // An epoch has four steps, and the stop itself saves after step 7: what was saved before that?
    for (every, before) in [(None, 4), (Some(Duration::MAX), 4), (Some(Duration::ZERO), 6)] {
        let _ = std::fs::remove_dir_all(&often);
        go_saving(&often, &recipe, Some(7), every).unwrap_err();
        std::fs::remove_file(often.join("checkpoints/last.safetensors")).unwrap();
        let start = Start::find(&Run::open(&often).unwrap()).unwrap();
        assert_eq!((start.step(), start.note), (before, None), "{every:?}");
    }
    assert_eq!(go_saving(&often, &recipe, None, Some(Duration::ZERO)).unwrap().0, want);
    assert!(weights(&often) == weights(&whole));
    // Going on after the end measures the last epoch again, and no more.
    let timings = Run::open(&often).unwrap().timings().unwrap();
    assert_eq!(go(&often, &recipe, None).unwrap(), want);
    assert!(weights(&often) == weights(&whole));
    assert_eq!(Run::open(&often).unwrap().timings().unwrap(), timings);
}

#[test]
fn a_run_folder_belongs_to_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let recipe = recipe("sgd");
    let Found::New(first) = Run::create_or_continue(&root, &recipe).unwrap() else { panic!("it is new") };
    for refused in [Run::create_or_continue(&root, &recipe).err(), Run::open_alone(&root).err()] {
        let refused = refused.unwrap();
        assert_eq!(refused.exit_code(), 2);
        let holder =
            format!("another process (process {}) is working in this run folder", std::process::id());
        assert!(refused.to_string().contains(&holder), "{refused}");
    }
    Run::open(&root).unwrap();
    // Killed before the recipe was there, with a file half written.
    drop(first);
    std::fs::remove_file(root.join("recipe.toml")).unwrap();
    std::fs::write(root.join(".riesz-unfinished-x"), "seed = ").unwrap();
    assert!(matches!(Run::create_or_continue(&root, &recipe).unwrap(), Found::New(_)));
    assert_eq!(
        root.join(".riesz-unfinished-x").exists(),
        !cfg!(unix),
        "cleared where files can be told to be dead"
    );
    assert!(matches!(Run::create_or_continue(&root, &recipe).unwrap(), Found::Unfinished(_)));
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
